//! The machine that the store runs on: it crashes, comes back, runs full, and once in a while an
//! empty store stands where the right one was.
//!
//! It also writes down every write that the store acknowledges: the one place where a run looks
//! behind the scenes, for the rules about fences, deadlines and incarnations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use semel::core::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Put, Status, Swap, Swapped,
};
use semel::core::{Incarnation, Record, RecordId, Store, StoreError, Timestamp};
use semel::entropy::random;
use semel::store::MemoryStore;
use semel::store::embedded::OpenError;

use crate::clock::SimClock;
use crate::history::{Happened, Recorder};
use crate::log::{LogMachine, LogProcess};
use crate::options::{Backend, Options};
use crate::plain::{PlainStore, Platter};
use crate::rng::{Rng, SeededEntropy};
use crate::zoo::Flaw;

/// A full store in memory has no room for another claim.
const FULL: usize = 0;
/// How often a store that does not open is tried again, and with what pause.
const STARTS_MAX: u32 = 100;
const START_AGAIN: Duration = Duration::from_millis(200);

/// The store as the network reaches it.
#[derive(Debug)]
pub struct Host {
    recorder: Arc<Recorder>,
    clock: Arc<SimClock>,
    flaw: Option<Flaw>,
    ground: Ground,
    first: Incarnation,
    life: Mutex<Life>,
    foreign: Mutex<Option<Arc<dyn Store>>>,
    entropy: SeededEntropy,
}

#[derive(Debug)]
enum Ground {
    Memory(Arc<MemoryStore>),
    Plain(Arc<Platter>),
    Log(Box<LogMachine>),
}

#[derive(Debug, Default)]
struct Life {
    store: Option<Arc<dyn Store>>,
    plain: Option<Arc<PlainStore>>,
    log: Option<LogProcess>,
    full: bool,
    /// Out of reach while another store is put in its place.
    away: bool,
}

impl Host {
    /// A new store of the kind that `options` names, open.
    ///
    /// # Panics
    /// When the record log cannot be made on a disk that works.
    #[must_use]
    pub fn new(
        options: &Options,
        recorder: Arc<Recorder>,
        clock: Arc<SimClock>,
        flaw: Option<Flaw>,
    ) -> Self {
        let rng = Rng::new(options.seed).fork("store");
        let entropy = SeededEntropy::new(rng.fork("entropy"));
        let mut life = Life::default();
        let (ground, first) = match options.backend {
            Backend::Memory => {
                // Its first random bytes name its incarnation.
                let same = SeededEntropy::new(rng.fork("memory"));
                let first = Incarnation(random(&SeededEntropy::new(rng.fork("memory"))));
                (Ground::Memory(Arc::new(MemoryStore::new(clock.clone(), &same))), first)
            }
            Backend::Plain => {
                let first = Incarnation(random(&entropy));
                (Ground::Plain(Arc::new(Platter::new(first, rng.fork("platter")))), first)
            }
            Backend::Log => {
                let made = LogMachine::new(clock.clone(), &rng);
                let (machine, process) = made.expect("a disk that works takes a new log");
                let first = machine.incarnation();
                life.store = Some(process.store.clone());
                life.log = Some(process);
                (Ground::Log(Box::new(machine)), first)
            }
        };
        let (life, foreign) = (Mutex::new(life), Mutex::default());
        let host = Self { recorder, clock, flaw, ground, first, life, foreign, entropy };
        host.open();
        host
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The incarnation that every node knew from the start.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.first
    }

    /// The store's process starts, unless it runs. False: it could not, and is to be tried again.
    pub fn open(&self) -> bool {
        let mut life = self.life();
        if life.store.is_some() {
            return true;
        }
        match &self.ground {
            Ground::Memory(store) => life.store = Some(store.clone()),
            Ground::Plain(platter) => {
                let plain = PlainStore::open(platter.clone(), self.clock.clone(), self.flaw);
                let plain = Arc::new(plain);
                life.store = Some(plain.clone());
                life.plain = Some(plain);
            }
            Ground::Log(machine) => match machine.open() {
                Ok(process) => {
                    life.store = Some(process.store.clone());
                    life.log = Some(process);
                }
                // A disk that is full or fails may work the next time.
                Err(OpenError::Io { .. }) => return false,
                Err(error) => {
                    self.recorder.note(Happened::Unopened { why: error.to_string() });
                    return false;
                }
            },
        }
        true
    }

    /// Starts the store's process as often as it takes.
    pub async fn bring_up(&self) {
        for _ in 0..STARTS_MAX {
            if self.open() {
                return;
            }
            tokio::time::sleep(START_AGAIN).await;
        }
    }

    /// The store's process dies.
    pub fn crash(&self) {
        let mut life = self.life();
        match &self.ground {
            // There is nothing that it could come back from.
            Ground::Memory(_) => return,
            Ground::Plain(_) => {
                if let Some(plain) = life.plain.take() {
                    plain.crash();
                }
            }
            Ground::Log(machine) => {
                if let Some(process) = life.log.take() {
                    machine.kill(&process);
                }
            }
        }
        life.store = None;
    }

    /// The power fails, and `seed` decides what is lost.
    pub fn power_loss(&self, seed: u64) {
        let Ground::Log(machine) = &self.ground else { return self.crash() };
        let mut life = self.life();
        machine.power_loss(life.log.take().as_ref(), seed);
        life.store = None;
    }

    /// After so many more syncs, one fails.
    pub fn fail_sync(&self, after: u64) {
        if let Ground::Log(machine) = &self.ground {
            machine.fail_sync(after);
        }
    }

    /// After so many more writes, one stops half way.
    pub fn fail_write(&self, after: u64) {
        if let Ground::Log(machine) = &self.ground {
            machine.fail_write(after);
        }
    }

    /// Undoes every fault.
    pub fn heal(&self) {
        self.set_full(false);
        self.set_away(false);
        self.set_empty(false);
        if let Ground::Log(machine) = &self.ground {
            // None of those that were set and have not come.
            machine.settle_down();
        }
    }

    /// No room for claims any more, or room again.
    pub fn set_full(&self, full: bool) {
        match &self.ground {
            Ground::Log(machine) => machine.set_full(full),
            Ground::Memory(_) | Ground::Plain(_) => self.life().full = full,
        }
    }

    /// An empty store with an incarnation of its own stands in for the right one, or not any more.
    pub fn set_empty(&self, empty: bool) {
        let stand_in = empty.then(|| {
            let store: Arc<dyn Store> =
                Arc::new(MemoryStore::new(self.clock.clone(), &self.entropy));
            store
        });
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = stand_in;
    }

    /// Nothing answers, while somebody puts another store in place.
    pub fn set_away(&self, away: bool) {
        self.life().away = away;
    }

    fn store(&self) -> Result<(Arc<dyn Store>, bool), StoreError> {
        let down = || StoreError::Unavailable { reason: "the store is down".into() };
        if self.life().away {
            return Err(down());
        }
        let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(store) = foreign {
            return Ok((store, true));
        }
        let store = self.life().store.clone();
        Ok((store.ok_or_else(down)?, false))
    }

    /// The right store, for a last look.
    ///
    /// # Errors
    /// When it is down.
    pub async fn look(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        let store = self.life().store.clone();
        let down = StoreError::Unavailable { reason: "the store is down".into() };
        Ok(store.ok_or(down)?.load(id).await?.record)
    }

    fn refuses_for_room(&self, swap: &Swap) -> bool {
        let claims = matches!(&swap.write, Put::Record(record) if record.outcome.is_none());
        self.life().full && claims && swap.expected.is_none()
    }

    async fn swapped(&self, mut swap: Swap) -> Result<Swapped, StoreError> {
        let (store, foreign) = self.store()?;
        if foreign && self.flaw == Some(Flaw::TrustsEmptyStore) {
            swap.incarnation = store.status().await?.incarnation;
        }
        if self.refuses_for_room(&swap) {
            return Err(StoreError::Full { what: format!("{FULL} bytes are left") });
        }
        let (id, expected, deadline) = (swap.id, swap.expected, swap.deadline);
        let written = match &swap.write {
            Put::Record(record) => Some((record.version(), Some(record.state))),
            Put::Delete => expected.map(|version| (version, None)),
        };
        let swapped = store.swap(swap).await.map_err(from_afar)?;
        if let (Swapped::Done { at }, Some((version, state))) = (&swapped, written)
            && let Some(key) = self.recorder.name(&id)
        {
            let (fence, revision) = (version.fence.0, version.revision);
            let late_ms = at.since(deadline).as_ms();
            self.recorder.note(Happened::Stored { key, fence, revision, state, late_ms, foreign });
        }
        Ok(swapped)
    }
}

/// A process that ends is to those on the other side of the network one that is out of reach: it
/// comes back.
fn from_afar(error: StoreError) -> StoreError {
    match error {
        StoreError::Closed { reason } => StoreError::Unavailable { reason },
        other => other,
    }
}

impl Store for Host {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        Box::pin(self.swapped(swap))
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(async move { self.store()?.0.load(id).await })
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>> {
        Box::pin(async move { self.store()?.0.due(before, limit).await })
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move { self.store()?.0.list(filter, page).await })
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        Box::pin(async move { self.store()?.0.status().await })
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        Box::pin(async move { self.store()?.0.bind(check).await.map_err(from_afar) })
    }

    fn capabilities(&self) -> Capabilities {
        let (survives_process_crash, name) = match &self.ground {
            Ground::Memory(_) => (false, "memory"),
            Ground::Plain(_) => (true, "plain"),
            Ground::Log(machine) => return machine.capabilities(),
        };
        Capabilities {
            name,
            survives_process_crash,
            survives_power_loss: survives_process_crash,
            survives_failover: false,
            expires_in_bulk: false,
        }
    }
}
