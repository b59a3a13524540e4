//! Cross-origin answers (the Fetch standard, "CORS protocol") to what Semel says itself.
//!
//! Which origin may use an API is the inner service's to say: its own answers and its answers to
//! preflights are passed on, and Semel only adds its header names where the service allowed the origin.
//! A stored reply holds no cross-origin headers (they spoke to one origin), and problems never had any:
//! these are made afresh from the route's [`Cors`]. It must never allow an origin that is not listed.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use semel_core::Span;

use super::prefer::PREFERENCE_APPLIED;
use super::status::{IDEMPOTENCY_STATUS, IDEMPOTENCY_WARNING, IDEMPOTENT_REPLAYED};

/// Which origins may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every one; not with credentials.
    Any,
    /// These, as browsers send them (RFC 6454 §6.2): scheme, host and, unless it is the default one,
    /// port: `https://shop.example`. Compared byte for byte.
    List(Vec<String>),
}

/// What a route answers to a browser, as the service behind it would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Whose scripts may read answers.
    pub origins: Origins,
    /// Whether with the user's cookies or HTTP authentication.
    pub credentials: bool,
    /// Headers of the API that scripts may read on a replay. Semel's own are always among them.
    pub expose: Vec<HeaderName>,
    /// How long a browser may keep the answer to a preflight on the reserved path.
    pub max_age: Span,
}

/// Why no browser could be answered as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorsError {
    /// Every site could act as the user.
    #[error("`cors` allows any origin and credentials: list the origins, or leave credentials out")]
    AnyWithCredentials,
    /// Not as browsers send it.
    #[error(
        "`{origin}` is no origin as browsers send it: write scheme and host, like `https://shop.example`"
    )]
    Origin {
        /// As configured.
        origin: String,
    },
}

/// What scripts may read of Semel's headers.
const EXPOSED: [HeaderName; 5] = [
    IDEMPOTENCY_STATUS,
    IDEMPOTENT_REPLAYED,
    IDEMPOTENCY_WARNING,
    PREFERENCE_APPLIED,
    header::RETRY_AFTER,
];

/// Whether a request is a browser's question whether another may be sent: the method it asks for.
#[must_use]
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !headers.contains_key(header::ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// To the inner service's answer to a preflight: the names of the request headers that Semel reads,
/// where the service allowed the origin.
pub fn add_request_headers(response: &mut HeaderMap, names: &[HeaderName]) {
    if response.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        add_names(response, header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
}

/// To an answer of the inner service: Semel's response headers, where the service allowed the origin.
pub fn add_exposed_headers(response: &mut HeaderMap) {
    if response.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        add_names(response, header::ACCESS_CONTROL_EXPOSE_HEADERS, &EXPOSED);
    }
}

impl Cors {
    /// Checks what no browser would accept, or nobody should want.
    ///
    /// # Errors
    /// The first thing found.
    pub fn check(&self) -> Result<(), CorsError> {
        match &self.origins {
            Origins::Any if self.credentials => Err(CorsError::AnyWithCredentials),
            Origins::Any => Ok(()),
            Origins::List(list) => match list.iter().find(|origin| !is_origin(origin)) {
                Some(origin) => Err(CorsError::Origin { origin: origin.clone() }),
                None => Ok(()),
            },
        }
    }

    /// The cross-origin headers of an answer that Semel gives itself, to a request of `origin`.
    pub fn allow(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        let allowed = match &self.origins {
            Origins::Any => origin.map(|_| HeaderValue::from_static("*")),
            Origins::List(list) => {
                // Also where it is not allowed: the next origin is to be asked about anew.
                add_names(response, header::VARY, &[header::ORIGIN]);
                origin.filter(|sent| list.iter().any(|o| o.as_bytes() == sent.as_bytes())).cloned()
            }
        };
        let Some(allowed) = allowed else { return };
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        add_names(response, header::ACCESS_CONTROL_EXPOSE_HEADERS, &EXPOSED);
        add_names(response, header::ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose);
    }

    /// The answer to a preflight on a path where Semel answers for itself.
    #[must_use]
    pub fn answer_preflight(
        &self,
        origin: Option<&HeaderValue>,
        methods: &'static str,
        names: &[HeaderName],
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        self.allow(origin, &mut headers);
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            let methods = HeaderValue::from_static(methods);
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            let seconds = HeaderValue::from(self.max_age.as_ms() / 1000);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, seconds);
            add_request_headers(&mut headers, names);
        }
        headers
    }
}

/// An opaque origin (`null`) is everybody's, so it is none that could be listed.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let visible = text.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
    visible && !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '*', '?', '#'])
}

/// Adds to a list of names those that are not in it, in a line of their own.
fn add_names(headers: &mut HeaderMap, list: HeaderName, names: &[HeaderName]) {
    for name in names {
        let lines = headers.get_all(&list).iter().filter_map(|line| line.to_str().ok());
        let mut there = lines.flat_map(|line| line.split(',')).map(str::trim);
        if !there.any(|there| there.eq_ignore_ascii_case(name.as_str())) {
            headers.append(list.clone(), HeaderValue::from(name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: Origins) -> Cors {
        Cors { origins, credentials: false, expose: Vec::new(), max_age: Span::from_secs(600) }
    }

    fn listed() -> Cors {
        cors(Origins::List(vec!["https://shop.example".to_owned()]))
    }

    fn answered(cors: &Cors, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        cors.allow(origin.map(HeaderValue::from_static).as_ref(), &mut headers);
        headers
    }

    #[test]
    fn only_a_listed_origin_may_read_and_every_answer_varies_by_it() {
        for (origin, allowed) in [
            (Some("https://shop.example"), Some("https://shop.example")),
            (Some("https://shop.example.evil"), None),
            (Some("http://shop.example"), None),
            (Some("null"), None),
            (None, None),
        ] {
            let headers = answered(&listed(), origin);
            let found = headers.get("access-control-allow-origin").map(|v| v.to_str().unwrap());
            assert_eq!(found, allowed, "{origin:?}");
            assert_eq!(headers["vary"], "origin");
            assert_eq!(headers.contains_key("access-control-expose-headers"), allowed.is_some());
        }
    }

    #[test]
    fn any_origin_is_a_star_and_never_with_credentials() {
        let any = cors(Origins::Any);
        assert_eq!(answered(&any, Some("https://a"))["access-control-allow-origin"], "*");
        assert_eq!(Cors { credentials: true, ..any }.check(), Err(CorsError::AnyWithCredentials));
        let with = Cors { credentials: true, ..listed() };
        assert_eq!(with.check(), Ok(()));
        let headers = answered(&with, Some("https://shop.example"));
        assert_eq!(headers["access-control-allow-credentials"], "true");
    }

    #[test]
    fn what_browsers_never_send_is_refused() {
        for origin in ["null", "*", "shop.example", "https://shop.example/", "https://Shop.example"]
        {
            let refused = cors(Origins::List(vec![origin.to_owned()])).check();
            assert_eq!(refused, Err(CorsError::Origin { origin: origin.to_owned() }));
        }
    }

    #[test]
    fn names_are_added_once_and_only_where_the_service_allowed_the_origin() {
        let names = [HeaderName::from_static("idempotency-key"), HeaderName::from_static("prefer")];
        let mut refused = HeaderMap::new();
        add_request_headers(&mut refused, &names);
        add_exposed_headers(&mut refused);
        assert!(refused.is_empty());
        let mut allowed = HeaderMap::new();
        allowed.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        let there = HeaderValue::from_static("content-type, Idempotency-Key");
        allowed.insert("access-control-allow-headers", there);
        add_request_headers(&mut allowed, &names);
        add_request_headers(&mut allowed, &names);
        let lines: Vec<_> = allowed.get_all("access-control-allow-headers").iter().collect();
        assert_eq!(lines, ["content-type, Idempotency-Key", "prefer"]);
    }
}
