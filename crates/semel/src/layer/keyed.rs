//! A keyed request: read whole, fingerprint, claim, run, answer.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use metrics::Histogram;
use semel_core::fingerprint::{RequestParts, fingerprint, fingerprint_of_digest};
use semel_core::{Fingerprint, Policy, RecordId, Span};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::answer::{Asked, problem_response, respond};
use super::body::{Body, BoxError};
use super::capture::{Live, capture, in_doubt};
use super::path::plain;
use super::quota::{Admitted, Begins, Place, Running as Counted, Who};
use super::reauthorize::{question, refusal};
use super::reconcile::{ThroughInner, on_demand};
use super::service::Shared;
use super::spool::{Compared, Payload};
use crate::engine::{
    Answered, Attempt, Bounds, Concluded, Engine, Executed, Operation, Refusal, Standing,
};
use crate::http::extract::Keyed;
use crate::http::grpc::is_grpc;
use crate::http::prefer::{PREFERENCE_APPLIED, wait};
use crate::http::route::StoreDown;
use crate::http::status::{
    IDEMPOTENCY_ATTEMPT, IDEMPOTENCY_FENCE, IDEMPOTENCY_STATUS, IDEMPOTENCY_WARNING,
};
use crate::http::status::{principal_changed_warning, weak_key_warning};
use crate::http::{Code, Problem, Route, Status, Word};

/// A keyed request whose body is here whole.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) route: Arc<Route>,
    pub(super) keyed: Keyed,
    pub(super) parts: Parts,
    pub(super) body: Payload,
}

/// Answers a keyed request.
pub(super) async fn answer<S, RB>(
    shared: &Shared,
    call: Call,
    inner: S,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    // Of a stream of messages it could never be said whether *it* happened.
    if is_grpc(&call.parts.headers) && !call.body.is_one_message() {
        return Ok(problem_response(Problem::request(Code::NotUnary, "")));
    }
    let wait = wait(&call.parts.headers, call.route.wait_max);
    let fingerprint = request_fingerprint(shared, &call.route, &call.parts, call.body.compared());
    let warnings = warnings(shared, &call.keyed, &fingerprint);
    let mut response = run(shared, call, fingerprint, wait.bound, inner).await?;
    note(response.headers_mut(), wait.applied, warnings);
    Ok(response)
}

/// Through the engine, or past it where the route says so.
async fn run<S, RB>(
    shared: &Shared,
    call: Call,
    fingerprint: Fingerprint,
    wait: Span,
    inner: S,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let Call { route, keyed, mut parts, body } = call;
    let engine = &shared.engine;
    shared.meters.body.record(body.len() as f64);
    // Only Semel says which attempt and which fence; a caller's word for it would be a lie.
    parts.headers.remove(IDEMPOTENCY_ATTEMPT);
    parts.headers.remove(IDEMPOTENCY_FENCE);
    let id = engine.secret().record_id(&keyed.scope, &keyed.key);
    let counted = match count_key(shared, &route, &keyed, id).await {
        Ok(counted) => counted,
        Err(problem) => return Ok(problem_response(*problem)),
    };
    let operation = Operation { id, key: keyed.key, fingerprint };
    let passes_when_down = route.store_down == StoreDown::Pass;
    let bounds = Bounds { wait, settle: route.settle_wait, passes_when_down };
    let headers = coding_wanted(&parts.headers);

    let question = question(&route, &parts).map(|question| (inner.clone(), question));
    let asked_by = (&operation.key, &parts);
    let look_up = ThroughInner::by_caller(&route, engine.secret(), inner.clone(), asked_by);
    let request = Request::from_parts(parts, body);
    let spare = passes_when_down.then(|| (inner.clone(), request.clone()));
    // To ask takes time, and `wait=0` is a caller that has none.
    let again = look_up.filter(|_| wait > Span::ZERO);
    let again = again.map(|look_up| (look_up, inner.clone(), request.clone()));
    let running = Running {
        engine,
        route: &route,
        bounds,
        counted: counted.as_ref().map(Place::begins),
        seconds: &shared.meters.execution,
    };
    let mut answered = running.run(operation.clone(), inner, request).await;
    if let Answered::Refused(Refusal::InDoubt { .. }) = &answered
        && let Some((look_up, inner, request)) = again
        && on_demand(shared, id, &route, &look_up, wait).await
    {
        let ready = inner.ready_oneshot().await?;
        answered = running.run(operation, ready, request).await;
    }
    drop(counted);
    // Down, and nothing more: a damaged record, or the store of another life, is no leave to run.
    let down = matches!(&answered, Answered::Refused(Refusal::Store(error)) if error.is_down());
    if let Some((inner, request)) = spare.filter(|_| down) {
        return unprotected(inner, request).await;
    }
    if matches!(answered, Answered::Replayed { .. })
        && let Some((inner, question)) = question
        && let Some(refusal) = refusal(inner, question).await?
    {
        return Ok(refusal);
    }
    let asked =
        Asked { route: &route, fingerprint: &fingerprint, headers: &headers, now: engine.now() };
    Ok(respond(answered, &asked))
}

/// Past the engine. The route says so by name, and publishes that its promise is best effort.
async fn unprotected<S, RB>(inner: S, request: Request<Payload>) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    metrics::counter!("semel_unprotected_total").increment(1);
    let mut response = plain(inner.oneshot(request.map(Payload::into_body)).await?);
    let ignored = Status::new(Word::Ignored).to_value();
    response.headers_mut().insert(IDEMPOTENCY_STATUS, ignored);
    Ok(response)
}

/// What the runs of one request share.
struct Running<'a> {
    engine: &'a Engine,
    route: &'a Arc<Route>,
    bounds: Bounds,
    counted: Option<Begins>,
    seconds: &'a Histogram,
}

impl Running<'_> {
    async fn run<S, RB>(
        &self,
        operation: Operation,
        inner: S,
        request: Request<Payload>,
    ) -> Answered<Live>
    where
        S: Service<Request<Body>, Response = Response<RB>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        RB: http_body::Body<Data = Bytes> + Send + 'static,
        RB::Error: Into<BoxError>,
    {
        let (route, seconds) = (Arc::clone(self.route), self.seconds.clone());
        let begins = self.counted.clone();
        // A look-up's answer is no gRPC reply, so calls are on no route that could be asked about.
        let tag = route.policy.route.filter(|_| !is_grpc(request.headers()));
        let policy = Arc::new(Policy { route: tag, ..route.policy.clone() });
        let handler = move |attempt: Attempt| {
            let mut request = request;
            request.extensions_mut().insert(attempt);
            request.extensions_mut().insert(Arc::clone(&route));
            let counted = begins.map(|begins| begins.begin());
            execute(inner, request, route, (seconds, counted))
        };
        self.engine.run(operation, policy, self.bounds, handler).await
    }
}

/// One execution of the inner service, and what it came to.
async fn execute<S, RB>(
    mut inner: S,
    request: Request<Payload>,
    route: Arc<Route>,
    (seconds, counted): (Histogram, Option<Counted>),
) -> Executed<Live>
where
    S: Service<Request<Body>, Response = Response<RB>>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let began = Instant::now();
    let executed = match inner.call(request.map(Payload::into_body)).await {
        Ok(response) => capture(response, &route).await,
        // An error of the inner service says nothing about what it did before.
        Err(_error) => in_doubt(),
    };
    seconds.record(began.elapsed().as_secs_f64());
    if let (Some(counted), Concluded::Reply { plain, .. }) = (counted, &executed.concluded) {
        counted.keeps(plain.len() as u64);
    }
    executed
}

/// Adds what the caller is told beside the answer.
fn note(headers: &mut HeaderMap, applied: Option<HeaderValue>, warnings: [Option<HeaderValue>; 2]) {
    if let Some(applied) = applied {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    for warning in warnings.into_iter().flatten() {
        headers.append(IDEMPOTENCY_WARNING, warning);
    }
}

/// What the caller is warned of, whatever it is answered.
fn warnings(shared: &Shared, keyed: &Keyed, fingerprint: &Fingerprint) -> [Option<HeaderValue>; 2] {
    let weak = keyed.weak.map(weak_key_warning);
    let changed = shared.twins.principal_changed(&keyed.scope, &keyed.key, fingerprint);
    if changed {
        shared.meters.principal_changed.increment(1);
        tracing::warn!(
            record = %shared.engine.secret().record_id(&keyed.scope, &keyed.key).short(),
            "one key with one request under two principals: if a credential was rotated, a retry runs a second time; name a stable principal for the route"
        );
    }
    [weak, changed.then(principal_changed_warning)]
}

/// A place in the account of the caller's principal; none where the route bounds nothing, or where there is
/// no room and the key is known to the store.
///
/// # Errors
/// `quota`: there is no room and the key is new.
async fn count_key(
    shared: &Shared,
    route: &Arc<Route>,
    keyed: &Keyed,
    id: RecordId,
) -> Result<Option<Place>, Box<Problem>> {
    if route.quota.is_none() {
        return Ok(None);
    }
    // The routes of a layer stay where they are, so the address names one.
    let address = Arc::as_ptr(route).addr();
    let principal = shared.engine.secret().principal(keyed.scope.principal());
    let who = Who { route: address, principal };
    let (after, full) = match shared.quotas.admit(&route.quota, who, id) {
        Admitted::Yes(place) => return Ok(Some(place)),
        Admitted::OnlyIfKnown { after, full } => (after, full),
    };
    let known = shared.engine.inquire(id, Some(&keyed.key), &route.policy).await;
    match known.map(|known| known.standing) {
        Ok(Standing::Absent) => {
            metrics::counter!("semel_quota_refused_total", "quota" => full).increment(1);
            Err(Box::new(Problem::quota(after)))
        }
        // A store that does not answer says so to the claim as well.
        Ok(_) | Err(_) => Ok(None),
    }
}

/// What a replay must know of the request: which codings of the content it can read.
fn coding_wanted(headers: &HeaderMap) -> HeaderMap {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    lines.map(|line| (header::ACCEPT_ENCODING, line.clone())).collect()
}

/// Method, host, path, query, media type and body: whatever the caller asks for.
pub(super) fn request_fingerprint(
    shared: &Shared,
    route: &Route,
    parts: &Parts,
    body: Compared<'_>,
) -> Fingerprint {
    // HTTP/1.1 names the host in its header, HTTP/2 in the target (RFC 9110 §7.2).
    let in_header = || parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or_else(in_header);
    let coding: Vec<&[u8]> = parts
        .headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    let coding = coding.join(&b","[..]);
    let request = RequestParts {
        method: parts.method.as_str(),
        host: host.unwrap_or_default(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        content_type: parts.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes),
        content_encoding: (!coding.is_empty()).then_some(&coding[..]),
        headers: &parts.headers,
        body: &[],
    };
    let (secret, rules) = (shared.engine.secret(), &route.fingerprint);
    match body {
        Compared::Held(body) => fingerprint(secret, rules, &RequestParts { body, ..request }),
        Compared::Digest(digest) => fingerprint_of_digest(secret, rules, &request, digest),
    }
}
