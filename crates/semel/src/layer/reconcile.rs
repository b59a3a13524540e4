//! A route's look-up, asked through the inner service: by Semel itself, or at once when a caller's retry
//! meets its key in doubt.
//!
//! Must never take one operation for another. So before what was found is believed, the same is asked
//! about a key that nobody ever used: a service that finds something for that one does not look at the
//! key (it answers with some list), and its answer would hand one caller's reply to another.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header, request::Parts,
};
use http_body_util::BodyExt;
use semel_core::store::BoxFuture;
use semel_core::{Key, RecordId, Secret, Span};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Duration, Instant, timeout};
use tower::{Service, ServiceExt};

use super::body::{Body, BoxError};
use super::path::plain;
use super::reauthorize::{at, of_the_sender};
use super::service::Shared;
use crate::engine::{About, Engine, Found, LookUp, Reconciled};
use crate::entropy::{SystemEntropy, random};
use crate::http::reconcile::{Read, Reconcile, headers_of};
use crate::http::{Reply, Route};

/// An answer is read so far at least, where the operation is an element of it.
const READ_MIN: u64 = 1 << 20;

/// Asks about the operations of one route.
pub(super) struct ThroughInner<S> {
    inner: Mutex<S>,
    route: Arc<Route>,
    reconcile: Reconcile,
    secret: Secret,
    caller: Option<Caller>,
}

/// Who shows the key, and how it asked.
struct Caller {
    key: Key,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    extensions: http::Extensions,
}

impl<S> fmt::Debug for ThroughInner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThroughInner").field("reconcile", &self.reconcile).finish_non_exhaustive()
    }
}

impl<S> ThroughInner<S> {
    /// By Semel itself; `None` where the route has no look-up, or one that needs the caller's key.
    pub(super) fn by_itself(route: &Arc<Route>, secret: &Secret, inner: S) -> Option<Self> {
        let reconcile = route.reconcile.clone().filter(|r| !r.needs_the_caller())?;
        let (route, secret) = (Arc::clone(route), secret.clone());
        Some(Self { inner: Mutex::new(inner), route, reconcile, secret, caller: None })
    }

    /// For a caller that shows `key`.
    pub(super) fn by_caller(
        route: &Arc<Route>,
        secret: &Secret,
        inner: S,
        (key, parts): (&Key, &Parts),
    ) -> Option<Self> {
        let reconcile = route.reconcile.clone()?;
        let caller = Some(Caller {
            key: key.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            headers: of_the_sender(&parts.headers, route),
            extensions: parts.extensions.clone(),
        });
        let (route, secret) = (Arc::clone(route), secret.clone());
        Some(Self { inner: Mutex::new(inner), route, reconcile, secret, caller })
    }

    /// The question about one key.
    fn question(&self, target: PathAndQuery, own: Option<&HeaderMap>) -> Request<Body> {
        let mut question = Request::new(Body::full(Bytes::new()));
        *question.method_mut() = self.reconcile.method.clone();
        *question.uri_mut() = Uri::from(target.clone());
        if let Some(caller) = &self.caller {
            *question.uri_mut() = at(&caller.uri, target);
            *question.version_mut() = caller.version;
            *question.extensions_mut() = caller.extensions.clone();
            *question.headers_mut() = match own {
                None => caller.headers.clone(),
                Some(own) => with_host(own.clone(), &caller.headers),
            };
        } else if let Some(own) = own {
            *question.headers_mut() = own.clone();
        }
        // What it answers is read here.
        let plain = HeaderValue::from_static("identity");
        question.headers_mut().insert(header::ACCEPT_ENCODING, plain);
        question
    }
}

/// Which host is meant stays the caller's word, whoever asks.
fn with_host(mut own: HeaderMap, callers: &HeaderMap) -> HeaderMap {
    if let (false, Some(host)) = (own.contains_key(header::HOST), callers.get(header::HOST)) {
        own.insert(header::HOST, host.clone());
    }
    own
}

/// An answer, as far as it is read.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// `None`: it is longer than anybody wants to read.
    body: Option<Bytes>,
}

impl<S, RB> ThroughInner<S>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    async fn ask(
        &self,
        derived: &str,
        callers: Option<&Key>,
        own: Option<&HeaderMap>,
    ) -> Result<Answer, &'static str> {
        let target = self.reconcile.target_for(derived, callers);
        let target = target.ok_or("it needs the caller's key, and nobody shows it")?;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = inner.oneshot(self.question(target, own)).await;
        let response = plain(asked.map_err(|_| "the service failed at it")?);
        let (head, body) = response.into_parts();
        let body = read(body, self.route.reply_max.max(READ_MIN)).await?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn looked(&self, about: &About) -> Result<Found, String> {
        let own = match &self.reconcile.header_file {
            Some(path) => Some(own_headers(path).await?),
            None => None,
        };
        let callers = self.caller.as_ref().map(|caller| &caller.key);
        let Answer { status, headers, body } = self.ask(&about.key, callers, own.as_ref()).await?;
        let found = match &body {
            Some(body) => match self.reconcile.read(status, body) {
                Read::Found(found) => Some(found),
                Read::NotFound => return Ok(Found::Nothing),
                Read::Unclear(why) => return Err(format!("{why} ({status})")),
            },
            None if self.reconcile.found.is_none() && status.is_success() => None,
            None => return Err("its answer is too long to be read".to_owned()),
        };
        if self.finds_anything(own.as_ref()).await? {
            tracing::error!(
                target = self.reconcile.target,
                "a look-up finds something for a key that nobody used, so nothing that it finds is believed: it does not look at the key"
            );
            return Err("it finds something for any key".to_owned());
        }
        let status_code = Some(status.as_u16());
        let kept = found.filter(|found| found.len() as u64 <= self.route.reply_max);
        let Some(kept) = kept.filter(|_| self.route.reply_max > 0) else {
            return Ok(Found::Done { status: status_code });
        };
        let reply = match &self.reconcile.found {
            None => Reply::keep(status, &headers, kept, None),
            Some(_) => Reply::keep(status, &json(), kept, None),
        };
        Ok(Found::Reply { status: status_code, plain: Bytes::from(reply.encode()) })
    }

    /// The control: whether something is found for a key that never was.
    async fn finds_anything(&self, own: Option<&HeaderMap>) -> Result<bool, String> {
        let nobodys = self.secret.derived_key(&RecordId(random(&SystemEntropy)), "");
        let key = Key::from_text(&nobodys).map_err(|_| "a derived key is no key")?;
        let callers = self.caller.as_ref().map(|_| &key);
        let Answer { status, body, .. } = self.ask(&nobodys, callers, own).await?;
        let read = body.map(|body| self.reconcile.read(status, &body));
        // Where absence has no word of its own, an error for a key that never was is word enough.
        Ok(match read {
            Some(Read::Found(_)) => true,
            Some(Read::NotFound | Read::Unclear(_)) => false,
            None => status.is_success(),
        })
    }
}

fn json() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(header::CONTENT_TYPE, json)])
}

/// The headers in the file, as they stand there now.
async fn own_headers(path: &Path) -> Result<HeaderMap, String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let unreadable = |why: String| format!("its header file cannot be read: {why}");
    match read {
        Ok(Ok(text)) => headers_of(&text).map_err(unreadable),
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

/// The whole body; `None` where it is longer than `max`.
async fn read(mut body: Body, max: u64) -> Result<Option<Bytes>, &'static str> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| "its answer broke off")?;
        if let Ok(data) = frame.into_data() {
            if whole.len() as u64 + data.len() as u64 > max {
                return Ok(None);
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(Some(whole.freeze()))
}

impl<S, RB> LookUp for ThroughInner<S>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    fn look<'a>(&'a self, about: &'a About) -> BoxFuture<'a, Found> {
        Box::pin(async move {
            self.looked(about).await.unwrap_or_else(|reason| Found::Unknown { reason })
        })
    }

    fn is_consistent(&self) -> bool {
        self.reconcile.consistent
    }
}

/// A key is asked about for its callers no sooner again, however often they retry.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Look-ups for callers that are under way at once.
const AT_ONCE: usize = 16;
/// Keys that were asked about of late; where there are more, callers' retries ask about none.
const LATE_MAX: usize = 10_000;

/// Bounds the look-ups that callers' retries set off.
#[derive(Debug)]
pub(super) struct Asks {
    last: Mutex<HashMap<RecordId, Instant>>,
    under_way: Semaphore,
}

impl Asks {
    pub(super) fn new() -> Self {
        Self { last: Mutex::default(), under_way: Semaphore::new(AT_ONCE) }
    }

    fn may(&self, id: RecordId) -> Option<SemaphorePermit<'_>> {
        let permit = self.under_way.try_acquire().ok()?;
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= LATE_MAX {
            last.retain(|_, at| now.duration_since(*at) < ASK_EVERY);
        }
        let late = last.get(&id).is_some_and(|at| now.duration_since(*at) < ASK_EVERY);
        if late || last.len() >= LATE_MAX {
            return None;
        }
        last.insert(id, now);
        Some(permit)
    }
}

/// Asks at once, for a caller that would be told "in doubt". Whether the record says something else by
/// now.
pub(super) async fn on_demand(
    shared: &Shared,
    id: RecordId,
    route: &Route,
    look_up: &dyn LookUp,
    patience: Span,
) -> bool {
    let Some(tag) = route.policy.route else { return false };
    let Some(_permit) = shared.asks.may(id) else { return false };
    let engine: &Engine = &shared.engine;
    // Nothing is half done when it is cut off: all that is ever written is one compare-and-set.
    match timeout(patience.to_duration(), engine.reconcile(id, tag, look_up)).await {
        Ok(Ok(Reconciled::Settled | Reconciled::Released | Reconciled::NotInDoubt)) => true,
        Ok(Ok(
            Reconciled::TooSoon(_)
            | Reconciled::NoProof
            | Reconciled::Unknown
            | Reconciled::Changed
            | Reconciled::OtherRoute,
        ))
        | Ok(Err(_))
        | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_asked_about_every_five_seconds_at_most_and_so_many_at_once() {
        let asks = Asks::new();
        let id = |n: u8| RecordId([n; 32]);
        let first = asks.may(id(0)).unwrap();
        assert!(asks.may(id(0)).is_none());
        tokio::time::advance(ASK_EVERY).await;
        let _again = asks.may(id(0)).unwrap();
        let _rest: Vec<_> = (1..15).map(|n| asks.may(id(n)).unwrap()).collect();
        assert!(asks.may(id(99)).is_none());
        drop(first);
        assert!(asks.may(id(99)).is_some());
    }
}
