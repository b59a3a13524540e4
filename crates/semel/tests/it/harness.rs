//! An engine on a memory store whose clock is Tokio's paused time, behind a network that can be told
//! to fail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use semel::core::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Status, Store, StoreError, Swap,
    Swapped,
};
use semel::core::{
    Effect, Fingerprint, Key, Policy, Principal, RecordId, Scope, Secret, Span, Timestamp,
};
use semel::engine::{
    Answered, Bounds, Concluded, Engine, EngineConfig, Executed, Operation, Recording, Refusal,
};
use semel::entropy::SystemEntropy;
use semel::store::MemoryStore;
use semel::time::WallClock;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

/// The store's clock: Tokio's time, which tests hold still and move, and jumps beside it.
#[derive(Debug)]
pub(crate) struct TokioClock {
    began: Instant,
    ahead_ms: AtomicU64,
}

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), ahead_ms: AtomicU64::new(0) })
    }

    /// Jumps ahead while no time passes.
    pub(crate) fn jump(&self, by: Span) {
        self.ahead_ms.fetch_add(by.as_ms(), Ordering::SeqCst);
    }
}

impl WallClock for TokioClock {
    fn now(&self) -> Timestamp {
        let ahead = Span::from_ms(self.ahead_ms.load(Ordering::SeqCst));
        START.plus(Span::from(self.began.elapsed())).plus(ahead)
    }
}

/// What becomes of one call to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It works.
    Pass,
    /// It never reaches the store.
    Unreached,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is done, and the answer takes this long.
    AnswerLate(Duration),
}

/// The network between engine and store.
#[derive(Debug)]
pub(crate) struct Network {
    store: Arc<dyn Store>,
    fates: Mutex<VecDeque<Fate>>,
    cut: Mutex<bool>,
    broken: Mutex<Option<StoreError>>,
}

impl Network {
    pub(crate) fn before(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            fates: Mutex::default(),
            cut: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// The fates of the next swaps, in order; then all pass.
    pub(crate) fn swaps(&self, fates: &[Fate]) {
        self.fates.lock().unwrap().extend(fates);
    }

    /// Nothing reaches the store any more, or all does again.
    pub(crate) fn cut(&self, cut: bool) {
        *self.cut.lock().unwrap() = cut;
    }

    /// From now on every swap and load ends like this, and does nothing.
    pub(crate) fn breaks(&self, error: StoreError) {
        *self.broken.lock().unwrap() = Some(error);
    }

    fn whole(&self) -> Result<(), StoreError> {
        self.broken.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn unreached<T>() -> Result<T, StoreError> {
        Err(StoreError::Unavailable { reason: "the test cut the network".to_owned() })
    }

    fn is_cut(&self) -> bool {
        *self.cut.lock().unwrap()
    }
}

impl Store for Network {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        Box::pin(async move {
            self.whole()?;
            let fate = match self.is_cut() {
                true => Fate::Unreached,
                false => self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Pass),
            };
            match fate {
                Fate::Pass => self.store.swap(swap).await,
                Fate::Unreached => Self::unreached(),
                Fate::AnswerLost => {
                    let _lost = self.store.swap(swap).await;
                    Err(StoreError::Timeout)
                }
                Fate::AnswerLate(by) => {
                    let answer = self.store.swap(swap).await;
                    tokio::time::sleep(by).await;
                    answer
                }
            }
        })
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(async move {
            self.whole()?;
            if self.is_cut() { Self::unreached() } else { self.store.load(id).await }
        })
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, semel::core::Record)>, StoreError>> {
        self.store.due(before, limit)
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        self.store.list(filter, page)
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        self.store.status()
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        self.store.bind(check)
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}

/// An engine, the network before its store, and a count of effects.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) network: Arc<Network>,
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) effects: Arc<AtomicU32>,
    pub(crate) policy: Arc<Policy>,
}

/// A key by number.
pub(crate) fn operation(secret: &Secret, number: u32, body: u8) -> Operation {
    let key = Key::from_text(&format!("8e03978e-40d5-43dd-bc93-{number:012}")).unwrap();
    let id = secret.record_id(&Scope::new("test", Principal::none()), &key);
    let fingerprint = Fingerprint { rules: 1, digest: [body; 16], parts: [u32::from(body); 6] };
    Operation { id, key, fingerprint }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(EngineConfig::default(), Policy::default()).await
    }

    pub(crate) async fn with(config: EngineConfig, policy: Policy) -> Self {
        let clock = TokioClock::new();
        let wall = Arc::clone(&clock) as Arc<dyn WallClock>;
        let network = Network::before(Arc::new(MemoryStore::new(wall, &SystemEntropy)));
        let engine =
            Engine::start(Arc::clone(&network) as Arc<dyn Store>, Secret::new(&[7; 32]), config)
                .await
                .unwrap();
        Self { engine, network, clock, effects: Arc::default(), policy: Arc::new(policy) }
    }

    pub(crate) fn operation(&self, number: u32) -> Operation {
        operation(self.engine.secret(), number, 1)
    }

    pub(crate) fn effects(&self) -> u32 {
        self.effects.load(Ordering::SeqCst)
    }

    /// Runs key `number`; the handler takes `takes` before its effect and concludes as told.
    pub(crate) fn run_as(
        &self,
        operation: Operation,
        wait: Span,
        takes: Duration,
        concluded: Concluded,
    ) -> impl Future<Output = Answered<&'static str>> + Send + 'static + use<> {
        let (engine, policy) = (self.engine.clone(), Arc::clone(&self.policy));
        let effects = Arc::clone(&self.effects);
        let bounds = Bounds { wait, settle: Span::from_secs(10), ..Bounds::default() };
        async move {
            let handler = move |_attempt| async move {
                tokio::time::sleep(takes).await;
                effects.fetch_add(1, Ordering::SeqCst);
                Executed { concluded, live: "fresh" }
            };
            engine.run(operation, policy, bounds, handler).await
        }
    }

    /// Runs key `number` at once to a reply.
    pub(crate) async fn run(&self, number: u32) -> Answered<&'static str> {
        self.run_as(self.operation(number), Span::from_secs(5), Duration::ZERO, replied()).await
    }
}

/// A whole reply.
pub(crate) fn replied() -> Concluded {
    let plain = Bytes::from_static(b"charged");
    Concluded::Reply { status: Some(201), effect: Effect::Done, plain }
}

/// One word for an answer, to compare by.
pub(crate) fn word<T>(answered: &Answered<T>) -> &'static str {
    match answered {
        Answered::Executed { .. } => "executed",
        Answered::Released { .. } => "released",
        Answered::Doubted { .. } => "doubted",
        Answered::Replayed { plain, .. } => {
            assert_eq!(&plain[..], b"charged", "a replay is what was settled");
            "replayed"
        }
        Answered::Refused(refusal) => match refusal {
            Refusal::InFlight { .. } => "in-flight",
            Refusal::InDoubt { .. } => "in-doubt",
            Refusal::Mismatch { .. } => "mismatch",
            Refusal::Spent(_) => "spent",
            Refusal::NotKept(_) => "not-kept",
            Refusal::Void { .. } => "void",
            Refusal::TooOld => "too-old",
            Refusal::TooNew => "too-new",
            Refusal::Store(_) => "store",
            Refusal::NotRecorded { recording, .. } => match recording {
                Recording::GoesOn => "not-recorded",
                Recording::Stopped => "recording-stopped",
                Recording::Lost => "outcome-lost",
            },
            Refusal::Overloaded => "overloaded",
            Refusal::Draining => "draining",
            _ => "other",
        },
    }
}

/// One store, then another in its place; its next status can be held back on its way, and it can be one
/// whose keys leave in bulk.
#[derive(Debug)]
pub(crate) struct Switch {
    stores: [Arc<dyn Store>; 2],
    second: Mutex<bool>,
    held: Mutex<Option<Held>>,
    pub(crate) in_bulk: AtomicBool,
    pub(crate) lists: AtomicU32,
}

/// A status that was given and has not arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) given: Arc<Notify>,
    pub(crate) arrives: Arc<Notify>,
}

impl Switch {
    pub(crate) fn new(first: Arc<dyn Store>, second: Arc<dyn Store>) -> Self {
        let stores = [first, second];
        let (second, held) = (Mutex::new(false), Mutex::new(None));
        let (in_bulk, lists) = (AtomicBool::new(false), AtomicU32::new(0));
        Self { stores, second, held, in_bulk, lists }
    }

    pub(crate) fn switch(&self) {
        *self.second.lock().unwrap() = true;
    }

    pub(crate) fn hold_status(&self) -> Held {
        self.held.lock().unwrap().insert(Held::default()).clone()
    }

    fn store(&self) -> &Arc<dyn Store> {
        &self.stores[usize::from(*self.second.lock().unwrap())]
    }
}

impl Store for Switch {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        self.store().swap(swap)
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        self.store().load(id)
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, semel::core::Record)>, StoreError>> {
        self.store().due(before, limit)
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.store().list(filter, page)
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        let Some(held) = self.held.lock().unwrap().take() else { return self.store().status() };
        Box::pin(async move {
            let status = self.store().status().await;
            held.given.notify_one();
            held.arrives.notified().await;
            status
        })
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        self.store().bind(check)
    }

    fn capabilities(&self) -> Capabilities {
        let expires_in_bulk = self.in_bulk.load(Ordering::SeqCst);
        Capabilities { expires_in_bulk, ..self.store().capabilities() }
    }
}
