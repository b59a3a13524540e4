//! The record log on a disk that lies, with its committer driven by the run's own clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use semel::core::store::Capabilities;
use semel::core::{Incarnation, Span, Store, Timestamp};
use semel::entropy::random;
use semel::store::embedded::faults::FaultDisk;
use semel::store::embedded::{Driver, EmbeddedOptions, EmbeddedStore, Ground, Mark, OpenError};

use crate::clock::SimClock;
use crate::rng::{Rng, SeededEntropy};

/// Bytes of the disk while it is not full.
const CAPACITY: u64 = 64 << 20;

/// The machine of a record log: what outlives its process.
#[derive(Debug)]
pub struct LogMachine {
    disk: FaultDisk,
    options: EmbeddedOptions,
    clock: Arc<SimClock>,
    rng: Rng,
    capabilities: Capabilities,
    /// How far it is known to have come: an honest log that stands behind it does not open.
    known: Mutex<Option<Mark>>,
}

/// A process of a record log.
#[derive(Debug)]
pub struct LogProcess {
    /// The store.
    pub store: Arc<EmbeddedStore>,
    gone: Arc<AtomicBool>,
}

impl LogMachine {
    /// A disk with a new record log on it, and the process that made it.
    ///
    /// # Errors
    /// Never, on a disk that works.
    pub fn new(clock: Arc<SimClock>, rng: &Rng) -> Result<(Self, LogProcess), OpenError> {
        let mut drawn = rng.fork("log");
        // Small, so that a run fills segments and outlives time buckets.
        let options = EmbeddedOptions {
            segment_bytes: 256 << 10,
            bucket_width: Span::from_ms(drawn.between(2000, 60_000)),
            reply_cap: 48 << 10,
            batch_bytes: 32 << 10,
            pool: 1,
            margin_bytes: 512 << 10,
            maintain_every: Duration::from_millis(drawn.between(500, 4000)),
            known: None,
        };
        let disk = FaultDisk::new(CAPACITY);
        let ground = ground(&disk, &clock, &drawn);
        let (store, driver) = EmbeddedStore::create_driven(&ground, &options, Timestamp::ZERO)?;
        let capabilities = store.capabilities();
        let known = Mutex::default();
        let machine = Self { disk, options, clock, rng: drawn, capabilities, known };
        let process = machine.process(store, driver);
        Ok((machine, process))
    }

    /// The store's incarnation: the first random bytes of its making.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(random(&SeededEntropy::new(self.rng.fork("incarnation"))))
    }

    fn process(&self, store: EmbeddedStore, driver: Driver) -> LogProcess {
        let gone = Arc::new(AtomicBool::new(false));
        let every = self.options.maintain_every;
        tokio::spawn(drive(driver, Arc::clone(&gone), self.rng.fork("sync"), every));
        LogProcess { store: Arc::new(store), gone }
    }

    /// Starts the process.
    ///
    /// # Errors
    /// When the log does not open.
    pub fn open(&self) -> Result<LogProcess, OpenError> {
        let ground = ground(&self.disk, &self.clock, &self.rng);
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let options = EmbeddedOptions { known, ..self.options.clone() };
        let (store, driver) = EmbeddedStore::open_driven(&ground, &options)?;
        Ok(self.process(store, driver))
    }

    /// The process dies; what it had written stays, synced or not.
    pub fn kill(&self, process: &LogProcess) {
        self.ended(process);
        self.disk.kill();
    }

    fn ended(&self, process: &LogProcess) {
        process.gone.store(true, Ordering::SeqCst);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(process.store.mark());
    }

    /// The power fails.
    pub fn power_loss(&self, process: Option<&LogProcess>, seed: u64) {
        if let Some(process) = process {
            self.ended(process);
        }
        self.disk.power_loss_by_seed(seed);
    }

    /// After so many more syncs one fails.
    pub fn fail_sync(&self, after: u64) {
        self.disk.fail_sync(after);
    }

    /// After so many more writes one stops half way.
    pub fn fail_write(&self, after: u64) {
        self.disk.fail_write(after, std::io::ErrorKind::Other);
    }

    /// No fault that was set and has not come comes any more.
    pub fn settle_down(&self) {
        self.disk.fail_sync(u64::MAX);
        self.disk.fail_write(u64::MAX, std::io::ErrorKind::Other);
    }

    /// No byte more fits, or the disk is wide again.
    pub fn set_full(&self, full: bool) {
        self.disk.set_capacity(if full { self.disk.used() } else { CAPACITY });
    }

    /// What the log promises.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}

fn ground(disk: &FaultDisk, clock: &Arc<SimClock>, rng: &Rng) -> Ground {
    let entropy = Arc::new(SeededEntropy::new(rng.fork("incarnation")));
    Ground { disk: disk.process(), clock: clock.clone(), entropy }
}

/// The committer and the maintenance of one process. A sync takes some milliseconds, in which the
/// process may die with all that waits.
async fn drive(mut driver: Driver, gone: Arc<AtomicBool>, mut rng: Rng, every: Duration) {
    let mut next_round = tokio::time::Instant::now() + every;
    loop {
        let maintains = tokio::select! {
            biased;
            () = driver.filled() => false,
            () = tokio::time::sleep_until(next_round) => true,
        };
        tokio::time::sleep(Duration::from_millis(rng.between(1, 4))).await;
        if gone.load(Ordering::SeqCst) {
            return;
        }
        driver.step();
        if maintains {
            next_round = tokio::time::Instant::now() + every;
            // What kept it from ending is met again in the next round.
            let _maintained = driver.maintain();
        }
        if driver.closed() {
            return driver.close();
        }
    }
}
