//! The layer and its service. Goes on in `path.rs`.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use semel_core::store::BoxFuture;
use semel_core::{Policy, Span};
use tower::{Layer, Service};

use super::body::{Body, BoxError};
use super::meters::Meters;
use super::path;
use super::promise::Protection;
use super::quota::Quotas;
use super::twins::Twins;
use crate::engine::Engine;
use crate::http::extract::{Keying, Within, keying};
use crate::http::route::{Demand, KeySource, OnWeak};
use crate::http::routes::RoutesError;
use crate::http::status::IDEMPOTENCY_KEY;
use crate::http::{Problem, Route, Routes};

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
    pub(super) meters: Meters,
    pub(super) quotas: Quotas,
    pub(super) twins: Twins,
}

impl SemelLayer {
    /// A layer over a running engine. A recorder of `metrics` must be installed before, or what this
    /// layer counts is lost.
    ///
    /// # Errors
    /// When a route could never keep its promise.
    pub fn new(engine: Engine, protection: Protection) -> Result<Self, RoutesError> {
        protection.routes.check(engine.deadline())?;
        let inquiry = inquiry_route(&protection.routes);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                protection,
                inquiry,
                meters: Meters::new(),
                quotas: Quotas::default(),
                twins: Twins::new(),
            }),
        })
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
///
/// It names no route, so a void must hold as long as the longest memory of all.
fn inquiry_route(routes: &Routes) -> Route {
    let route = routes.default_route();
    let memories = routes.iter().map(|(_, route)| route.policy.memory);
    let memory = memories.fold(route.policy.memory, Span::max);
    let key = match &route.key {
        KeySource::Header(name) => KeySource::Header(name.clone()),
        KeySource::Body(_) => KeySource::Header(IDEMPOTENCY_KEY),
    };
    Route {
        methods: vec![Method::GET, Method::HEAD, Method::DELETE, Method::POST],
        demand: Demand::Required,
        on_weak: OnWeak::Warn,
        key,
        policy: Policy { memory, ..route.policy.clone() },
        ..Route::clone(route)
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
        let inner = mem::replace(&mut self.inner, fresh);
        let shared = Arc::clone(&self.shared);
        Box::pin(path::answer(shared, request, inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::Pattern;

    #[test]
    fn an_inquiry_judges_by_the_longest_memory_of_all_routes() {
        let year = Span::from_secs(365 * 86_400);
        let policy = Policy { memory: year, ..Policy::default() };
        let long = Route { policy, ..Route::default() };
        let pattern = Pattern { prefix: "/v1/charges".to_owned(), methods: vec![] };
        let routes = Routes::default().with(pattern, long);
        assert_eq!(inquiry_route(&routes).policy.memory, year);
    }
}
