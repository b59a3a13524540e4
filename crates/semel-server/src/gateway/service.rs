//! The service itself: prepare, send once, classify.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use tower::Service;

use super::forward::{Prepared, Rules, prepare_reply};
use super::plain;
use super::reply_body::ReplyBody;
use super::tunnel;
use super::upstream::{BoxError, Unanswered, Upstream};

/// The reverse proxy.
#[derive(Clone, Debug)]
pub(crate) struct Gateway<U> {
    upstream: U,
    rules: Arc<Rules>,
}

impl<U> Gateway<U> {
    /// Before `upstream`, by these rules.
    pub(crate) fn new(upstream: U, rules: Rules) -> Self {
        Self { upstream, rules: Arc::new(rules) }
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(pass(this, request).await) })
    }
}

/// Unkeyed: streamed through both ways.
async fn pass<U, B>(gateway: Gateway<U>, mut request: Request<B>) -> Response<ReplyBody>
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
        Ok(response) => response,
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
