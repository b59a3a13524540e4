//! The layer before a service of the test's own.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use semel::core::{Secret, Store};
use semel::engine::{Engine, EngineConfig};
use semel::entropy::SystemEntropy;
use semel::http::{Route, Routes};
use semel::layer::{Body, BoxError, Protection, SemelLayer};
use semel::store::MemoryStore;
use serde_json::Value;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::harness::{Network, TokioClock};

/// A request's body of any kind.
pub(crate) type AnyBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// The layer, and what stands behind it.
pub(crate) struct Door {
    service: BoxCloneSyncService<Request<AnyBody>, Response<Body>, Infallible>,
    pub(crate) engine: Engine,
    pub(crate) network: Arc<Network>,
}

/// A response as far as tests look at it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    /// The header's value; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What became of the key.
    pub(crate) fn word(&self) -> &str {
        self.header("idempotency-status").split(';').next().unwrap()
    }

    /// The slug of the problem.
    pub(crate) fn slug(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        json["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

impl Door {
    /// A door on `route` before `handler`.
    pub(crate) async fn new<F, Fut>(route: Route, handler: F) -> Self
    where
        F: Fn(Request<Body>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let store = Arc::new(MemoryStore::new(TokioClock::new(), &SystemEntropy));
        let network = Network::before(store);
        let store = Arc::clone(&network) as Arc<dyn Store>;
        let engine =
            Engine::start(store, Secret::new(&[7; 32]), EngineConfig::default()).await.unwrap();
        let layer =
            SemelLayer::new(engine.clone(), Protection::new("test", Routes::new(route))).unwrap();
        let inner = service_fn(move |request| {
            let replied = handler(request);
            async move { Ok::<_, Infallible>(replied.await) }
        });
        Self { service: BoxCloneSyncService::new(layer.layer(inner)), engine, network }
    }

    /// Sends `request`.
    pub(crate) fn send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Got> + Send + 'static + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let mut service = self.service.clone();
        async move {
            let response = service.ready().await.unwrap().call(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            Got { status: head.status.as_u16(), headers: head.headers, body }
        }
    }
}

/// A key by number.
pub(crate) fn key(number: u32) -> String {
    format!("8e03978e-40d5-43dd-bc93-{number:012}")
}

/// A keyed POST with more headers.
pub(crate) fn post(
    number: u32,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::post("/charges")
        .header("host", "api.example")
        .header("idempotency-key", key(number));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}
