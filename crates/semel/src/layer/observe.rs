//! Observe mode: everything runs as if Semel were not there, and what enforcing would have answered is
//! counted.
//!
//! Must never refuse, delay or fail a request. So the body is read beside the service, not before it;
//! the key is claimed in a task of its own, in a namespace of its own, when the body has come to its
//! end; and whatever the store says, the response is the service's. Kept are keys, fingerprints and
//! statuses with their digests, no reply and no body: a retry is known, and never answered from there.
//! Enforcing does not look into that namespace, so it starts empty.
//!
//! # Caveats
//! - A service that does not read its request's body to the end leaves the fingerprint unknown; such a
//!   request is counted as `unknown` and not remembered.
//! - `in-flight` stands for whatever waiting would have led to. Quotas are not judged.
//! - Observed requests count against the engine's `in_flight_max`, and a process that dies leaves those
//!   under way in doubt, as any others.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use semel_core::fingerprint::{BodyDigest, BodyHasher};
use semel_core::{Effect, Key, RecordId, Scope, Span};
use tokio::sync::oneshot;
use tower::Service;

use super::body::{Body, BoxError};
use super::capture::concluded_by_head;
use super::keyed::request_fingerprint;
use super::path::{ignoring, plain};
use super::service::Shared;
use super::spool::Compared;
use crate::engine::{Answered, Bounds, Concluded, Executed, Operation, Recording, Refusal};
use crate::http::extract::{Keyed, Keying, key_in_body};
use crate::http::{Route, Word};

/// Passes a request and its response through, and sees to it that it is observed.
pub(super) async fn pass<S, RB>(
    shared: &Arc<Shared>,
    route: Arc<Route>,
    parts: Parts,
    body: Body,
    mut inner: S,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let (body, ended, ignored) = if key_in_body(&parts, &route) {
        let (body, ended) = watch(shared, &route, &parts, None, body);
        (body, Some(ended), false)
    } else {
        match shared.keying(&parts, &[], &route) {
            Ok(Keying::NotKeyed(not)) => (body, None, not.ignored),
            Ok(Keying::Keyed(keyed)) => {
                let (body, ended) = watch(shared, &route, &parts, Some(keyed), body);
                (body, Some(ended), true)
            }
            Err(_problem) => {
                shared.meters.would(Some(Word::Refused));
                (body, None, true)
            }
        }
    };
    let response = match inner.call(Request::from_parts(parts, body)).await {
        Ok(response) => response,
        Err(error) => {
            tell(ended, Concluded::InDoubt);
            return Err(error);
        }
    };
    tell(ended, concluded_by_head(&response, &route));
    Ok(ignoring(plain(response), ignored))
}

/// Nobody listens any more where the body was not seen to its end.
fn tell(ended: Option<oneshot::Sender<Concluded>>, concluded: Concluded) {
    let _nobody_may_listen = ended.map(|ended| ended.send(concluded));
}

/// Starts the task that observes a request: the body to be passed on, and where to tell how it ended.
fn watch(
    shared: &Arc<Shared>,
    route: &Arc<Route>,
    parts: &Parts,
    keyed: Option<Keyed>,
    body: Body,
) -> (Body, oneshot::Sender<Concluded>) {
    let (seen, seeing) = oneshot::channel();
    let (ended, ending) = oneshot::channel();
    let (watching, route) = (Arc::clone(shared), Arc::clone(route));
    let whole = Seen {
        held: BytesMut::new(),
        hasher: Box::new(BodyHasher::new(shared.engine.secret())),
        len: 0,
        memory: if keyed.is_some() { route.body_memory_max } else { route.body_max },
    };
    let parts = parts.clone();
    shared.engine.spawn(Box::pin(async move {
        let would = match seeing.await {
            Ok(seen) => observe(&watching, route, &parts, keyed, seen, ending).await,
            Err(_not_read_to_its_end) => None,
        };
        watching.meters.would(would);
    }));
    let mut tee = Tee { body, seen: Some((whole, seen)) };
    tee.tell_at_end();
    (Body::boxed(tee), ended)
}

/// What enforcing would have answered; `None` where there is nothing to answer to.
async fn observe(
    shared: &Shared,
    route: Arc<Route>,
    parts: &Parts,
    keyed: Option<Keyed>,
    seen: Seen,
    ending: oneshot::Receiver<Concluded>,
) -> Option<Word> {
    if seen.len > route.body_max {
        return Some(Word::Refused);
    }
    let keyed = match keyed {
        Some(keyed) => keyed,
        None => match shared.keying(parts, &seen.held, &route) {
            Ok(Keying::Keyed(keyed)) => keyed,
            Ok(Keying::NotKeyed(_)) => return None,
            Err(_problem) => return Some(Word::Refused),
        },
    };
    let digest: BodyDigest;
    let body = if seen.len > seen.memory {
        digest = seen.hasher.finish();
        Compared::Digest(&digest)
    } else {
        Compared::Held(&seen.held)
    };
    let fingerprint = request_fingerprint(shared, &route, parts, body);
    let id = observed_id(shared, &keyed.scope, &keyed.key);
    let operation = Operation { id, key: keyed.key, fingerprint };
    let bounds = Bounds { wait: Span::ZERO, settle: route.settle_wait, passes_when_down: false };
    let policy = Arc::new(route.policy.clone());
    let answered = shared
        .engine
        .run(operation, policy, bounds, |_attempt| async {
            // A caller that leaves ends the request here; enforced, it would have gone on.
            let left = Concluded::NotKept { status: None, effect: Effect::Unknown };
            Executed { concluded: ending.await.unwrap_or(left), live: () }
        })
        .await;
    let would = word(&answered);
    tracing::debug!(record = %id.short(), would = would.name(), "observed a keyed request");
    Some(would)
}

/// The key's name in the namespace of observation. No service is called so: a name with a control
/// character in it is none that anybody configures.
fn observed_id(shared: &Shared, scope: &Scope, key: &Key) -> RecordId {
    let service = format!("\u{1}observed\u{1}{}", scope.service());
    shared.engine.secret().record_id(&scope.within(&service), key)
}

fn word(answered: &Answered<()>) -> Word {
    match answered {
        Answered::Executed { .. } => Word::Executed,
        Answered::Released { .. } => Word::Released,
        Answered::Doubted { .. } => Word::InDoubt,
        Answered::Replayed { .. } => Word::Replayed,
        Answered::Refused(refusal) => match refusal {
            // Its reply is not kept here; enforced, it would have been.
            Refusal::NotKept(_) => Word::Replayed,
            Refusal::InFlight { .. }
            | Refusal::NotRecorded { recording: Recording::GoesOn, .. } => Word::InFlight,
            Refusal::InDoubt { .. } | Refusal::NotRecorded { .. } => Word::InDoubt,
            Refusal::Mismatch { .. } => Word::Mismatch,
            Refusal::Spent(_) => Word::Spent,
            Refusal::Void { .. } => Word::Void,
            Refusal::TooOld
            | Refusal::TooNew
            | Refusal::Store(_)
            | Refusal::Overloaded
            | Refusal::Draining
            | Refusal::Interrupted => Word::Refused,
        },
    }
}

/// What has been seen of a body.
#[derive(Debug)]
struct Seen {
    /// Up to `memory` bytes of it.
    held: BytesMut,
    hasher: Box<BodyHasher>,
    len: u64,
    memory: u64,
}

impl Seen {
    fn add(&mut self, piece: &Bytes) {
        self.len += piece.len() as u64;
        self.hasher.update(piece);
        if self.len <= self.memory {
            self.held.extend_from_slice(piece);
        }
    }
}

/// A body that is looked at while it passes.
#[derive(Debug)]
struct Tee {
    body: Body,
    seen: Option<(Seen, oneshot::Sender<Seen>)>,
}

impl Tee {
    /// Who reads a body may stop when it is told that nothing more comes.
    fn tell_at_end(&mut self) {
        if http_body::Body::is_end_stream(&self.body) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if let Some((seen, told)) = self.seen.take() {
            let _task_may_be_gone = told.send(seen);
        }
    }
}

impl http_body::Body for Tee {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(piece), Some((seen, _))) = (frame.data_ref(), &mut self.seen) {
                    seen.add(piece);
                }
                self.tell_at_end();
            }
            Poll::Ready(Some(Err(_broken_off))) => self.seen = None,
            Poll::Ready(None) => self.tell(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
