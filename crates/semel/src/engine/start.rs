//! Starting an engine, what all its parts share, and stopping it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use semel_core::record::{Record, State};
use semel_core::store::{Bound, BoxFuture, Loaded, Put, Status, Store, StoreError, Swap, Swapped};
use semel_core::{Incarnation, Policy, RecordId, Secret, Span, Timestamp, Version};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::Engine;
use super::clock::StoreTime;
use super::reconciler::Listeners;
use super::wait::Waiters;
use crate::entropy::{Entropy, SystemEntropy};
use crate::store::observe::Observed;

/// Starts the engine's tasks. The simulator has its own, to kill a node with all it runs.
pub trait Spawner: fmt::Debug + Send + Sync + 'static {
    /// Runs `task` to its end, whatever becomes of the caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Spawns on the Tokio runtime of the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

/// What an engine is bounded by.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// How long a write may be under way before the store must refuse it. Shorter than every lease.
    pub deadline: Span,
    /// How often the sweep looks for what is due.
    pub sweep_every: Span,
    /// Executions under way at once; beyond it claims are refused before anything runs.
    pub in_flight_max: usize,
    /// Duplicates waiting for one original.
    pub waiters_per_key_max: usize,
    /// Duplicates waiting in all.
    pub waiters_max: usize,
    /// Where random bytes come from.
    pub entropy: Arc<dyn Entropy>,
    /// Starts the tasks.
    pub spawner: Arc<dyn Spawner>,
    /// The life of the store that this process knew before, if it kept a note of it: another one is
    /// refused at the start.
    pub incarnation: Option<Incarnation>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            deadline: Span::from_secs(5),
            sweep_every: Span::from_secs(1),
            in_flight_max: 10_000,
            waiters_per_key_max: 1000,
            waiters_max: 20_000,
            entropy: Arc::new(SystemEntropy),
            spawner: Arc::new(TokioSpawner),
            incarnation: None,
        }
    }
}

/// Why an engine does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Store(#[from] StoreError),
    /// Under another secret every key looks new, and every retry would run again.
    #[error(
        "the store was written under another server secret: every key would look new and every retry would run again; start with the secret that the store was made with"
    )]
    OtherSecret,
    /// The store came back empty or was replaced.
    #[error(
        "the store is not the one this process knew (expected {expected}, found {found}): its keys are unknown here and every retry would run again; find the lost store, or accept this one by `semel store accept`"
    )]
    OtherIncarnation {
        /// As noted before.
        expected: Incarnation,
        /// As found.
        found: Incarnation,
    },
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Executions that were cut off and declared *in doubt*.
    pub in_doubt: u64,
    /// Tasks that had not ended when the drain gave up waiting for the store.
    pub unfinished: u64,
}

/// What all parts of an engine share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Observed,
    pub(super) secret: Secret,
    pub(super) config: EngineConfig,
    pub(super) clock: StoreTime,
    pub(super) incarnation: Incarnation,
    pub(super) birth: Timestamp,
    pub(super) waiters: Waiters,
    pub(super) listeners: Listeners,
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) stage: watch::Sender<Stage>,
    pub(super) cut_off: AtomicU64,
    tasks: AtomicU64,
    task_ended: Notify,
}

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Claims are accepted.
    Open,
    /// No more claims; executions go on.
    Draining,
    /// Executions stop where they are and are declared in doubt.
    CutOff,
}

impl Engine {
    /// Starts an engine on `store`.
    ///
    /// # Errors
    /// When the store does not answer, was written under another secret, or is not the one that this
    /// process knew.
    pub async fn start(
        store: Arc<dyn Store>,
        secret: Secret,
        config: EngineConfig,
    ) -> Result<Self, StartError> {
        let store = Observed::new(store);
        let asked = Instant::now();
        let status = store.status().await?;
        if let Some(expected) = config.incarnation.filter(|known| *known != status.incarnation) {
            return Err(StartError::OtherIncarnation { expected, found: status.incarnation });
        }
        match store.bind(secret.check_value()).await? {
            Bound::First | Bound::Same => {}
            Bound::Other => return Err(StartError::OtherSecret),
        }
        let inner = Arc::new(Inner {
            clock: StoreTime::new(status.at, asked),
            incarnation: status.incarnation,
            birth: status.birth,
            waiters: Waiters::new(config.waiters_per_key_max, config.waiters_max),
            listeners: Listeners::default(),
            in_flight: Arc::new(Semaphore::new(config.in_flight_max)),
            stage: watch::Sender::new(Stage::Open),
            cut_off: AtomicU64::new(0),
            tasks: AtomicU64::new(0),
            task_ended: Notify::new(),
            store,
            secret,
            config,
        });
        let sweep = super::sweep::run(Arc::downgrade(&inner));
        inner.config.spawner.spawn(Box::pin(sweep));
        Ok(Self(inner))
    }

    /// The store's present life and time.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn status(&self) -> Result<Status, StoreError> {
        self.0.bounded(self.0.store.status()).await
    }

    /// The store behind this engine.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        self.0.store.store()
    }

    /// Executions under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.config.in_flight_max - self.0.in_flight.available_permits()
    }

    /// Refuses further claims, waits up to `patience` for what is under way, then cuts off what is
    /// left and declares it *in doubt* (waiting once more up to `patience` for the store to take it).
    pub async fn drain(&self, patience: Span) -> Drained {
        self.0.stage.send_replace(Stage::Draining);
        if !self.0.all_ended_within(patience).await {
            self.0.stage.send_replace(Stage::CutOff);
            self.0.all_ended_within(patience).await;
        }
        Drained {
            in_doubt: self.0.cut_off.load(Ordering::SeqCst),
            unfinished: self.0.tasks.load(Ordering::SeqCst),
        }
    }
}

/// Counts a task while it lives.
#[derive(Debug)]
pub(super) struct Ticket(Arc<Inner>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::SeqCst);
        self.0.task_ended.notify_waiters();
    }
}

impl Inner {
    pub(super) fn ticket(self: &Arc<Self>) -> Ticket {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        Ticket(Arc::clone(self))
    }

    async fn all_ended_within(&self, patience: Span) -> bool {
        let all_ended = async {
            loop {
                let ended = self.task_ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.tasks.load(Ordering::SeqCst) == 0 {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(patience.to_duration(), all_ended).await.is_ok()
    }

    /// The route's policy, with what only the engine knows.
    pub(super) fn policy(&self, policy: &Policy) -> Policy {
        Policy { birth: self.birth.max(policy.birth), ..policy.clone() }
    }

    /// Waits for the store no longer than a write may be under way.
    pub(super) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.config.deadline.to_duration(), call).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(StoreError::Timeout),
        }
    }

    /// The store's status, of the life that this engine knows.
    pub(super) async fn status(&self) -> Result<Status, StoreError> {
        let status = self.bounded(self.store.status()).await?;
        if status.incarnation == self.incarnation {
            return Ok(status);
        }
        let (expected, found) = (self.incarnation, status.incarnation);
        Err(StoreError::WrongIncarnation { expected, found })
    }

    pub(super) async fn load(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        let asked = Instant::now();
        let Loaded { record, at } = self.bounded(self.store.load(id)).await?;
        self.clock.observe(at, asked);
        if record.is_none() {
            // Only a swap names the incarnation that it believes in, so "no such key" may be the
            // word of a store that came back empty.
            self.status().await?;
        }
        Ok(record)
    }

    pub(super) async fn swap(
        &self,
        id: RecordId,
        expected: Option<Version>,
        write: Put,
    ) -> Result<Swapped, StoreError> {
        let asked = Instant::now();
        let deadline = self.clock.now().plus(self.config.deadline);
        let doubt = match &write {
            Put::Record(record) if matches!(record.state, State::InDoubt(_)) => record.route,
            Put::Record(_) | Put::Delete => None,
        };
        let swap = Swap { id, incarnation: self.incarnation, expected, write, deadline };
        let swapped = self.bounded(self.store.swap(swap)).await?;
        if let (Some(route), Swapped::Done { .. }) = (doubt, &swapped) {
            self.listeners.tell(id, route);
        }
        match &swapped {
            Swapped::Done { at } | Swapped::Conflict { at, .. } => self.clock.observe(*at, asked),
        }
        Ok(swapped)
    }

    /// When this process stops believing that a write sent now may still land.
    pub(super) fn deadline_from_now(&self) -> Instant {
        Instant::now() + self.config.deadline.to_duration()
    }
}
