//! The admin listener's paths.
//!
//! | path | |
//! |---|---|
//! | `GET /health/live` | 200 while the process runs |
//! | `GET /health/ready` | 200 while it takes requests and its store answers, else 503 |
//! | `GET /metrics` | Prometheus text |
//! | `GET /v1/keys?state=&before_ms=&after=&limit=` | a page of records |
//! | `POST /v1/keys/find` `{key, principal, path?, method?}` | the id of a caller's key |
//! | `GET /v1/keys/ID` | one record |
//! | `POST /v1/keys/ID/resolve` `{outcome: done, status?}` or `{outcome: released}` | |
//! | `POST /v1/keys/ID/reconcile` `{}` | |
//! | `POST /v1/keys/ID/void` `{}` or `{key, principal, path?, method?}` | |
//! | `POST /v1/keys/ID/erase` `{}` | |
//! | `GET /v1/store` | what the store is and keeps |

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
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

use super::access::Access;
use super::audit::Audit;
use super::forecast::{self, Observed};
use super::keys::{self, Act, Find, ListQuery, Told, Word, refused};
use super::reconcile;

/// Bytes of the largest request.
const BODY_MAX: usize = 16 * 1024;

/// The admin listener's service; clones share it.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

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
        Self(Arc::new(Inner {
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
        }))
    }

    /// Asks the upstream by these look-ups.
    pub(crate) fn reconcile_by(&self, reconciler: Reconciler) {
        let _there_is_one_already = self.0.reconciler.set(reconciler);
    }

    /// From now on the process is not ready.
    pub(crate) fn draining(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let health = path.starts_with("/health/");
        if let Err((status, why)) = self.access.check(&parts, health) {
            return json_response(refused(status, why));
        }
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        let told = match (parts.method, steps.as_slice()) {
            (Method::GET, ["health", "live"]) => (StatusCode::OK, json!({ "live": true })),
            (Method::GET, ["health", "ready"]) => self.ready().await,
            (Method::GET, ["metrics"]) => return self.metrics(),
            (Method::GET, ["v1", "store"]) => self.store().await,
            (Method::GET, ["v1", "keys"]) => {
                match ListQuery::parse(parts.uri.query().unwrap_or_default()) {
                    Ok(query) => keys::list(&self.engine, query).await,
                    Err(why) => refused(StatusCode::BAD_REQUEST, why),
                }
            }
            (Method::POST, ["v1", "keys", "find"]) => match read::<Find>(body).await {
                Ok(asked) => keys::find(&self.engine, &self.ways, &self.protection.service, asked),
                Err(told) => told,
            },
            (Method::GET, ["v1", "keys", id]) => match RecordId::parse(id) {
                Some(id) => keys::show(&self.engine, id).await,
                None => no_id(),
            },
            (Method::POST, ["v1", "keys", id, act]) => self.act(id, act, body).await,
            _ => refused(StatusCode::NOT_FOUND, "there is nothing here"),
        };
        json_response(told)
    }

    async fn act(&self, id: &str, act: &str, body: Incoming) -> Told {
        let Some(id) = RecordId::parse(id) else { return no_id() };
        let act = match act {
            "resolve" => match read::<Word>(body).await {
                Ok(word) => Act::Resolve(word),
                Err(told) => return told,
            },
            "void" => {
                let named = match read_optional::<Find>(body).await {
                    Ok(named) => named,
                    Err(told) => return told,
                };
                let service = &self.protection.service;
                match keys::voiding(&self.engine, &self.ways, service, id, named).await {
                    Ok(act) => act,
                    Err(told) => return told,
                }
            }
            "erase" => Act::Erase,
            "reconcile" => {
                let reconciler = self.reconciler.get();
                return reconcile::ask(&self.engine, reconciler, &self.audit, id).await;
            }
            _ => return refused(StatusCode::NOT_FOUND, "there is nothing here"),
        };
        keys::act(&self.engine, &self.audit, id, act).await
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

fn json_response((status, told): (StatusCode, Value)) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(told.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
