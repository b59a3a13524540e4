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

use super::plain;
use super::reply_body::ReplyBody;
use super::request_body::CallerBody;
use crate::peer::Peer;
use crate::telemetry;

/// What a connection's requests go through first.
#[derive(Clone, Debug)]
pub(crate) struct Front<S> {
    inner: S,
    peer: Peer,
    pause_max: Duration,
}

impl<S> Front<S> {
    /// For the requests of one connection.
    pub(crate) const fn new(inner: S, peer: Peer, pause_max: Duration) -> Self {
        Self { inner, peer, pause_max }
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

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let began = Instant::now();
        if let Some((status, why)) = refuse(&request) {
            telemetry::answered(Some(Word::Refused), status, began.elapsed());
            let mut response = plain::answer(status, why).map(Either::Right);
            // What follows on this connection cannot be told from the body of this request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            if request.headers().contains_key(IDEMPOTENCY_KEY) {
                let refused = Status::new(Word::Refused).to_value();
                response.headers_mut().insert(IDEMPOTENCY_STATUS, refused);
            }
            return Box::pin(std::future::ready(Ok(response)));
        }
        let pause_max = self.pause_max;
        let mut request = request.map(|body| CallerBody::new(body, pause_max));
        request.extensions_mut().insert(self.peer.clone());
        let inner = self.inner.clone();
        Box::pin(async move {
            let response = tower::ServiceExt::oneshot(inner, request).await?;
            telemetry::answered(word_of(&response), response.status(), began.elapsed());
            Ok(response.map(Either::Left))
        })
    }
}

/// The word of `Idempotency-Status`, for counting.
fn word_of<B>(response: &Response<B>) -> Option<Word> {
    let said = response.headers().get(IDEMPOTENCY_STATUS)?.to_str().ok()?;
    let name = said.split(';').next()?.trim();
    Word::ALL.into_iter().find(|word| word.name() == name)
}

fn refuse<B>(request: &Request<B>) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    if *request.method() == Method::CONNECT {
        return Some((
            StatusCode::NOT_IMPLEMENTED,
            "CONNECT makes a tunnel to a host of the caller's choice; this gateway serves one upstream.",
        ));
    }
    // RFC 9112 §6.3: both at once is how one request is smuggled within another.
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        return Some((
            StatusCode::BAD_REQUEST,
            "The request has a Content-Length and a Transfer-Encoding: where it ends is ambiguous.",
        ));
    }
    // RFC 9112 §3.2.
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Some((StatusCode::BAD_REQUEST, "The request must have exactly one Host."));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_requests_are_refused_and_plain_ones_are_not() {
        let post = || Request::post("/").header("host", "a");
        let status = |request: http::request::Builder| refuse(&request.body(()).unwrap());
        assert!(status(post().header("content-length", "3")).is_none());
        assert!(status(post().header("transfer-encoding", "chunked")).is_none());
        let both = post().header("content-length", "3").header("transfer-encoding", "chunked");
        assert_eq!(status(both).unwrap().0, 400);
        assert_eq!(status(Request::post("/")).unwrap().0, 400);
        assert_eq!(status(post().header("host", "b")).unwrap().0, 400);
        assert!(status(Request::post("/").version(Version::HTTP_10)).is_none());
        assert_eq!(status(Request::connect("a:1").header("host", "a")).unwrap().0, 501);
    }
}
