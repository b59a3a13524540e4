//! The layer and its service. Goes on in `path.rs`.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use semel_core::store::BoxFuture;
use tower::{Layer, Service};

use super::body::{Body, BoxError};
use super::meters::Meters;
use super::path;
use super::promise::Protection;
use super::quota::Quotas;
use super::reconcile::{Asks, ThroughInner};
use super::twins::Twins;
use crate::engine::{Engine, LookUp, Reconciler};
use crate::http::extract::{Keying, Within, keying};
use crate::http::inquiry::Ways;
use crate::http::routes::RoutesError;
use crate::http::{Problem, Route};

/// Makes a service safe to retry. See the [module](super).
#[derive(Clone, Debug)]
pub struct SemelLayer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) protection: Protection,
    pub(super) ways: Ways,
    pub(super) meters: Meters,
    pub(super) quotas: Quotas,
    pub(super) twins: Twins,
    pub(super) asks: Asks,
}

impl SemelLayer {
    /// A layer over a running engine. A recorder of `metrics` must be installed before, or what this
    /// layer counts is lost.
    ///
    /// # Errors
    /// When a route could never keep its promise.
    pub fn new(engine: Engine, mut protection: Protection) -> Result<Self, RoutesError> {
        protection.routes.check(engine.deadline())?;
        protection.routes.name(&protection.service, engine.secret());
        let ways = Ways::of(&protection.routes);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                protection,
                ways,
                meters: Meters::new(),
                quotas: Quotas::default(),
                twins: Twins::new(),
                asks: Asks::new(),
            }),
        })
    }

    /// What asks by itself about keys in doubt, through `inner`, on the routes that have a look-up
    /// ([`Route::reconcile`]); [`Reconciler::start`] sets it off. Look-ups that need the caller's key are
    /// not among them.
    pub fn reconciler<S, RB>(&self, inner: &S) -> Reconciler
    where
        S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        RB: http_body::Body<Data = Bytes> + Send + 'static,
        RB::Error: Into<BoxError>,
    {
        let (engine, routes) = (&self.shared.engine, &self.shared.protection.routes);
        let all = routes.iter().map(|(_, route)| route).chain([routes.default_route()]);
        let look_ups = all.filter_map(|route| {
            let tag = route.policy.route?;
            let look_up = ThroughInner::by_itself(route, engine.secret(), inner.clone())?;
            Some((tag, Arc::new(look_up) as Arc<dyn LookUp>))
        });
        Reconciler::new(engine, look_ups)
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
