//! The service itself: prepare, send once, classify.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use semel::engine::Attempt;
use semel::http::Route;
use tower::Service;

use super::forward::{Prepared, Rules, prepare_reply};
use super::plain;
use super::reply_body::ReplyBody;
use super::upstream::{Answered, BoxError, Unanswered, Upstream};
use super::{keyed, tunnel};

/// The reverse proxy. Cloned at every request, so clones share all of it.
#[derive(Debug)]
pub(crate) struct Gateway<U>(Arc<Inner<U>>);

impl<U> Clone for Gateway<U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<U> {
    upstream: U,
    rules: Rules,
    /// The reply to a keyed request must be whole so long after there was a connection, up to the size
    /// that its route keeps. Longer ones are passed on as they come, and may take their time.
    reply_time: Duration,
}

impl<U> Gateway<U> {
    /// Before `upstream`, by these rules.
    pub(crate) fn new(upstream: U, rules: Rules, reply_time: Duration) -> Self {
        Self(Arc::new(Inner { upstream, rules, reply_time }))
    }
}

impl<U, B> Service<Request<B>> for Gateway<U>
where
    U: Upstream<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let this = Arc::clone(&self.0);
        match request.extensions_mut().remove::<Attempt>() {
            Some(attempt) => Box::pin(async move { Ok(execute(this, request, attempt).await) }),
            None => Box::pin(async move { Ok(pass(this, request).await) }),
        }
    }
}

/// A keyed request, whose outcome somebody will be told of.
async fn execute<U, B>(
    gateway: Arc<Inner<U>>,
    request: Request<B>,
    attempt: Attempt,
) -> Response<ReplyBody>
where
    U: Upstream<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let route = request.extensions().get::<Arc<Route>>().map(Arc::clone);
    let route = route.expect("the layer tells the rules beside the attempt");
    let Ok(mut request) = gateway.rules.prepare_whole(request) else {
        return keyed::unsent("the target of the request is no path", &attempt);
    };
    keyed::introduce(request.headers_mut(), &attempt, &route);
    if !attempt.may_begin() {
        return keyed::unsent("the lease had ended before the request could be sent", &attempt);
    }
    let Answered { mut response, connected } = match gateway.upstream.send(request).await {
        Ok(answered) => answered,
        Err(error) => return keyed::unanswered(&error, &attempt),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let reason = "it changed the protocol without being asked".to_owned();
        return keyed::unanswered(&Unanswered::Unknown { reason }, &attempt);
    }
    super::hops::strip(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    if is_stream(response.headers()) {
        return response.map(ReplyBody::Streamed);
    }
    // The caller's own connection may be long gone: nothing but this clock ends the wait.
    let time = gateway.reply_time;
    response.map(|body| ReplyBody::timed(body, connected + time, time, route.reply_max))
}

/// Server-sent events come as they come, and end when they end.
fn is_stream(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default();
    media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// An unkeyed request: streamed through both ways.
async fn pass<U, B>(gateway: Arc<Inner<U>>, mut request: Request<B>) -> Response<ReplyBody>
where
    U: Upstream<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let callers_end = tunnel::callers_end(&mut request);
    let Ok(Prepared { request, upgrade }) = gateway.rules.prepare(request) else {
        return plain::answer(StatusCode::BAD_REQUEST, "The target of the request is no path.");
    };
    let mut response = match gateway.upstream.send(request).await {
        Ok(answered) => answered.response,
        Err(unanswered) => return explain(&unanswered),
    };
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switched && upgrade.is_none() {
        return plain::answer(
            StatusCode::BAD_GATEWAY,
            "The upstream changed the protocol without being asked.",
        );
    }
    let to = response.headers().get(UPGRADE).cloned();
    prepare_reply(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    if switched {
        tunnel::join(callers_end, &mut response);
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(to) = to.or(upgrade) {
            headers.insert(UPGRADE, to);
        }
    }
    response.map(ReplyBody::Streamed)
}

fn explain(unanswered: &Unanswered) -> Response<ReplyBody> {
    tracing::warn!(error = %unanswered, "an unkeyed request got no answer");
    match unanswered {
        Unanswered::NotSent { .. } => plain::answer(
            StatusCode::BAD_GATEWAY,
            "The upstream cannot be reached; nothing of the request was sent.",
        ),
        Unanswered::Unknown { .. } => plain::answer(
            StatusCode::BAD_GATEWAY,
            "The upstream broke off before it answered; it may have acted on the request.",
        ),
        Unanswered::TooSlow { .. } => plain::answer(
            StatusCode::GATEWAY_TIMEOUT,
            "The upstream did not answer in time; it may have acted on the request.",
        ),
    }
}
