//! The record log as a [`Store`].

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use semel_core::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Status, Swap, Swapped,
};
use semel_core::{Record, RecordId, Store, StoreError, Timestamp};
use tokio::sync::oneshot;

use super::commit::Log;
use super::disk::FsDisk;
use super::driver::{
    Ask, Driver, Queue, Remote, closing, commit_until_closed, maintain_until_closed,
};
use super::error::OpenError;
use super::maintain::{Maintained, Maintenance};
use super::options::{EmbeddedOptions, Mark};
use super::recover::{self, Ground, Opened};
use super::shared::{Shared, held};
use crate::entropy::SystemEntropy;
use crate::time::SystemClock;

/// Numbers of a running log, for pages and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Keys with a record in the log.
    pub keys: usize,
    /// Records in flight.
    pub in_flight: usize,
    /// Keys that are only known as used up.
    pub spent_keys: u64,
    /// Bytes of memory of the index and the filters.
    pub index_bytes: usize,
    /// Bytes of segments in use.
    pub log_bytes: u64,
    /// Bytes of the tables of spent keys.
    pub spent_bytes: u64,
    /// Tables that a new key asks.
    pub tables: usize,
    /// New keys since the log was opened.
    pub begun: u64,
    /// Bytes that the file system has left, where it says so.
    pub free_bytes: Option<u64>,
}

/// The record log, open. Dropping it commits what waits and closes the directory.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    opened: Opened,
    maintenance: Arc<Mutex<Maintenance>>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("place", &self.shared.disk.place()).finish()
    }
}

/// The system's disk, clocks and randomness, at the directory `path`.
fn system(disk: FsDisk) -> Ground {
    Ground { disk: Arc::new(disk), clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
}

impl EmbeddedStore {
    /// Makes a store in the directory `path`, which is made too if need be, and opens it. `birth` is
    /// zero, or the time at which an operator accepted this store in place of a lost one.
    ///
    /// # Errors
    /// [`OpenError::Exists`] and the others.
    pub fn create(
        path: &std::path::Path,
        options: EmbeddedOptions,
        birth: Timestamp,
    ) -> Result<Self, OpenError> {
        let place = path.display().to_string();
        let disk = FsDisk::make(path).map_err(OpenError::io(place))?;
        Self::create_on(system(disk), options, birth)
    }

    /// Opens the store in the directory `path`.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when there is none: whether that is a first start or a lost store is
    /// for the caller to know. The others as they say.
    pub fn open(path: &std::path::Path, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let place = path.display().to_string();
        let disk = match FsDisk::at(path) {
            Ok(disk) => disk,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Missing { place });
            }
            Err(error) => return Err(OpenError::io(place)(error)),
        };
        Self::open_on(system(disk), options)
    }

    /// Like [`Self::create`], on any ground.
    ///
    /// # Errors
    /// As there.
    pub fn create_on(
        ground: Ground,
        options: EmbeddedOptions,
        birth: Timestamp,
    ) -> Result<Self, OpenError> {
        recover::create(&ground, &options, birth)?;
        Self::with_threads(recover::open(&ground, &options)?)
    }

    /// Like [`Self::open`], on any ground.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(ground: Ground, options: EmbeddedOptions) -> Result<Self, OpenError> {
        recover::take(&*ground.disk)?;
        Self::with_threads(recover::open(&ground, &options)?)
    }

    /// Makes and opens a store without threads: its writes wait until the driver is run.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_driven(
        ground: &Ground,
        options: &EmbeddedOptions,
        birth: Timestamp,
    ) -> Result<(Self, Driver), OpenError> {
        recover::create(ground, options, birth)?;
        Ok(Self::driven(recover::open(ground, options)?))
    }

    /// Opens a store without threads.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_driven(
        ground: &Ground,
        options: &EmbeddedOptions,
    ) -> Result<(Self, Driver), OpenError> {
        recover::take(&*ground.disk)?;
        Ok(Self::driven(recover::open(ground, options)?))
    }

    fn driven((log, opened): (Log, Opened)) -> (Self, Driver) {
        let (shared, queue) = (Arc::clone(&log.shared), Arc::<Queue>::default());
        let driver = Driver::new(log, Arc::clone(&queue));
        (Self::new(shared, queue, opened), driver)
    }

    fn with_threads((log, opened): (Log, Opened)) -> Result<Self, OpenError> {
        let (shared, queue) = (Arc::clone(&log.shared), Arc::<Queue>::default());
        let mut store = Self::new(shared, queue, opened);
        let queue = Arc::clone(&store.queue);
        store.spawn("semel-log", move || commit_until_closed(log, queue))?;
        let (shared, queue) = (Arc::clone(&store.shared), Arc::clone(&store.queue));
        let maintenance = Arc::clone(&store.maintenance);
        store.spawn("semel-upkeep", move || maintain_until_closed(&shared, &maintenance, queue))?;
        Ok(store)
    }

    fn new(shared: Arc<Shared>, queue: Arc<Queue>, opened: Opened) -> Self {
        let maintenance = Arc::new(Mutex::new(Maintenance::new(Arc::clone(&shared))));
        Self { shared, queue, opened, maintenance, threads: Vec::new() }
    }

    /// One round of maintenance, now and in this thread, beside the store's own. Blocks; not for a
    /// store without threads, whose [`Driver::maintain`] does it.
    ///
    /// # Errors
    /// What kept it from ending; the next round tries again.
    pub fn maintain(&self) -> Result<Maintained, StoreError> {
        held(&self.maintenance).run(&mut Remote(Arc::clone(&self.queue)))
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = Builder::new().name(name.into()).spawn(work);
        self.threads.push(thread.map_err(OpenError::io("a thread"))?);
        Ok(())
    }

    /// What opening found.
    #[must_use]
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Whether the log takes writes.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write: what was there still reads, and nothing is
    /// written until the store is opened anew. [`StoreError::Closed`] when its thread has ended.
    pub fn working(&self) -> Result<(), StoreError> {
        self.shared.check_poison()?;
        if self.queue.closed() { Err(closing()) } else { Ok(()) }
    }

    /// How far the log has come on disk. To be kept outside the directory and given to the next
    /// opening as [`EmbeddedOptions::known`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        let sequence = self.shared.synced.load(Ordering::Acquire);
        Mark { incarnation: self.shared.incarnation, sequence }
    }

    /// Present numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let tables = self.shared.tables();
        let log_bytes = held(&self.shared.tallies).values().map(|tally| tally.used).sum();
        Stats {
            keys: self.shared.index.len(),
            in_flight: held(&self.shared.flights).len(),
            spent_keys: tables.iter().map(|table| table.entries).sum(),
            index_bytes: self.shared.index.bytes()
                + tables.iter().map(|table| table.memory_bytes()).sum::<usize>(),
            log_bytes,
            spent_bytes: tables.iter().map(|table| table.disk_bytes()).sum(),
            tables: tables.len(),
            begun: self.shared.begun.load(Ordering::Relaxed),
            free_bytes: self.shared.disk.free_bytes().ok(),
        }
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Ask,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(ask(reply));
        answer.await.unwrap_or_else(|_| Err(closing()))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue.close();
        self.shared.bell.ring();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

impl Store for EmbeddedStore {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        Box::pin(async move {
            match self.shared.conflict_at_sight(&swap) {
                Some(conflict) => Ok(conflict),
                None => self.ask(|reply| Ask::Swap(swap, reply)).await,
            }
        })
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(async move {
            let record = self.shared.load(&id)?;
            Ok(Loaded { record, at: self.shared.clock.now() })
        })
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>> {
        Box::pin(async move {
            let ids = held(&self.shared.flights).due(before, limit);
            let mut due = Vec::with_capacity(ids.len());
            for id in ids {
                match self.shared.load(&id) {
                    Ok(Some(record)) if record.due().is_some_and(|when| when <= before) => {
                        due.push((id, record));
                    }
                    Ok(_) => {}
                    // A caller of that key is told; all the others still have their turn.
                    Err(error) => {
                        tracing::error!(record = %id.short(), %error, "a record cannot be read");
                    }
                }
            }
            Ok(due)
        })
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move { self.shared.list(&filter, &page) })
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        Box::pin(async move {
            let reading = self.shared.clock.read();
            Ok(Status {
                incarnation: self.shared.incarnation,
                birth: self.shared.birth,
                at: reading.at,
                deletion_paused: reading.deletion_paused,
            })
        })
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        Box::pin(self.ask(move |reply| Ask::Bind(check, reply)))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "embedded",
            survives_process_crash: true,
            survives_power_loss: true,
            survives_failover: false,
            expires_in_bulk: true,
        }
    }
}
