//! A node: one engine with all its tasks behind one gate, its way to the store, and the handler that
//! calls the upstream. It dies and starts again; each life is a new engine.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use semel::core::machine::{Answer as Said, Resolution};
use semel::core::store::BoxFuture;
use semel::core::{
    Effect, Fingerprint, Incarnation, Key, OnLapse, Policy, RecordId, Secret, Span, StoreError,
    StoredReply,
};
use semel::engine::{
    Answered, Applied, Attempt, Bounds, Concluded, Engine, EngineConfig, Executed, Operation,
    Refusal,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::gate::{Gate, GateSpawner};
use crate::history::{Happened, KeyName, Op, Outcome, Recorder, Verb};
use crate::link::Link;
use crate::options::Options;
use crate::rng::{Rng, SeededEntropy};
use crate::sink::{Request, Sink, read};
use crate::zoo::Flaw;

/// How long a start may take before it is tried again.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long a handler waits beyond the upstream's bound.
const REPLY_PATIENCE: Duration = Duration::from_millis(200);

/// A key as its client holds it.
#[derive(Clone, Debug)]
pub struct Held {
    /// How the history calls it.
    pub name: KeyName,
    /// What the client sends.
    pub key: Key,
    /// What the store calls it.
    pub id: RecordId,
}

/// What all nodes share.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Writes the history.
    pub recorder: Arc<Recorder>,
    /// What the seed expands to.
    pub options: Arc<Options>,
    /// The upstream.
    pub sink: Arc<Sink>,
    /// One for all processes on a store.
    pub secret: Secret,
    /// The store's life that every node knows.
    pub incarnation: Incarnation,
    /// The flaw on show, if any.
    pub flaw: Option<Flaw>,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    index: u8,
    ground: Ground,
    link: Arc<Link>,
    policy: Arc<Policy>,
    running: Mutex<Option<Running>>,
    lives: AtomicU32,
    /// The last reply that passed, for a flaw that mixes replies up.
    passed: Mutex<Option<(KeyName, Bytes)>>,
}

#[derive(Clone, Debug)]
struct Running {
    gate: Arc<Gate>,
    engine: Engine,
}

impl Node {
    /// A node that does not run yet.
    #[must_use]
    pub fn new(index: u8, ground: Ground, link: Arc<Link>) -> Self {
        let mut policy = ground.options.policy_of(usize::from(index));
        if ground.flaw == Some(Flaw::RerunsUnderHold) {
            policy.on_lapse = OnLapse::Rerun;
        }
        let (running, lives) = (Mutex::default(), AtomicU32::new(0));
        let policy = Arc::new(policy);
        Self { index, ground, link, policy, running, lives, passed: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// The way to the store.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The present life's gate.
    #[must_use]
    pub fn gate(&self) -> Option<Arc<Gate>> {
        self.running().as_ref().map(|running| Arc::clone(&running.gate))
    }

    /// Starts, as often as it takes, and returns the gate of the new life.
    pub async fn start(&self) -> Arc<Gate> {
        let options = &self.ground.options;
        loop {
            let life = self.lives.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::new(Gate::default());
            let rng = Rng::new(options.seed).fork(&format!("node {} life {life}", self.index));
            let config = EngineConfig {
                deadline: options.deadline,
                entropy: Arc::new(SeededEntropy::new(rng)),
                spawner: Arc::new(GateSpawner(Arc::clone(&gate))),
                incarnation: Some(self.ground.incarnation),
                ..EngineConfig::default()
            };
            let start = Engine::start(self.link.clone(), self.ground.secret.clone(), config);
            if let Ok(Ok(engine)) = tokio::time::timeout(START_PATIENCE, start).await {
                *self.running() = Some(Running { gate: Arc::clone(&gate), engine });
                return gate;
            }
            gate.kill();
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The present life is over; until the next one nobody answers here.
    pub fn forget(&self) {
        *self.running() = None;
    }

    /// Has the node do something on behalf of a connection, which ends when the caller leaves.
    /// `None`: the node was down, or died.
    pub async fn ask<T: Send + 'static>(
        &self,
        make: impl FnOnce(Engine) -> BoxFuture<'static, T>,
    ) -> Option<T> {
        let Running { gate, engine } = self.running().clone()?;
        let work = make(engine);
        let (mut told, answer) = oneshot::channel();
        gate.spawn(Box::pin(async move {
            let done = tokio::select! {
                biased;
                () = told.closed() => None,
                done = work => Some(done),
            };
            if let Some(done) = done {
                let _caller_may_have_left = told.send(done);
            }
        }));
        answer.await.ok()
    }

    /// Runs the operation, as the layer would.
    pub async fn run(&self, op: Op, held: &Held, body: u8) -> Outcome {
        let shown = if self.ground.flaw == Some(Flaw::LosesFingerprint) { 0 } else { body };
        let fingerprint = Fingerprint { rules: 1, digest: [shown; 16], parts: [0; 6] };
        let operation = Operation { id: held.id, key: held.key.clone(), fingerprint };
        let bounds = Bounds {
            wait: Span::from_ms(u64::from(op % 3) * 1000),
            settle: self.ground.options.deadline.times(2),
            passes_when_down: false,
        };
        let (ground, policy, name) = (self.ground.clone(), Arc::clone(&self.policy), held.name);
        // What was promised, whatever a flaw makes of it.
        let rerun = ground.options.rerun[usize::from(self.index)];
        let begun = Begun { op, key: name, body, rerun };
        let answered = self
            .ask(move |engine| {
                Box::pin(async move {
                    let handler = move |attempt| handle(ground, begun, attempt);
                    engine.run(operation, policy, bounds, handler).await
                })
            })
            .await;
        let outcome = answered.map_or(Outcome::Unknown, |answered| self.told(name, answered));
        self.disguised(name, outcome)
    }

    fn told(&self, key: KeyName, answered: Answered<Bytes>) -> Outcome {
        match answered {
            Answered::Executed { live, record } => {
                let reply = record.outcome.as_ref().map(|outcome| &outcome.reply);
                let kept = matches!(reply, Some(StoredReply::Sealed(_)));
                Outcome::Executed { heard: read(&live), kept }
            }
            Answered::Released { .. } => Outcome::Released,
            Answered::Doubted { .. } => Outcome::Doubted,
            Answered::Replayed { plain, .. } => Outcome::Replayed(read(&self.mixed(key, plain))),
            Answered::Refused(refusal) => refused(&refusal),
        }
    }

    /// Voids the key.
    pub async fn void(&self, held: &Held) -> Outcome {
        let (held, policy) = (held.clone(), Arc::clone(&self.policy));
        let applied = self
            .ask(move |engine| {
                Box::pin(async move { engine.void(held.id, Some(&held.key), &policy).await })
            })
            .await;
        applied.map_or(Outcome::Unknown, |applied| said(Verb::Void, applied))
    }

    /// Acknowledges the reply.
    pub async fn ack(&self, held: &Held) -> Outcome {
        let id = held.id;
        let applied = self.ask(move |engine| Box::pin(async move { engine.ack(id).await })).await;
        applied.map_or(Outcome::Unknown, |applied| said(Verb::Ack, applied))
    }

    /// Asks where the key stands.
    pub async fn inquire(&self, held: &Held) -> Outcome {
        let (held, policy) = (held.clone(), Arc::clone(&self.policy));
        let known = self
            .ask(move |engine| {
                Box::pin(async move { engine.inquire(held.id, Some(&held.key), &policy).await })
            })
            .await;
        match known {
            Some(Ok(known)) => Outcome::Standing(known.standing.name()),
            Some(Err(_)) => Outcome::Unavailable,
            None => Outcome::Unknown,
        }
    }

    /// Says, as an operator, what happened.
    pub async fn resolve(&self, id: RecordId, verb: Verb, resolution: Resolution) -> Outcome {
        let applied = self
            .ask(move |engine| Box::pin(async move { engine.resolve(id, resolution).await }))
            .await;
        applied.map_or(Outcome::Unknown, |applied| said(verb, applied))
    }

    /// A flaw of the zoo: one key's reply in another's place, or a reply that changes.
    fn mixed(&self, key: KeyName, plain: Bytes) -> Bytes {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = passed.replace((key, plain.clone()));
        match (self.ground.flaw, last) {
            (Some(Flaw::ReplaysAnother), Some((other, reply))) if other != key => reply,
            (Some(Flaw::ChangesReplay), _) => Bytes::from(
                [&plain[..], format!("at {}", self.ground.recorder.now_ms()).as_bytes()].concat(),
            ),
            _ => plain,
        }
    }

    /// A flaw of the zoo: an engine that lies about what it did.
    fn disguised(&self, key: KeyName, outcome: Outcome) -> Outcome {
        match (self.ground.flaw, outcome) {
            (Some(Flaw::InventsReply), Outcome::Executed { kept, .. }) => {
                Outcome::Executed { heard: read(&Bytes::from(format!("{key} all is well"))), kept }
            }
            (Some(Flaw::SaysInFlight), Outcome::Replayed(_)) => Outcome::InFlight,
            (Some(Flaw::DeniesEffect), Outcome::Executed { .. }) => Outcome::Released,
            (_, outcome) => outcome,
        }
    }
}

/// What a handler was started for.
#[derive(Clone, Copy, Debug)]
struct Begun {
    op: Op,
    key: KeyName,
    body: u8,
    rerun: bool,
}

/// What a handler does: looks whether it may begin, sends, waits, and says what it knows.
async fn handle(ground: Ground, begun: Begun, attempt: Attempt) -> Executed<Bytes> {
    let Ground { recorder, options, sink, flaw, .. } = ground;
    let Begun { op, key, body, rerun } = begun;
    let fence = attempt.fence().0;
    recorder.note(Happened::Began { op, key, fence, rerun });
    let nothing = |why: &'static str| Executed {
        concluded: Concluded::Released,
        live: Bytes::from_static(why.as_bytes()),
    };
    if !sink.connects(key) {
        return nothing("no connection");
    }
    if !attempt.may_begin() {
        return nothing("the lease ended before it was sent");
    }
    if options.begin_gap {
        tokio::task::yield_now().await;
    }
    let request = Request { key, derived: attempt.key(), fence, body };
    let answer = sink.send(request, Instant::now());
    let patience = options.policy.max_upstream.to_duration() + REPLY_PATIENCE;
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) if answer.nothing => {
            Executed { concluded: Concluded::Released, live: answer.plain }
        }
        Ok(Ok(answer)) => {
            let (status, effect) = (Some(answer.status), Effect::of_status(answer.status));
            let plain = answer.plain.clone();
            let concluded = if answer.large {
                Concluded::NotKept { status, effect }
            } else {
                Concluded::Reply { status, effect, plain }
            };
            Executed { concluded, live: answer.plain }
        }
        Ok(Err(_)) | Err(_) if flaw == Some(Flaw::ReleasesOnCut) => nothing("a reset"),
        Ok(Err(_)) | Err(_) => {
            Executed { concluded: Concluded::InDoubt, live: Bytes::from_static(b"no answer") }
        }
    }
}

fn refused(refusal: &Refusal) -> Outcome {
    match refusal {
        Refusal::InFlight { .. } => Outcome::InFlight,
        Refusal::InDoubt { .. } => Outcome::InDoubt,
        Refusal::Mismatch { .. } => Outcome::Mismatch,
        Refusal::Spent(_) => Outcome::Spent,
        Refusal::NotKept(_) => Outcome::NotKept,
        Refusal::Void { .. } => Outcome::Void,
        Refusal::TooOld => Outcome::TooOld,
        Refusal::TooNew => Outcome::TooNew,
        // Interrupted: the task that ran it is gone, as after a death of the node.
        Refusal::Interrupted => Outcome::Unknown,
        _ => Outcome::Unavailable,
    }
}

fn said(verb: Verb, applied: Result<Applied, StoreError>) -> Outcome {
    let Ok(applied) = applied else { return Outcome::Unavailable };
    match applied.answer {
        Said::Voided => Outcome::Voided,
        Said::Already if verb == Verb::Void => Outcome::Voided,
        Said::Already | Said::Erased | Said::Resolved => Outcome::Accepted,
        Said::InDoubt => Outcome::InDoubt,
        Said::TooOld => Outcome::TooOld,
        Said::TooNew => Outcome::TooNew,
        _ => Outcome::Refused,
    }
}
