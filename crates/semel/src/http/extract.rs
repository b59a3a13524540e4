//! Reads from a request which operation it names: its key, and whose key it is.
//!
//! It must never use a key without a scope, nor take a key that it cannot read for no key at all: a
//! request that tried to be protected is refused rather than run unprotected. The path goes on with
//! the fingerprint ([`semel_core::fingerprint`]) and the claim.

use http::request::Parts;
use http::{HeaderMap, header};
use semel_core::key::{KeyError, Weakness};
use semel_core::{Key, Scope, Secret, Timestamp};
use serde_json::Value;

use super::catalogue::Code;
use super::principal::principal;
use super::problem::Problem;
use super::route::{Demand, KeyFormat, KeySource, OnWeak, Route};

/// What a request says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keying {
    /// It runs as if Semel were not there.
    NotKeyed(NotKeyed),
    /// It names an operation.
    Keyed(Keyed),
}

/// A request that runs without protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKeyed {
    /// Why.
    pub why: Why,
    /// It bears a key header all the same: the answer says `Idempotency-Status: ignored`.
    pub ignored: bool,
}

/// Why a request is not keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Keys do not count on its method.
    Method,
    /// Keys do not count on its route.
    Off,
    /// It bears none, and need not.
    Absent,
}

/// A request that names an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The caller's key.
    pub key: Key,
    /// Whose it is.
    pub scope: Scope,
    /// What makes the key easy to meet twice, where the route only warns;
    /// [`super::status::weak_key_warning`] is the header.
    pub weak: Option<Weakness>,
}

/// What is needed beside the request.
#[derive(Clone, Copy, Debug)]
pub struct Within<'a> {
    /// The request's route.
    pub route: &'a Route,
    /// The name of the service, part of every scope.
    pub service: &'a str,
    /// Keys the hash of a credential.
    pub secret: &'a Secret,
    /// The present time, for keys that look like a clock and credentials that end.
    pub now: Timestamp,
}

/// Whether the body must be read before [`keying`] can be asked.
#[must_use]
pub fn key_in_body(parts: &Parts, route: &Route) -> bool {
    matches!(route.key, KeySource::Body(_)) && counts(parts, route).is_none()
}

/// The key and scope of a request. `body` is looked at only where [`key_in_body`] says so.
///
/// # Errors
/// The [`Problem`] to answer with: `key-missing`, `key-malformed`, `key-weak`, `scope-missing`,
/// `scope-unstable` or `scope-unverified`. Nothing has run.
pub fn keying(parts: &Parts, body: &[u8], within: &Within<'_>) -> Result<Keying, Box<Problem>> {
    let route = within.route;
    if let Some(why) = counts(parts, route) {
        return Ok(Keying::NotKeyed(NotKeyed { why, ignored: bears_header(parts, route) }));
    }
    let found = match &route.key {
        KeySource::Header(name) => {
            let lines = parts.headers.get_all(name).iter().map(|value| value.as_bytes());
            Key::from_headers(lines).map_err(malformed)?
        }
        KeySource::Body(pointer) => from_body(&parts.headers, body, pointer)?,
    };
    let key = match (found, route.demand) {
        (Some(key), _) => key,
        (None, Demand::Required) => return Err(missing(&route.key)),
        (None, Demand::Optional | Demand::Off) => {
            return Ok(Keying::NotKeyed(NotKeyed { why: Why::Absent, ignored: false }));
        }
    };
    let key = match route.key_format {
        KeyFormat::Any => key,
        KeyFormat::Uuid => key.parse_uuid_insensitive().map_err(malformed)?,
    };
    let weak = key.weakness(within.now);
    if let (Some(weakness), OnWeak::Reject) = (weak, route.on_weak) {
        let problem = Problem::request(Code::KeyWeak, sentence(&weakness.to_string()));
        return Err(problem.with_extra("weakness", weakness.name()).into());
    }
    let principal = principal(parts, &route.principal, within.secret, within.now)?;
    Ok(Keying::Keyed(Keyed { key, scope: Scope::new(within.service, principal), weak }))
}

/// Why keys do not count on such a request, or `None` where they do.
fn counts(parts: &Parts, route: &Route) -> Option<Why> {
    if route.demand == Demand::Off {
        return Some(Why::Off);
    }
    (!route.methods.contains(&parts.method)).then_some(Why::Method)
}

fn bears_header(parts: &Parts, route: &Route) -> bool {
    matches!(&route.key, KeySource::Header(name) if parts.headers.contains_key(name))
}

fn missing(source: &KeySource) -> Box<Problem> {
    let place = match source {
        KeySource::Header(name) => format!("It is expected in the header `{name}`."),
        KeySource::Body(pointer) => format!("It is expected in the JSON body at `{pointer}`."),
    };
    Problem::request(Code::KeyMissing, place).into()
}

fn malformed(error: KeyError) -> Box<Problem> {
    Problem::request(Code::KeyMalformed, sentence(&error.to_string())).into()
}

fn unreadable(what: &str) -> Box<Problem> {
    Problem::request(Code::KeyMalformed, what).into()
}

/// A message of an error as a sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// The member at `pointer`. Of members with the same name the last counts, as in most readers; `null`
/// is no key. A body of another type than JSON has none.
fn from_body(headers: &HeaderMap, body: &[u8], pointer: &str) -> Result<Option<Key>, Box<Problem>> {
    if body.is_empty() || !is_json(headers) {
        return Ok(None);
    }
    // A handler may well read what cannot be read here: then a key was meant, and it is not known
    // which. To go on without one would run the operation unprotected.
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unreadable("The key lies in the body, and the body is encoded."));
    }
    let document: Value = serde_json::from_slice(body)
        .map_err(|_| unreadable("The key lies in the body, and the body is not valid JSON."))?;
    match document.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Key::from_text(text).map(Some).map_err(malformed),
        Some(_) => Err(unreadable("The member that holds the key is not a string.")),
    }
}

/// `application/json` and whatever ends in `+json` (RFC 6839 §3.1); also a body without a type.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let Ok(text) = value.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::PrincipalSource;
    use http::{Method, Request};

    /// 2026-04-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_unix_ms(1_775_001_600_000);
    const GOOD: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().method(method).uri("/v1/charges");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn ask(route: &Route, parts: &Parts, body: &str) -> Result<Keying, Box<Problem>> {
        let secret = Secret::new(&[7; 32]);
        let within = Within { route, service: "payments", secret: &secret, now: NOW };
        keying(parts, body.as_bytes(), &within)
    }

    fn open() -> Route {
        Route { principal: PrincipalSource::None, ..Route::default() }
    }

    fn key_of(answer: Result<Keying, Box<Problem>>) -> Key {
        match answer {
            Ok(Keying::Keyed(keyed)) => keyed.key,
            other => panic!("expected a key, got {other:?}"),
        }
    }

    fn code_of(answer: Result<Keying, Box<Problem>>) -> Code {
        answer.expect_err("expected a refusal").code
    }

    #[test]
    fn quoted_and_bare_name_the_same_operation() {
        let quoted = request("POST", &[("idempotency-key", &format!("\"{GOOD}\""))]);
        let bare = request("PATCH", &[("idempotency-key", GOOD)]);
        let key = key_of(ask(&open(), &quoted, ""));
        assert_eq!(key, key_of(ask(&open(), &bare, "")));
        assert_eq!(key.as_bytes(), GOOD.as_bytes());
    }

    #[test]
    fn a_key_that_does_not_count_is_ignored_and_said_to_be() {
        let not = |why, ignored| Ok::<_, Box<Problem>>(Keying::NotKeyed(NotKeyed { why, ignored }));
        let key = [("idempotency-key", "?? malformed, too")];
        let off = Route { demand: Demand::Off, ..open() };
        assert_eq!(ask(&open(), &request("GET", &key), ""), not(Why::Method, true));
        assert_eq!(ask(&open(), &request("PUT", &[]), ""), not(Why::Method, false));
        assert_eq!(ask(&off, &request("POST", &key), ""), not(Why::Off, true));
        assert_eq!(ask(&open(), &request("POST", &[]), ""), not(Why::Absent, false));
        let put = Route { methods: vec![Method::PUT], ..open() };
        key_of(ask(&put, &request("PUT", &[("idempotency-key", GOOD)]), ""));
    }

    #[test]
    fn a_missing_key_is_refused_where_it_is_required() {
        let required = Route { demand: Demand::Required, ..open() };
        let problem = ask(&required, &request("POST", &[]), "").unwrap_err();
        assert_eq!(problem.code, Code::KeyMissing);
        assert_eq!(problem.detail, "It is expected in the header `idempotency-key`.");
    }

    #[test]
    fn a_key_that_cannot_be_read_is_refused_even_where_none_is_required() {
        for lines in [
            &[("idempotency-key", "a"), ("idempotency-key", "a")][..],
            &[("idempotency-key", "")],
            &[("idempotency-key", "\"a\", \"b\"")],
        ] {
            assert_eq!(code_of(ask(&open(), &request("POST", lines), "")), Code::KeyMalformed);
        }
        let problem = ask(&open(), &request("POST", &[("idempotency-key", "")]), "").unwrap_err();
        assert!(problem.detail.starts_with("The idempotency key is empty"), "{}", problem.detail);
        assert!(problem.detail.ends_with('.'));
    }

    #[test]
    fn a_uuid_route_takes_uuids_alone_and_any_case() {
        let uuid = Route { key_format: KeyFormat::Uuid, ..open() };
        let upper = GOOD.to_ascii_uppercase();
        let key = key_of(ask(&uuid, &request("POST", &[("idempotency-key", &upper)]), ""));
        assert_eq!(key.as_bytes(), GOOD.as_bytes());
        let other = request("POST", &[("idempotency-key", "order-7")]);
        assert_eq!(code_of(ask(&uuid, &other, "")), Code::KeyMalformed);
    }

    #[test]
    fn a_weak_key_is_used_with_a_warning_or_refused() {
        let weak = request("POST", &[("idempotency-key", "42")]);
        let Ok(Keying::Keyed(keyed)) = ask(&open(), &weak, "") else { panic!("it is used") };
        assert_eq!(keyed.weak, Some(Weakness::Counter));
        let reject = Route { on_weak: OnWeak::Reject, ..open() };
        let problem = ask(&reject, &weak, "").unwrap_err();
        assert_eq!((problem.code, &problem.extra["weakness"]), (Code::KeyWeak, &"counter".into()));
    }

    #[test]
    fn a_keyed_request_without_a_principal_is_refused_and_an_unkeyed_one_is_not() {
        let keyed = request("POST", &[("idempotency-key", GOOD)]);
        assert_eq!(code_of(ask(&Route::default(), &keyed, "")), Code::ScopeMissing);
        let unkeyed = ask(&Route::default(), &request("POST", &[]), "");
        assert!(matches!(unkeyed, Ok(Keying::NotKeyed(_))));
    }

    #[test]
    fn a_key_in_the_body_is_found_by_its_pointer() {
        let route = Route { key: KeySource::Body("/meta/key".to_owned()), ..open() };
        let json = request("POST", &[("content-type", "application/json; charset=utf-8")]);
        assert!(key_in_body(&json, &route));
        assert!(!key_in_body(&request("GET", &[]), &route));
        assert!(!key_in_body(&json, &open()));

        let body = format!("{{\"meta\":{{\"key\":\"{GOOD}\"}}}}");
        assert_eq!(key_of(ask(&route, &json, &body)).as_bytes(), GOOD.as_bytes());
        let absent = Ok(Keying::NotKeyed(NotKeyed { why: Why::Absent, ignored: false }));
        for body in ["", "{}", "[]", "{\"meta\":{\"key\":null}}"] {
            assert_eq!(ask(&route, &json, body), absent, "{body}");
        }
        let form = request("POST", &[("content-type", "application/x-www-form-urlencoded")]);
        assert_eq!(ask(&route, &form, "meta[key]=a"), absent);
    }

    #[test]
    fn a_body_that_may_hide_a_key_is_refused() {
        let route = Route { key: KeySource::Body("/key".to_owned()), ..open() };
        let json = ("content-type", "application/problem+json");
        for (headers, body) in [
            (&[json][..], "{\"key\":7}"),
            (&[json], "{\"key\":\"\"}"),
            (&[json], "{\"key\":\"a\",}"),
            (&[json, ("content-encoding", "gzip")], "\u{1f}"),
        ] {
            let answer = ask(&route, &request("POST", headers), body);
            assert_eq!(code_of(answer), Code::KeyMalformed, "{body}");
        }
    }
}
