//! What the admin listener answers. Its paths are in [`super::paths`], and described for programs in
//! `openapi.json`.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use metrics_exporter_prometheus::PrometheusHandle;
use semel::core::RecordId;
use semel::engine::{Engine, Reconciler};
use semel::http::{Ways, rfc3339};
use semel::layer::Protection;
use semel::store::embedded::{EmbeddedStore, Stats};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::{Access, Refusal, Who, of_no_page};
use super::audit::Audit;
use super::forecast::{self, Observed};
use super::keys::{self, Act, Find, ListQuery, Word};
use super::openapi;
use super::paths::{self, Asked, Found};
use super::problem::{Told, is_problem, refused};
use super::reconcile;

/// Bytes of the largest request.
const BODY_MAX: usize = 16 * 1024;

/// The admin listener's service, for one peer; clones share all else.
#[derive(Clone)]
pub(crate) struct Service {
    inner: Arc<Inner>,
    peer: IpAddr,
}

struct Inner {
    engine: Engine,
    protection: Protection,
    ways: Ways,
    log: Option<Arc<EmbeddedStore>>,
    metrics: PrometheusHandle,
    access: Access,
    audit: Audit,
    reconciler: OnceLock<Reconciler>,
    draining: AtomicBool,
    /// When the store was opened, but for a moment.
    opened: Instant,
}

impl Service {
    /// For operators of `engine`.
    pub(crate) fn new(
        engine: Engine,
        protection: Protection,
        log: Option<Arc<EmbeddedStore>>,
        metrics: PrometheusHandle,
        access: Access,
        audit: Audit,
    ) -> Self {
        let (draining, opened) = (AtomicBool::new(false), Instant::now());
        let ways = Ways::of(&protection.routes);
        let inner = Inner {
            engine,
            protection,
            ways,
            log,
            metrics,
            access,
            audit,
            reconciler: OnceLock::new(),
            draining,
            opened,
        };
        Self { inner: Arc::new(inner), peer: IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
    }

    /// For a connection from `peer`.
    pub(crate) fn of(&self, peer: SocketAddr) -> Self {
        Self { inner: Arc::clone(&self.inner), peer: peer.ip().to_canonical() }
    }

    /// Asks the upstream by these look-ups.
    pub(crate) fn reconcile_by(&self, reconciler: Reconciler) {
        let _there_is_one_already = self.inner.reconciler.set(reconciler);
    }

    /// From now on the process is not ready.
    pub(crate) fn draining(&self) {
        self.inner.draining.store(true, Ordering::SeqCst);
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { inner, peer } = self.clone();
        Box::pin(async move { Ok(inner.answer(request, peer).await) })
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let (endpoint, id) = match paths::find(&parts.method, parts.uri.path()) {
            Found::Endpoint(endpoint, id) => (endpoint, id),
            Found::Other(allowed) => return other_methods(&allowed),
            Found::Nothing => return json_response(nothing_here()),
        };
        let who = of_no_page(&parts).and_then(|()| self.access.who(&parts, peer, endpoint.role));
        let who = match who {
            Ok(who) => who,
            Err(refusal) => return not_served(refusal),
        };
        let told = match endpoint.asked {
            Asked::Live => (StatusCode::OK, json!({ "live": true })),
            Asked::Ready => self.ready().await,
            Asked::OpenApi => return openapi::response(),
            Asked::Metrics => return self.metrics(),
            Asked::Store => self.store().await,
            Asked::Policy => {
                let kept = self.engine.store().capabilities();
                (StatusCode::OK, self.protection.published(&kept))
            }
            Asked::List => match ListQuery::parse(parts.uri.query().unwrap_or_default()) {
                Ok(query) => keys::list(&self.engine, query).await,
                Err(why) => refused(StatusCode::BAD_REQUEST, why),
            },
            Asked::Find => match read::<Find>(body).await {
                Ok(asked) => keys::find(&self.engine, &self.ways, &self.protection.service, asked),
                Err(told) => told,
            },
            Asked::Show => match RecordId::parse(&id) {
                Some(id) => keys::show(&self.engine, id).await,
                None => no_id(),
            },
            Asked::Resolve | Asked::Reconcile | Asked::Void | Asked::Erase => {
                self.act(endpoint.asked, &id, &who, body).await.unwrap_or_else(|told| told)
            }
        };
        json_response(told)
    }

    /// # Errors
    /// What is told where it was asked wrongly.
    async fn act(&self, asked: Asked, id: &str, who: &Who, body: Incoming) -> Result<Told, Told> {
        let id = RecordId::parse(id).ok_or_else(no_id)?;
        let act = match asked {
            Asked::Resolve => Act::Resolve(read::<Word>(body).await?.checked()?),
            Asked::Void => {
                let named = read_optional::<Find>(body).await?;
                let service = &self.protection.service;
                keys::voiding(&self.engine, &self.ways, service, id, named).await?
            }
            Asked::Erase => {
                let _nothing = read_optional::<Nothing>(body).await?;
                Act::Erase
            }
            Asked::Reconcile => {
                let _nothing = read_optional::<Nothing>(body).await?;
                let reconciler = self.reconciler.get();
                return Ok(reconcile::ask(&self.engine, reconciler, &self.audit, who, id).await);
            }
            _ => return Err(nothing_here()),
        };
        Ok(keys::act(&self.engine, &self.audit, who, id, act).await)
    }

    async fn ready(&self) -> Told {
        if self.draining.load(Ordering::SeqCst) {
            return (StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "why": "draining" }));
        }
        // A log that has stopped still answers reads, and takes no key any more.
        let works = self.log.as_ref().map_or(Ok(()), |log| log.working());
        match works.and(self.engine.status().await) {
            Ok(_) => (StatusCode::OK, json!({ "ready": true })),
            Err(error) => {
                let why = json!({ "ready": false, "why": error.to_string() });
                (StatusCode::SERVICE_UNAVAILABLE, why)
            }
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        metrics::gauge!("semel_in_flight").set(self.engine.in_flight() as f64);
        if let Some(log) = &self.log {
            let stats = log.stats();
            metrics::gauge!("semel_store_keys").set(stats.keys as f64);
            metrics::gauge!("semel_store_spent_keys").set(stats.spent_keys as f64);
            metrics::gauge!("semel_store_log_bytes").set(stats.log_bytes as f64);
            metrics::gauge!("semel_store_spent_bytes").set(stats.spent_bytes as f64);
            metrics::gauge!("semel_store_index_bytes").set(stats.index_bytes as f64);
        }
        self.metrics.run_upkeep();
        let mut response = Response::new(Full::from(self.metrics.render()));
        let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, media);
        response
    }

    fn observed(&self, stats: Stats) -> Observed {
        let default = &self.protection.routes.default_route().policy;
        let (mut retention, mut memory) = (default.retention, default.memory);
        for (_, route) in self.protection.routes.iter() {
            retention = retention.max(route.policy.retention);
            memory = memory.max(route.policy.memory);
        }
        Observed { stats, over: self.opened.elapsed(), retention, memory }
    }

    async fn store(&self) -> Told {
        let kept = self.engine.store().capabilities();
        match self.engine.status().await {
            Ok(status) => {
                let observed = self.log.as_ref().map(|log| self.observed(log.stats()));
                let told = json!({
                    "kind": kept.name,
                    "survives": {
                        "process_crash": kept.survives_process_crash,
                        "power_loss": kept.survives_power_loss,
                        "failover": kept.survives_failover,
                    },
                    "incarnation": status.incarnation.to_string(),
                    "time": rfc3339(status.at),
                    "deletion_paused": status.deletion_paused,
                    "in_flight": self.engine.in_flight(),
                    "stats": observed.map(|observed| stats(&observed.stats)),
                    "forecast": observed.map(|observed| forecast::numbers(&observed)),
                    "outlook": observed.map(|observed| forecast::words(&observed)),
                });
                (StatusCode::OK, told)
            }
            Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

fn stats(stats: &Stats) -> Value {
    let keys = stats.keys as u64 + stats.spent_keys;
    let bytes = stats.log_bytes + stats.spent_bytes;
    json!({
        "keys": stats.keys,
        "spent_keys": stats.spent_keys,
        "log_bytes": stats.log_bytes,
        "spent_bytes": stats.spent_bytes,
        "index_bytes": stats.index_bytes,
        "bytes_a_key": bytes.checked_div(keys),
    })
}

/// A body that says nothing.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn nothing_here() -> Told {
    refused(StatusCode::NOT_FOUND, "there is nothing here; /openapi.json says what there is")
}

fn other_methods(allowed: &str) -> Response<Full<Bytes>> {
    let why = format!("this is for {allowed}");
    let mut response = json_response(refused(StatusCode::METHOD_NOT_ALLOWED, why));
    let allowed = HeaderValue::from_str(allowed).expect("names of methods are a header's value");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn not_served(Refusal { status, why, after }: Refusal) -> Response<Full<Bytes>> {
    let mut response = json_response(refused(status, why));
    let headers = response.headers_mut();
    if let Some(seconds) = after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"semel admin\""));
    }
    response
}

fn no_id() -> Told {
    refused(StatusCode::BAD_REQUEST, "a record's id is 64 hexadecimal digits")
}

async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Told> {
    parse(&whole(body).await?)
}

/// `None` where the body says nothing: it is `{}` or empty.
async fn read_optional<T: DeserializeOwned>(body: Incoming) -> Result<Option<T>, Told> {
    let body = whole(body).await?;
    match body.trim_ascii() {
        b"" | b"{}" => Ok(None),
        said => parse(said).map(Some),
    }
}

async fn whole(body: Incoming) -> Result<Bytes, Told> {
    let whole = Limited::new(body, BODY_MAX).collect().await.map_err(|_| {
        refused(
            StatusCode::BAD_REQUEST,
            format!("the request broke off or is above {BODY_MAX} bytes"),
        )
    })?;
    Ok(whole.to_bytes())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Told> {
    serde_json::from_slice(body)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, format!("the body is wrong: {error}")))
}

fn json_response((status, told): Told) -> Response<Full<Bytes>> {
    let media = if is_problem(&told) { "application/problem+json" } else { "application/json" };
    let mut response = Response::new(Full::from(told.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
