//! What a caller is told when it gets no handler's reply: problem details (RFC 9457) with three
//! answers beside the status — did it happen, did *this* request start anything, and what to send next.
//!
//! A [`Problem`] is a value until [`Problem::into_response`]. It must never say "failed" where it
//! means "unknown", and never carry a value of another request: of a mismatch it names the parts
//! that differ, and no more. [`cases`] has a constructor for each row of the contract; the words are fixed
//! in [`super::catalogue`].

pub mod cases;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use semel_core::{Effect, Span, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::catalogue::{Code, Entry};
use super::instant::rfc3339;
use super::status::{IDEMPOTENCY_STATUS, STRIPE_SHOULD_RETRY, Status};

/// The path under which the listener answers for itself. No route may lie below it.
pub const RESERVED: &str = "/.well-known/idempotency";
/// Where a caller asks for the state of its key, voids it, and (under `/ack`) acknowledges it.
pub const INQUIRY: &str = "/.well-known/idempotency/key";
/// Below it the listener serves a text for each problem's slug; the `type` of a problem points there.
pub const PROBLEMS: &str = "/.well-known/idempotency/problems/";

/// What to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request with the same key.
    SameKey,
    /// The operation under a new key: it is certain that it did not happen under this one.
    NewKey,
    /// Nothing by itself: the same request will be answered the same, and a new key could do it
    /// twice. Correct the request, or find out first.
    Never,
}

impl Retry {
    /// `same-key`, `new-key` or `never`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameKey => "same-key",
            Self::NewKey => "new-key",
            Self::Never => "never",
        }
    }
}

/// One answer that is not a handler's.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// Whether the operation that the key names happened, over all attempts.
    pub effect: Effect,
    /// Whether *this* request started anything.
    pub ran: bool,
    /// What to send next.
    pub retry: Retry,
    /// When. Sent as `Retry-After`, in whole seconds rounded up.
    pub retry_after: Option<Span>,
    /// What is special about this occurrence, for people; empty when the cause says it all. Never a
    /// key, a credential or a value of another request.
    pub detail: String,
    /// Since when the key stands as it does.
    pub since: Option<Timestamp>,
    /// The names of the parts that differ from the first request, and never their values.
    pub differs: Vec<&'static str>,
    /// A reason below the code, such as `rules-changed`.
    pub reason: Option<&'static str>,
    /// The methods that a reserved path answers to; sent as `Allow`.
    pub allow: Vec<Method>,
    /// What credential would be taken; sent as `WWW-Authenticate`, which a 401 must bear.
    pub challenge: Option<HeaderValue>,
    /// More members for the body, by name.
    pub extra: BTreeMap<&'static str, Value>,
    /// `Idempotency-Status`; the code's word alone until [`Problem::with_status`] says more.
    pub status: Status,
}

impl Problem {
    fn new(code: Code, effect: Effect, ran: bool, retry: Retry) -> Self {
        Self {
            code,
            effect,
            ran,
            retry,
            retry_after: None,
            detail: String::new(),
            since: None,
            differs: Vec::new(),
            reason: None,
            allow: Vec::new(),
            challenge: None,
            extra: BTreeMap::new(),
            status: Status::new(code.entry().word),
        }
    }

    /// With what is known of the key beside the code's own word.
    #[must_use]
    pub fn with_status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// With a sentence on this occurrence.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// With one more member in the body.
    #[must_use]
    pub fn with_extra(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extra.insert(name, value.into());
        self
    }

    fn after(self, after: Span) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    fn inquire(self) -> Self {
        self.with_extra("inquire", INQUIRY)
    }

    fn recorded(self, status: Option<u16>) -> Self {
        match status {
            Some(status) => self.with_extra("recorded_status", status),
            None => self,
        }
    }

    /// What happened, for people.
    #[must_use]
    pub fn cause(&self) -> String {
        let entry = self.code.entry();
        match self.detail.as_str() {
            "" => entry.cause.to_owned(),
            special => format!("{} {special}", entry.cause),
        }
    }

    /// The body as JSON: the members of RFC 9457 §3.1 first, then our own.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let entry = self.code.entry();
        let body = Body {
            r#type: format!("{PROBLEMS}{}", entry.slug),
            title: entry.title,
            status: entry.status,
            detail: self.cause(),
            code: self.code.id(),
            effect: self.effect.name(),
            ran: self.ran,
            retry: self.retry.name(),
            advice: entry.advice,
            reason: self.reason,
            differs: &self.differs,
            since: self.since.map(rfc3339),
            extra: &self.extra,
        };
        let bytes = serde_json::to_vec(&body);
        Bytes::from(bytes.expect("strings, numbers and booleans under string names are JSON"))
    }

    /// The response. `Cache-Control: no-store`, for the next answer may be another.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let entry = self.code.entry();
        let mut response = Response::new(self.to_json());
        *response.status_mut() = StatusCode::from_u16(entry.status)
            .expect("the catalogue holds statuses between 400 and 503");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(IDEMPOTENCY_STATUS, self.status.to_value());
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs_ceil()));
        }
        if let Some(said) = entry.should_retry {
            let said = HeaderValue::from_static(if said { "true" } else { "false" });
            headers.insert(STRIPE_SHOULD_RETRY, said);
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if !self.allow.is_empty() {
            let names: Vec<_> = self.allow.iter().map(Method::as_str).collect();
            if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
                headers.insert(header::ALLOW, value);
            }
        }
        response
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
    code: String,
    effect: &'a str,
    ran: bool,
    retry: &'a str,
    advice: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    differs: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(flatten)]
    extra: &'a BTreeMap<&'static str, Value>,
}

/// The text that the listener serves under a problem's `type`; `None` for an unknown slug.
#[must_use]
pub fn problem_page(slug: &str) -> Option<String> {
    let code = Code::by_slug(slug)?;
    let Entry { title, status, cause, advice, .. } = code.entry();
    let id = code.id();
    Some(format!("{id} {title}\nHTTP status {status}\n\n{cause}\n\nWhat to do: {advice}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Word;
    use crate::http::catalogue::ENTRIES;
    use semel_core::fingerprint::{Difference, Part};

    fn text(response: &Response<Bytes>) -> String {
        let mut lines = vec![response.status().as_u16().to_string()];
        for (name, value) in response.headers() {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
        lines.push(String::from_utf8(response.body().to_vec()).unwrap());
        lines.join("\n")
    }

    const IN_DOUBT: &str = r#"409
content-type: application/problem+json
cache-control: no-store
idempotency-status: in-doubt;attempt=1
stripe-should-retry: false
{"type":"/.well-known/idempotency/problems/in-doubt","title":"Outcome in doubt","status":409,"detail":"The operation was started and its outcome is not known: it may have happened.","code":"SEM-0203","effect":"unknown","ran":false,"retry":"same-key","advice":"Never send it under a new key. Ask for the state of the key, or send the same request with the same key later.","since":"2025-06-15T15:06:40.000Z","inquire":"/.well-known/idempotency/key"}"#;

    const REUSED: &str = r#"422
content-type: application/problem+json
cache-control: no-store
idempotency-status: mismatch
{"type":"/.well-known/idempotency/problems/key-reused","title":"Idempotency key belongs to another request","status":422,"detail":"The key belongs to another request: this one differs from the first that was sent with it.","code":"SEM-0201","effect":"done","ran":false,"retry":"never","advice":"Do not send this request again under this key. Look at the state of the key before sending it under a new one.","differs":["path","body"],"inquire":"/.well-known/idempotency/key"}"#;

    const STORE_DOWN: &str = r#"503
content-type: application/problem+json
cache-control: no-store
idempotency-status: refused
retry-after: 2
{"type":"/.well-known/idempotency/problems/store-unavailable","title":"Store of keys unavailable","status":503,"detail":"The store of keys does not answer, so nothing was started by this request.","code":"SEM-0301","effect":"unknown","ran":false,"retry":"same-key","advice":"Send the same request with the same key again, after the time in Retry-After."}"#;

    #[test]
    fn the_responses_are_written_like_this() {
        let since = Some(Timestamp::from_unix_ms(1_750_000_000_000));
        let doubt = Problem::in_doubt(false, since)
            .with_status(Status::new(Word::InDoubt).attempt(1))
            .into_response();
        assert_eq!(text(&doubt), IN_DOUBT);
        let parts = Difference::Parts([Part::Body, Part::Path].into_iter().collect());
        let reused = Problem::mismatch(Effect::Done, parts).into_response();
        assert_eq!(text(&reused), REUSED);
        let down = Problem::store_unavailable(Span::from_ms(1001)).into_response();
        assert_eq!(text(&down), STORE_DOWN);
    }

    #[test]
    fn retry_after_is_rounded_up_and_a_status_that_was_recorded_is_told() {
        let response = Problem::in_flight(Span::from_ms(1)).into_response();
        assert_eq!(response.headers()["retry-after"], "1");
        let spent = Problem::key_spent(Effect::Done, Some(201)).into_response();
        let body: Value = serde_json::from_slice(spent.body()).unwrap();
        assert_eq!((&body["status"], &body["recorded_status"]), (&410.into(), &201.into()));
    }

    #[test]
    fn a_reserved_path_names_the_methods_it_answers_to() {
        let response = Problem::method_unknown(&[Method::GET, Method::DELETE]).into_response();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, DELETE");
    }

    #[test]
    fn rules_that_changed_are_the_reason_and_no_part_is_blamed() {
        let problem = Problem::mismatch(Effect::Done, Difference::RulesChanged);
        let body: Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!((&body["reason"], body.get("differs")), (&"rules-changed".into(), None));
    }

    #[test]
    fn what_is_special_follows_the_fixed_cause() {
        let problem = Problem::request(Code::KeyMalformed, "It is empty.");
        let body: Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert!(body["detail"].as_str().unwrap().ends_with("printable ASCII. It is empty."));
    }

    #[test]
    fn each_type_leads_to_its_page() {
        for entry in &ENTRIES {
            let page = problem_page(entry.slug).unwrap();
            assert!(page.starts_with(&format!("{} {}\n", entry.code.id(), entry.title)));
        }
        assert_eq!(problem_page("../secrets"), None);
    }
}
