//! The layer and its service: which path a request takes.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use semel_core::store::BoxFuture;
use tower::{Layer, Service};

use super::answer::problem_response;
use super::body::{Body, BoxError, gather};
use super::promise::Protection;
use super::{Verdict, keyed, reserved};
use crate::engine::Engine;
use crate::http::extract::{Keying, NotKeyed, Within, key_in_body, keying};
use crate::http::problem::RESERVED;
use crate::http::route::{Demand, KeySource, OnWeak};
use crate::http::routes::RoutesError;
use crate::http::status::{IDEMPOTENCY_EFFECT, IDEMPOTENCY_KEY, IDEMPOTENCY_STATUS};
use crate::http::{Problem, Route, Status, Word};

/// Makes a service safe to retry. See the [module](super).
#[derive(Clone, Debug)]
pub struct SemelLayer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) protection: Protection,
    pub(super) inquiry: Route,
}

impl SemelLayer {
    /// A layer over a running engine.
    ///
    /// # Errors
    /// When a route could never keep its promise.
    pub fn new(engine: Engine, protection: Protection) -> Result<Self, RoutesError> {
        protection.routes.check(engine.deadline())?;
        let inquiry = inquiry_route(protection.routes.default_route());
        Ok(Self { shared: Arc::new(Shared { engine, protection, inquiry }) })
    }
}

impl Shared {
    /// The key and scope of a request on `route`.
    pub(super) fn keying(
        &self,
        parts: &Parts,
        body: &[u8],
        route: &Route,
    ) -> Result<Keying, Box<Problem>> {
        let within = Within {
            route,
            service: &self.protection.service,
            secret: self.engine.secret(),
            now: self.engine.now(),
        };
        keying(parts, body, &within)
    }
}

/// An inquiry bears its key in a header, whatever the method, and its principal where the default
/// route has it.
fn inquiry_route(route: &Route) -> Route {
    let key = match &route.key {
        KeySource::Header(name) => KeySource::Header(name.clone()),
        KeySource::Body(_) => KeySource::Header(IDEMPOTENCY_KEY),
    };
    Route {
        methods: vec![Method::GET, Method::HEAD, Method::DELETE, Method::POST],
        demand: Demand::Required,
        on_weak: OnWeak::Warn,
        key,
        ..route.clone()
    }
}

impl<S> Layer<S> for SemelLayer {
    type Service = Semel<S>;

    fn layer(&self, inner: S) -> Semel<S> {
        Semel { shared: Arc::clone(&self.shared), inner }
    }
}

/// A service made safe to retry. See the [module](super).
#[derive(Clone)]
pub struct Semel<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> fmt::Debug for Semel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semel").field("protection", &self.shared.protection).finish_non_exhaustive()
    }
}

impl<S, B, RB> Service<Request<B>> for Semel<S>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone was never polled ready: the one that was does the work, the clone stays.
        let fresh = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, fresh);
        let shared = Arc::clone(&self.shared);
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if path.strip_prefix(RESERVED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return Box::pin(async move { Ok(reserved::answer(&shared, &parts).await) });
        }
        let route = Arc::clone(shared.protection.routes.find(&parts.method, path));
        if key_in_body(&parts, &route) {
            return Box::pin(async move {
                let body = match gather(body, route.body_max).await {
                    Ok(body) => body,
                    Err(problem) => return Ok(problem_response(*problem)),
                };
                match shared.keying(&parts, &body, &route) {
                    Ok(Keying::Keyed(keyed)) => {
                        keyed::answer(shared, route, keyed, parts, body, inner).await
                    }
                    Ok(Keying::NotKeyed(not)) => {
                        let call = inner.call(Request::from_parts(parts, Body::full(body)));
                        Ok(unkeyed(call.await?, not))
                    }
                    Err(problem) => Ok(problem_response(*problem)),
                }
            });
        }
        match shared.keying(&parts, &[], &route) {
            Ok(Keying::Keyed(keyed)) => Box::pin(async move {
                match gather(body, route.body_max).await {
                    Ok(body) => keyed::answer(shared, route, keyed, parts, body, inner).await,
                    Err(problem) => Ok(problem_response(*problem)),
                }
            }),
            Ok(Keying::NotKeyed(not)) => {
                let call = inner.call(Request::from_parts(parts, Body::boxed(body)));
                Box::pin(async move { Ok(unkeyed(call.await?, not)) })
            }
            Err(problem) => Box::pin(std::future::ready(Ok(problem_response(*problem)))),
        }
    }
}

/// Passes a response through; one whose request bore a key that does not count says so.
fn unkeyed<RB>(response: Response<RB>, not: NotKeyed) -> Response<Body>
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
    if not.ignored {
        let ignored = Status::new(Word::Ignored).to_value();
        response.headers_mut().insert(IDEMPOTENCY_STATUS, ignored);
    }
    response
}
