//! Which headers of a reply are kept for its replay.
//!
//! All but those that speak of one connection, one session or one moment. A list of what goes rather
//! than of what stays: an API's own headers are part of its reply.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Of one connection (RFC 9110 §7.6.1), beside those that `Connection` names.
const CONNECTION: [&str; 8] =
    ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "via", "alt-svc"];

/// Of one session: they would log a later caller in, out, or challenge it anew.
const SESSION: [&str; 5] =
    ["set-cookie", "set-cookie2", "www-authenticate", "authentication-info", "clear-site-data"];

/// Of one moment. `Retry-After` too: it was counted from the first reply. `Content-Length` is
/// computed afresh.
const MOMENT: [&str; 6] =
    ["date", "server", "age", "retry-after", "server-timing", "content-length"];

/// Of one request's way through the system.
const TRACE: [&str; 14] = [
    "traceparent",
    "tracestate",
    "traceresponse",
    "b3",
    "uber-trace-id",
    "request-id",
    "x-request-id",
    "x-correlation-id",
    "x-trace-id",
    "x-amzn-trace-id",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-cloud-trace-context",
    "cf-ray",
];

/// Whole families: credentials between proxies, traces, rate limits, the cross-origin answers (made
/// afresh for the origin that asks), and our own (an upstream's word for them is not ours).
const PREFIXES: [&str; 7] = [
    "proxy-",
    "x-b3-",
    "ratelimit",
    "x-ratelimit-",
    "x-rate-limit-",
    "access-control-",
    "idempotency-",
];

/// Our own, outside that family.
const OWN: [&str; 2] = ["idempotent-replayed", "stripe-should-retry"];

/// The headers that a replay repeats, in their order; `Origin` is taken out of `Vary`.
#[must_use]
pub fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(headers);
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if goes(name) || named.iter().any(|n| n.eq_ignore_ascii_case(name.as_str())) {
            continue;
        }
        if name == header::VARY {
            if let Some(value) = without_origin(value) {
                kept.append(name, value);
            }
        } else {
            kept.append(name, value.clone());
        }
    }
    kept
}

fn goes(name: &HeaderName) -> bool {
    let name = name.as_str();
    let listed = |list: &[&str]| list.contains(&name);
    listed(&CONNECTION)
        || listed(&SESSION)
        || listed(&MOMENT)
        || listed(&TRACE)
        || listed(&OWN)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn named_by_connection(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

/// `None` when nothing is left. A value that is not text stays as it is.
fn without_origin(value: &HeaderValue) -> Option<HeaderValue> {
    let Ok(text) = value.to_str() else { return Some(value.clone()) };
    let names = || text.split(',').map(str::trim);
    if !names().any(|name| name.eq_ignore_ascii_case("origin")) {
        return Some(value.clone());
    }
    let left: Vec<_> = names().filter(|name| !name.eq_ignore_ascii_case("origin")).collect();
    HeaderValue::try_from(left.join(", ")).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let kept = kept_headers(&headers);
        kept.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect()
    }

    #[test]
    fn what_belongs_to_the_result_stays_in_its_order() {
        let all = [
            ("content-type", "text/plain"),
            ("etag", "\"7\""),
            ("link", "</a>"),
            ("location", "/a"),
            ("x-api-version", "3"),
            ("content-encoding", "gzip"),
        ];
        let lines: Vec<_> = all.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        assert_eq!(kept(&all), lines);
    }

    #[test]
    fn what_belongs_to_a_connection_a_session_or_a_moment_goes() {
        for name in [
            "connection",
            "transfer-encoding",
            "set-cookie",
            "date",
            "server",
            "www-authenticate",
            "proxy-authenticate",
            "authentication-info",
            "ratelimit",
            "ratelimit-policy",
            "x-ratelimit-remaining",
            "retry-after",
            "traceparent",
            "x-b3-traceid",
            "x-request-id",
            "access-control-allow-origin",
            "content-length",
            "idempotency-status",
            "idempotency-key",
            "idempotent-replayed",
            "stripe-should-retry",
        ] {
            assert_eq!(kept(&[(name, "1"), ("etag", "\"7\"")]), ["etag: \"7\""], "{name}");
        }
    }

    #[test]
    fn what_connection_names_goes_with_it() {
        let headers = [("connection", "close, X-Hop"), ("x-hop", "1"), ("x-end", "2")];
        assert_eq!(kept(&headers), ["x-end: 2"]);
    }

    #[test]
    fn vary_loses_origin_and_nothing_else() {
        assert_eq!(
            kept(&[("vary", "Accept, Origin,Accept-Language")]),
            ["vary: Accept, Accept-Language"]
        );
        assert_eq!(kept(&[("vary", "origin")]), [""; 0]);
        assert_eq!(kept(&[("vary", "*"), ("vary", "Accept")]), ["vary: *", "vary: Accept"]);
    }
}
