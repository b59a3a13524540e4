//! What a handler said, as it is kept, and as it is said again.
//!
//! A replay is the stored status, kept headers and body, byte for byte. It must never carry what was
//! meant for one connection or one moment ([`kept`] says which), and never a header of ours that an
//! upstream made up. [`codec`] turns a reply into the bytes that the engine encrypts and digests;
//! [`coding`] serves a retry that cannot read the stored content coding.

pub mod codec;
pub mod coding;
pub mod kept;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

pub use codec::DecodeError;

use super::status::{IDEMPOTENCY_STATUS, IDEMPOTENT_REPLAYED, STRIPE_SHOULD_RETRY, Status};

/// A whole reply of a handler or upstream.
///
/// Equal when status, body and trailers are, and each header name has the same values in the same
/// order. The order of different names is not compared: it means nothing (RFC 9110 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// As it was.
    pub status: StatusCode,
    /// The kept ones. Repeated ones stay repeated, in their order.
    pub headers: HeaderMap,
    /// As it was, in its content coding.
    pub body: Bytes,
    /// The kept fields that came after the body (a gRPC status); `None` where none came.
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    /// What is kept of a reply; see [`kept::kept_headers`].
    #[must_use]
    pub fn keep(
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        trailers: Option<&HeaderMap>,
    ) -> Self {
        let trailers = trailers.map(kept::kept_headers);
        Self { status, headers: kept::kept_headers(headers), body, trailers }
    }

    /// The reply, said again to the request with these headers.
    ///
    /// `Idempotent-Replayed: true`, `Idempotency-Status` as given, and `Cache-Control: no-store` unless
    /// the origin said otherwise (a replay that a shared cache kept would be served without a key).
    /// `Stripe-Should-Retry: false` where the Stripe SDKs would ask again for the same stored reply (409
    /// and 5xx). There is no `Date`: the server writes a fresh one. The trailers are named in `Trailer`
    /// and put among the response's extensions as [`Trailers`], for whoever writes the body.
    #[must_use]
    pub fn replay(self, status: &Status, request: &HeaderMap) -> Response<Bytes> {
        let Self { status: code, headers, body, trailers } = coding::readable(self, request);
        let length = body.len();
        let mut response = Response::new(body);
        *response.status_mut() = code;
        *response.headers_mut() = headers;
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        headers.insert(IDEMPOTENCY_STATUS, status.to_value());
        if code == StatusCode::CONFLICT || code.is_server_error() {
            headers.insert(STRIPE_SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        match trailers {
            Some(trailers) => {
                // RFC 9110 §6.6.2: announced, so that a server may send them.
                for name in trailers.keys() {
                    headers.append(header::TRAILER, HeaderValue::from(name.clone()));
                }
                response.extensions_mut().insert(Trailers(trailers));
            }
            // RFC 9110 §8.6: no length with 1xx and 204; with 304 it would speak of another reply.
            None if !bodiless(code) => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            None => {}
        }
        response
    }
}

/// The trailers of a replayed reply, among its response's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailers(pub HeaderMap);

fn bodiless(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Word;
    use http::HeaderName;
    use semel_core::Span;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    fn replay(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) -> Response<Bytes> {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply::keep(status, &map(headers), Bytes::from_static(body.as_bytes()), None);
        let word = Status::new(Word::Replayed).attempt(1).age(Span::from_secs(2));
        reply.replay(&word, &HeaderMap::new())
    }

    fn lines(response: &Response<Bytes>) -> Vec<String> {
        let headers = response.headers().iter();
        headers.map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect()
    }

    #[test]
    fn a_replay_is_written_like_this() {
        let first = [
            ("content-type", "application/json"),
            ("content-length", "999"),
            ("date", "Sun, 15 Jun 2025 15:06:40 GMT"),
            ("link", "</a>; rel=next"),
            ("set-cookie", "session=1"),
            ("link", "</b>; rel=prev"),
            ("location", "/v1/charges/7"),
        ];
        let response = replay(201, &first, "{\"id\":7}");
        assert_eq!(response.status(), 201);
        assert_eq!(response.body(), "{\"id\":7}");
        assert_eq!(
            lines(&response),
            [
                "content-type: application/json",
                "link: </a>; rel=next",
                "link: </b>; rel=prev",
                "location: /v1/charges/7",
                "cache-control: no-store",
                "idempotent-replayed: true",
                "idempotency-status: replayed;attempt=1;age=2",
                "content-length: 8",
            ]
        );
    }

    #[test]
    fn the_origins_own_word_on_storing_stays() {
        let response = replay(200, &[("cache-control", "private, max-age=60")], "");
        assert_eq!(response.headers()["cache-control"], "private, max-age=60");
        assert_eq!(response.headers()["content-length"], "0");
    }

    #[test]
    fn a_204_has_no_length() {
        assert!(!replay(204, &[], "").headers().contains_key("content-length"));
    }

    #[test]
    fn an_sdk_that_would_ask_again_for_the_same_stored_reply_is_told_not_to() {
        for (status, told) in [(200, None), (402, None), (409, Some("false")), (500, Some("false"))]
        {
            // The handler's own word spoke of its first reply.
            let response = replay(status, &[("stripe-should-retry", "true")], "");
            let said = response.headers().get("stripe-should-retry").map(|v| v.to_str().unwrap());
            assert_eq!(said, told, "{status}");
        }
    }

    #[test]
    fn trailers_are_announced_and_handed_on() {
        let trailers = map(&[("grpc-status", "0"), ("set-cookie", "a=b")]);
        let reply = Reply::keep(StatusCode::OK, &HeaderMap::new(), Bytes::new(), Some(&trailers));
        let response = reply.replay(&Status::new(Word::Replayed), &HeaderMap::new());
        assert_eq!(response.headers()["trailer"], "grpc-status");
        assert!(!response.headers().contains_key("content-length"));
        let handed = response.extensions().get::<Trailers>();
        assert_eq!(handed, Some(&Trailers(map(&[("grpc-status", "0")]))));
    }
}
