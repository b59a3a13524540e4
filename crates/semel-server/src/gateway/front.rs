//! The first to see a request: refuses what cannot be passed on unambiguously, before any key is
//! looked at, and counts what was answered.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::Either;
use hyper::body::Incoming;
use semel::http::status::{IDEMPOTENCY_KEY, IDEMPOTENCY_STATUS};
use semel::http::{Status, Word};
use tower::Service;

use super::asked;
use super::plain;
use super::reply_body::ReplyBody;
use super::request_body::{Broken, CallerBody};
use crate::peer::Peer;
use crate::telemetry;

/// What a connection's requests go through first.
#[derive(Clone, Debug)]
pub(crate) struct Front<S> {
    inner: S,
    peer: Peer,
    pause_max: Duration,
    headers_max: usize,
}

impl<S> Front<S> {
    /// For the requests of one connection, whose bodies may pause for `pause_max` at a time.
    pub(crate) const fn new(inner: S, peer: Peer, pause_max: Duration, headers_max: usize) -> Self {
        Self { inner, peer, pause_max, headers_max }
    }
}

impl<S, R> hyper::service::Service<Request<Incoming>> for Front<S>
where
    S: Service<Request<CallerBody>, Response = Response<R>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Either<R, ReplyBody>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let began = Instant::now();
        let http_2 = request.version() == Version::HTTP_2;
        let judged = judge(&request, self.headers_max).and_then(|()| {
            asked::settle(&mut request).map_err(|why| (StatusCode::BAD_REQUEST, why))
        });
        if let Err((status, why)) = judged {
            telemetry::answered(Some(Word::Refused), status, began.elapsed());
            let mut response = plain::answer(status, why).map(Either::Right);
            if !http_2 {
                // What follows on this connection cannot be told from the body of this request.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if request.headers().contains_key(IDEMPOTENCY_KEY) {
                let refused = Status::new(Word::Refused).to_value();
                response.headers_mut().insert(IDEMPOTENCY_STATUS, refused);
            }
            return Box::pin(std::future::ready(Ok(response)));
        }
        let pause_max = self.pause_max;
        let broken = Broken::default();
        let mut request = request.map(|body| CallerBody::new(body, pause_max, broken.clone()));
        request.extensions_mut().insert(self.peer.clone());
        let inner = self.inner.clone();
        Box::pin(async move {
            let mut response = tower::ServiceExt::oneshot(inner, request).await?.map(Either::Left);
            if response.status() == StatusCode::BAD_GATEWAY
                && word_of(&response).is_none()
                && broken.is_so()
            {
                // Not the upstream broke off, but what was passed on to it.
                response = plain::answer(StatusCode::BAD_REQUEST, BROKEN).map(Either::Right);
                if !http_2 {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
            }
            telemetry::answered(word_of(&response), response.status(), began.elapsed());
            Ok(response)
        })
    }
}

const BROKEN: &str = "The body of the request broke off, or its framing is wrong. The upstream may have had a part \
                      of it, and never the whole.";

/// The word of `Idempotency-Status`, for counting.
fn word_of<B>(response: &Response<B>) -> Option<Word> {
    let said = response.headers().get(IDEMPOTENCY_STATUS)?.to_str().ok()?;
    let name = said.split(';').next()?.trim();
    Word::ALL.into_iter().find(|word| word.name() == name)
}

/// Whether it can be passed on unambiguously.
fn judge<B>(request: &Request<B>, headers_max: usize) -> Result<(), (StatusCode, &'static str)> {
    let headers = request.headers();
    if *request.method() == Method::CONNECT {
        return Err((
            StatusCode::NOT_IMPLEMENTED,
            "CONNECT makes a tunnel to a host of the caller's choice; this gateway serves one upstream.",
        ));
    }
    // HTTP/1.1 refuses them as it reads them.
    if headers.len() > headers_max {
        return Err((
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "The request has more headers than are taken here.",
        ));
    }
    // RFC 9112 §6.3: both at once is how one request is smuggled within another.
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        return Err((
            StatusCode::BAD_REQUEST,
            "The request has a Content-Length and a Transfer-Encoding: where it ends is ambiguous.",
        ));
    }
    // RFC 9112 §6.1 and §7.1: chunks once and last. Another coding below them would be lost on the way, since
    // its header means this connection only.
    let codings = headers.get_all(TRANSFER_ENCODING);
    if codings.iter().count() > 1 {
        return Err((StatusCode::BAD_REQUEST, "The request has more than one Transfer-Encoding."));
    }
    if codings.iter().any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
    {
        return Err((
            StatusCode::NOT_IMPLEMENTED,
            "The request has a transfer coding that is not spoken here; only chunked is.",
        ));
    }
    // Servers that cannot tell `_` from `-` would read them as what they are not.
    if ["content_length", "transfer_encoding"].iter().any(|name| headers.contains_key(*name)) {
        return Err((
            StatusCode::BAD_REQUEST,
            "The request has a header that some take for Content-Length or Transfer-Encoding.",
        ));
    }
    // RFC 9112 §3.2. In HTTP/2 it is `:authority` that names the host, or else `Host`.
    let hosts = headers.get_all(HOST).iter().count();
    let named = match request.version() {
        Version::HTTP_11 => hosts == 1,
        Version::HTTP_2 => {
            hosts + usize::from(request.uri().authority().is_some()) > 0 && hosts < 2
        }
        _ => hosts < 2,
    };
    if named {
        Ok(())
    } else {
        Err((StatusCode::BAD_REQUEST, "The request must have exactly one Host."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_requests_are_refused_and_plain_ones_are_not() {
        let post = || Request::post("/").header("host", "a");
        let status = |request: http::request::Builder| {
            judge(&request.body(()).unwrap(), 4).map_or_else(|(status, _)| status.as_u16(), |()| 0)
        };
        assert_eq!(status(post().header("content-length", "3")), 0);
        assert_eq!(status(post().header("transfer-encoding", "chunked")), 0);
        let both = post().header("content-length", "3").header("transfer-encoding", "chunked");
        assert_eq!(status(both), 400);
        assert_eq!(status(post().header("content_length", "3")), 400);
        let twice = post().header("transfer-encoding", "chunked");
        assert_eq!(status(twice.header("transfer-encoding", "chunked")), 400);
        assert_eq!(status(post().header("transfer-encoding", "gzip, chunked")), 501);
        assert_eq!(status(Request::post("/")), 400);
        assert_eq!(status(post().header("host", "b")), 400);
        assert_eq!(status(Request::post("/").version(Version::HTTP_10)), 0);
        assert_eq!(status(Request::connect("a:1").header("host", "a")), 501);
        let many = (0..4).fold(post(), |request, n| request.header(format!("x-{n}"), "1"));
        assert_eq!(status(many), 431);
        assert_eq!(status(Request::get("https://a/").version(Version::HTTP_2)), 0);
        assert_eq!(status(Request::get("/").version(Version::HTTP_2)), 400);
    }
}
