//! Which path a request takes: reserved, unkeyed, or keyed. What a browser is told on its way out is
//! `browser.rs`'s. Must never touch the store; goes on in
//! `keyed.rs`.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tower::Service;

use super::answer::{in_grpc, problem_response};
use super::body::{Body, BoxError};
use super::browser::Browser;
use super::keyed::{self, Call};
use super::service::Shared;
use super::spool::{Bounds, Payload, gather};
use super::{Verdict, observe, reserved};
use crate::http::cors::preflight;
use crate::http::extract::{Keying, NotKeyed, key_in_body};
use crate::http::grpc::is_grpc;
use crate::http::problem::RESERVED;
use crate::http::route::Mode;
use crate::http::status::{IDEMPOTENCY_EFFECT, IDEMPOTENCY_STATUS};
use crate::http::{Route, Status, Word};

/// Answers a request.
///
/// The longer paths are boxed, here and below: a future is as long as its longest path, and is copied
/// whole into the box of every request, also of those that only pass through.
pub(super) async fn answer<S, B, RB>(
    shared: Arc<Shared>,
    request: Request<B>,
    inner: S,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    if is_reserved(parts.uri.path()) {
        return Ok(Box::pin(reserved::answer(&shared, &parts)).await);
    }
    // A preflight speaks of another request, so it falls under that one's route.
    let preflight = preflight(&parts.method, &parts.headers);
    let method = preflight.as_ref().unwrap_or(&parts.method);
    let route = Arc::clone(shared.protection.routes.find(method, parts.uri.path()));
    let grpc = is_grpc(&parts.headers);
    let browser = Browser::of(&route, &parts, preflight.is_some());
    let mut response = match route.mode {
        Mode::Enforce => enforce(&shared, route, parts, body, inner).await?,
        Mode::Observe => {
            Box::pin(observe::pass(&shared, route, parts, Body::boxed(body), inner)).await?
        }
    };
    if let Some(browser) = browser {
        browser.tell(&mut response);
    }
    if grpc {
        response = in_grpc(response);
    }
    shared.meters.answered(response.headers());
    Ok(response)
}

fn is_reserved(path: &str) -> bool {
    path.strip_prefix(RESERVED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn enforce<S, B, RB>(
    shared: &Shared,
    route: Arc<Route>,
    parts: Parts,
    body: B,
    inner: S,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let secret = shared.engine.secret();
    if key_in_body(&parts, &route) {
        let bounds = Bounds { memory: route.body_max, max: route.body_max };
        let body = match gather(body, bounds, secret).await {
            Ok(body) => body,
            Err(problem) => return Ok(problem_response(*problem)),
        };
        let held = match &body {
            Payload::Held(bytes) => &bytes[..],
            Payload::Spooled(_) => unreachable!("nothing is spooled where all may be held"),
        };
        return match shared.keying(&parts, held, &route) {
            Ok(Keying::Keyed(keyed)) => {
                Box::pin(keyed::answer(shared, Call { route, keyed, parts, body }, inner)).await
            }
            Ok(Keying::NotKeyed(not)) => unkeyed(parts, body.into_body(), inner, not).await,
            Err(problem) => Ok(problem_response(*problem)),
        };
    }
    match shared.keying(&parts, &[], &route) {
        Ok(Keying::Keyed(keyed)) => {
            let bounds = Bounds { memory: route.body_memory_max, max: route.body_max };
            match gather(body, bounds, secret).await {
                Ok(body) => {
                    Box::pin(keyed::answer(shared, Call { route, keyed, parts, body }, inner)).await
                }
                Err(problem) => Ok(problem_response(*problem)),
            }
        }
        Ok(Keying::NotKeyed(not)) => unkeyed(parts, Body::boxed(body), inner, not).await,
        Err(problem) => Ok(problem_response(*problem)),
    }
}

/// Passes request and response through; one whose request bore a key that does not count says so.
async fn unkeyed<S, RB>(
    parts: Parts,
    body: Body,
    mut inner: S,
    not: NotKeyed,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let response = plain(inner.call(Request::from_parts(parts, body)).await?);
    Ok(ignoring(response, not.ignored))
}

/// With the word that the request's key does not count, if it bears one.
pub(super) fn ignoring(mut response: Response<Body>, ignored: bool) -> Response<Body> {
    if ignored {
        let ignored = Status::new(Word::Ignored).to_value();
        response.headers_mut().insert(IDEMPOTENCY_STATUS, ignored);
    }
    response
}

/// The inner service's response to a request without protection: a problem that it hands over is
/// written, and its word on keys goes no further.
pub(super) fn plain<RB>(response: Response<RB>) -> Response<Body>
where
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let mut response = match response.extensions().get::<Verdict>() {
        Some(Verdict::Released(Some(problem))) => problem_response(problem.clone()),
        _ => response.map(Body::boxed),
    };
    response.headers_mut().remove(IDEMPOTENCY_EFFECT);
    response.headers_mut().remove(IDEMPOTENCY_STATUS);
    response
}
