//! One message from the caller's side to the upstream's, and one back.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use http_body::Body;
use semel::http::status::{IDEMPOTENCY_ATTEMPT, IDEMPOTENCY_EFFECT, IDEMPOTENCY_FENCE};

use super::hops::{self, Forwarding};
use super::target::Target;
use crate::peer::Peer;

/// How messages are passed on.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Where to.
    pub target: Target,
    /// Whether the upstream sees its own name as `Host`, in place of the caller's.
    pub own_host: bool,
    /// What is said of the caller's address.
    pub forwarding: Forwarding,
}

/// A request made ready for the upstream. `upgrade` is the protocol that it asks to change to.
pub(crate) struct Prepared<B> {
    pub request: Request<B>,
    pub upgrade: Option<HeaderValue>,
}

impl Rules {
    /// Makes a keyed request ready for the upstream. A wish to change the protocol is passed over
    /// (RFC 9110 §7.8 allows it; some clients utter it at every first request): a tunnel is no
    /// single operation, so no key could speak for it.
    ///
    /// # Errors
    /// As [`Rules::prepare`].
    pub(crate) fn prepare_whole<B>(
        &self,
        mut request: Request<B>,
    ) -> Result<Request<B>, http::Error>
    where
        B: Body<Data = Bytes>,
    {
        request.headers_mut().remove(UPGRADE);
        Ok(self.prepare(request)?.request)
    }

    /// Makes a request ready for the upstream.
    ///
    /// # Errors
    /// When its target cannot be put behind the upstream's base path.
    pub(crate) fn prepare<B>(&self, request: Request<B>) -> Result<Prepared<B>, http::Error>
    where
        B: Body<Data = Bytes>,
    {
        let (mut parts, body) = request.into_parts();
        let uri = self.target.path(&parts.uri)?;
        // RFC 9112 §3.2.2: an absolute target overrides `Host`.
        if let Some(authority) = parts.uri.authority() {
            parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
        }
        let trailers = hops::wants_trailers(&parts.headers);
        let chunked = parts.headers.contains_key(TRANSFER_ENCODING);
        // RFC 9110 §7.8: HTTP/1.0 cannot, and not before the request is whole: a tunnel would begin with its body.
        let may_change = parts.version == Version::HTTP_11 && body.is_end_stream();
        let upgrade = hops::strip(&mut parts.headers).filter(|_| may_change);
        let peer = parts.extensions.get::<Peer>();
        hops::announce(&mut parts.headers, peer, parts.version, self.forwarding);
        // What Semel asks by itself names no host.
        if self.own_host || !parts.headers.contains_key(HOST) {
            parts.headers.insert(HOST, self.target.host()?);
        }
        // Only Semel speaks of attempts; a caller's own word would be believed upstream.
        parts.headers.remove(IDEMPOTENCY_ATTEMPT);
        parts.headers.remove(IDEMPOTENCY_FENCE);
        // The listener has asked for the body itself (RFC 9110 §10.1.1).
        parts.headers.remove(EXPECT);
        frame(&mut parts.headers, &parts.method, body.size_hint().exact(), chunked);
        if let Some(protocol) = &upgrade {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(UPGRADE, protocol.clone());
        } else if trailers {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("te"));
            parts.headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        parts.uri = uri;
        parts.version = Version::HTTP_11;
        Ok(Prepared { request: Request::from_parts(parts, body), upgrade })
    }
}

/// Says where the body ends by what is known of the body itself, never by what the caller's header
/// says: the two may differ after a body was read whole.
fn frame(headers: &mut HeaderMap, method: &Method, length: Option<u64>, chunked: bool) {
    let stated = headers.remove(CONTENT_LENGTH).is_some() || chunked;
    // RFC 9110 §8.6: a method that expects content gets a length even when there is none.
    let expects = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if let Some(length) = length.filter(|length| *length > 0 || stated || expects) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Makes the head of the reply to an unkeyed request ready for the caller. (To a keyed one, the
/// layer reads the upstream's word on the effect, and takes it off itself.)
pub(crate) fn prepare_reply(headers: &mut HeaderMap) {
    hops::strip(headers);
    headers.remove(IDEMPOTENCY_EFFECT);
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn prepared(request: http::request::Builder, body: &'static str) -> Request<Full<Bytes>> {
        let rules = Rules {
            target: Target::parse("http://api:9").unwrap(),
            own_host: false,
            forwarding: Forwarding::Append,
        };
        rules.prepare(request.body(Full::from(body)).unwrap()).unwrap().request
    }

    #[test]
    fn a_whole_body_gets_its_own_length_whatever_was_said_of_it() {
        let chunked = Request::post("/a").header("transfer-encoding", "chunked");
        assert_eq!(prepared(chunked, "four").headers()["content-length"], "4");
        let empty = prepared(Request::post("/a"), "");
        assert_eq!(empty.headers()["content-length"], "0");
        assert!(!prepared(Request::get("/a"), "").headers().contains_key("content-length"));
    }

    #[test]
    fn a_caller_cannot_speak_of_attempts() {
        let spoofed =
            Request::post("/a").header("idempotency-attempt", "9").header("idempotency-fence", "9");
        let request = prepared(spoofed, "x");
        assert!(!request.headers().contains_key("idempotency-attempt"));
        assert!(!request.headers().contains_key("idempotency-fence"));
    }

    #[test]
    fn an_absolute_target_is_the_host() {
        let request = prepared(Request::get("http://real/a?b").header("host", "other"), "");
        assert_eq!(request.headers()["host"], "real");
        assert_eq!(request.uri(), "/a?b");
    }
}
