//! A small protection before the application, right in all that a case looks at; and, on demand, wrong
//! in one thing.
//!
//! 1. [`admission`] is what stands before; [`key`] reads the key, [`identity`] says whose it is and what it was used for.
//! 2. [`claim`] decides from the record: claim, wait, replay or refuse. A claim is on [`disk`] before
//!    anything runs.
//! 3. [`attempt`] runs the application in a task of its own and settles, whoever has left meanwhile.
//!
//! A crash keeps the [`disk`] and takes the [`memory`]. What it left in flight is in doubt, and is
//! never run again.

mod admission;
mod attempt;
mod claim;
mod disk;
mod identity;
mod key;
mod memory;
mod refusal;
mod reply;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use self::admission::Way;
use self::disk::{Disk, Id, State, Trouble};
use self::memory::Memory;
use self::refusal::Refusal;
use super::app::json_reply;
use super::sending::{OPERATION, Sending};
use super::{App, AppBody, Broken, Flaw};

/// How the protection speaks of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) unit: Duration,
    /// How long a claim holds that a flaw lets lapse.
    pub(super) lease: Duration,
    /// How long a reply can be replayed.
    pub(super) retention: Duration,
    /// How long a key is known.
    pub(super) memory: Duration,
    /// How long a duplicate waits for the first.
    pub(super) wait: Duration,
    /// How long the application may take.
    pub(super) upstream: Duration,
}

impl Times {
    /// All of them, as multiples of a unit: longer than what a case does within them, and short enough
    /// to be waited for.
    pub(super) fn of(unit: Duration) -> Self {
        Self {
            unit,
            lease: unit * 3,
            retention: unit * 60,
            memory: unit * 120,
            wait: unit * 10,
            upstream: unit * 18,
        }
    }
}

/// The protection. Clones share all they have.
#[derive(Clone, Debug)]
pub(super) struct Protection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    flaw: Option<Flaw>,
    app: App,
    sending: Sending,
    times: Times,
    disk: Disk,
    memory: Memory,
    /// Held by whoever is served, where one is at a time.
    turn: tokio::sync::Mutex<()>,
    /// Whether the next caller is turned away, where a flaw wants it so after a crash.
    shut: AtomicBool,
}

/// A request under a key.
struct Asked {
    parts: Parts,
    body: Bytes,
    key: Vec<u8>,
    id: Id,
    fingerprint: [u8; 32],
    /// The name of the operation, for what it sends on.
    operation: String,
}

/// What a request is answered.
type Answer = Result<Response<AppBody>, Refusal>;

impl Protection {
    pub(super) fn new(flaw: Option<Flaw>, sending: Sending, times: Times) -> Self {
        Self(Arc::new(Inner {
            flaw,
            app: App::sending(sending.clone()),
            sending,
            times,
            disk: Disk::new(flaw == Some(Flaw::EmptyBelieved)),
            memory: Memory::default(),
            turn: tokio::sync::Mutex::default(),
            shut: AtomicBool::default(),
        }))
    }

    /// Handles a request to the service.
    ///
    /// # Errors
    /// [`Broken`] where a crash ends it.
    pub(super) async fn handle(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<AppBody>, Broken> {
        self.0.handle(request).await
    }

    /// The stored reply to whatever was sent under that key, by the head alone: no right protection
    /// looks so little.
    pub(super) fn by_head(&self, request: &Request<Bytes>) -> Option<Response<AppBody>> {
        let headers = request.headers();
        if !matches!(*request.method(), Method::POST | Method::PATCH) {
            return None;
        }
        let account = identity::account(headers)?;
        let key = key::read(headers, None).ok()??;
        let id = identity::id(account, &key, &[], None);
        let record = self.0.disk.load(&id).ok()??;
        match record.state {
            State::Completed(kept) if record.since.elapsed() <= self.0.times.retention => {
                Some(kept.again(headers, None))
            }
            State::Completed(_) | State::InFlight | State::InDoubt => None,
        }
    }

    /// Takes everything but the disk.
    pub(super) async fn crash(&self) {
        let runs = self.0.memory.runs();
        self.0.shut.store(runs && self.0.flawed(Flaw::CrashShutsOut), Ordering::Relaxed);
        self.0.memory.crash().await;
        if matches!(self.0.flaw, Some(Flaw::RecordAfterEffect | Flaw::ReplyBeforeCommit)) {
            self.0.disk.lose_claims();
        }
    }

    /// Breaks or mends the store, by the last part of an operator's route.
    pub(super) fn store(&self, how: &str, slow: Duration) -> bool {
        match how {
            "up" => self.0.disk.trouble(Trouble::None),
            "down" => self.0.disk.trouble(Trouble::Down),
            "read-only" => self.0.disk.trouble(Trouble::ReadOnly),
            "slow" => self.0.disk.trouble(Trouble::Slow(slow)),
            "answer-lost" => self.0.disk.trouble(Trouble::AnswerLost),
            "empty" => self.0.disk.empty(),
            _ => return false,
        }
        true
    }
}

impl Inner {
    fn flawed(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    async fn handle(
        self: &Arc<Self>,
        request: Request<Bytes>,
    ) -> Result<Response<AppBody>, Broken> {
        let (mut parts, body) = request.into_parts();
        // Only the protection says which operation the application runs.
        parts.headers.remove(OPERATION);
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/.well-known/idempotency") if !self.flawed(Flaw::PublishesNothing) => {
                return Ok(self.promise());
            }
            (&Method::GET, "/sent") => {
                let reference = parts.uri.query().and_then(|q| q.strip_prefix("reference="));
                let sent = self.sending.list(reference.unwrap_or_default());
                return Ok(json_reply(StatusCode::OK, &sent));
            }
            _ => {}
        }
        match self.admitted(parts, body).await {
            Ok(Way::Plain(request)) => {
                let mut reply = self.unprotected(request).await?;
                if self.flawed(Flaw::NoEtag) {
                    reply.headers_mut().remove(header::ETAG);
                }
                Ok(reply)
            }
            Ok(Way::Answered(reply)) => Ok(reply),
            Ok(Way::Keyed(_)) if self.shut.swap(false, Ordering::Relaxed) => {
                Ok(Refusal::Unavailable.reply(self.flaw))
            }
            Ok(Way::Keyed(asked)) => {
                let key = asked.key.clone();
                let _turn = match self.flawed(Flaw::OneAtATime) {
                    true => Some(self.turn.lock().await),
                    false => None,
                };
                let answer = self.answer(asked).await?;
                let mut reply = answer.unwrap_or_else(|refusal| refusal.reply(self.flaw));
                if self.flawed(Flaw::HeaderInjection) {
                    reply::echo(&mut reply, &key);
                }
                Ok(reply)
            }
            Err(refusal) => Ok(refusal.reply(self.flaw)),
        }
    }

    /// Runs a request that no key protects.
    async fn unprotected(&self, request: Request<Bytes>) -> Result<Response<AppBody>, Broken> {
        let app = self.app.clone();
        let told = self.memory.run(async move { app.run(request).await });
        match tokio::time::timeout(self.times.upstream, told).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => Err(Broken),
        }
    }

    /// What the service promises, for whoever reads it before the first write.
    fn promise(&self) -> Response<AppBody> {
        json_reply(
            StatusCode::OK,
            &json!({
                "header": "Idempotency-Key",
                "methods": ["POST", "PATCH", "PUT", "DELETE"],
                "scope": "account",
                "retention": self.times.retention.as_secs_f64(),
                "memory": self.times.memory.as_secs_f64(),
                "wait": self.times.wait.as_secs_f64(),
                "released": [400, 401, 429],
                "promise": "at most one execution; an outcome that is not known is said to be so",
            }),
        )
    }
}

/// The time that keys are compared with which carry their own.
#[expect(clippy::disallowed_methods, reason = "the sample's one wall clock")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
