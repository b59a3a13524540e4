//! What the committer, the readers and the maintenance share.
//!
//! The committer alone adds to the index, and only after a sync; so whatever is found here is on
//! disk. Maintenance alone removes segments and tables, in an order in which a reader who looks into
//! the index first and into the tables second always finds one of the two.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use semel_core::{Incarnation, RecordId, StoreError, Timestamp, Version};

use super::clock::Clock;
use super::disk::Disk;
use super::entry::Tally;
use super::index::{Index, Place};
use super::manifest::Manifest;
use super::options::EmbeddedOptions;
use super::segment::Segment;
use super::spent::SpentTable;
use super::supply::Supply;

/// Locks; a thread that panicked while it held the lock left nothing half done here.
pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a frame stands, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) place: Place,
    pub(super) len: u32,
}

/// What is kept in memory of a record in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) version: Version,
    pub(super) due: Timestamp,
    pub(super) at: At,
}

/// The records in flight, by id and by when their lease ends.
#[derive(Debug, Default)]
pub(super) struct Flights {
    by_id: HashMap<RecordId, Flight>,
    by_due: BTreeSet<(Timestamp, RecordId)>,
}

impl Flights {
    pub(super) fn get(&self, id: &RecordId) -> Option<&Flight> {
        self.by_id.get(id)
    }

    pub(super) fn insert(&mut self, id: RecordId, flight: Flight) {
        self.remove(&id);
        self.by_due.insert((flight.due, id));
        self.by_id.insert(id, flight);
    }

    pub(super) fn remove(&mut self, id: &RecordId) {
        if let Some(flight) = self.by_id.remove(id) {
            self.by_due.remove(&(flight.due, *id));
        }
    }

    /// Those due at or before `before`, earliest first.
    pub(super) fn due(&self, before: Timestamp, limit: usize) -> Vec<RecordId> {
        let due = self.by_due.iter().take_while(|(due, _)| *due <= before);
        due.take(limit).map(|(_, id)| *id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// Wakes the maintenance thread.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *held(&self.rung) = true;
        self.changed.notify_one();
    }

    /// Waits for a ring, at most so long.
    pub(super) fn wait(&self, at_most: Duration) {
        let rung = held(&self.rung);
        let waited = self.changed.wait_timeout_while(rung, at_most, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

pub(super) type Tables = Arc<Vec<Arc<SpentTable>>>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: EmbeddedOptions,
    pub(super) clock: Clock,
    pub(super) incarnation: Incarnation,
    pub(super) birth: Timestamp,
    pub(super) index: Index,
    pub(super) segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    /// Oldest first.
    pub(super) tables: RwLock<Tables>,
    pub(super) flights: Mutex<Flights>,
    pub(super) tallies: Mutex<BTreeMap<u32, Tally>>,
    pub(super) supply: Mutex<Supply>,
    /// How many segments the supply holds, to be read without waiting for it.
    pub(super) stocked: AtomicU64,
    pub(super) manifest: Mutex<Manifest>,
    /// The segment that takes writes.
    pub(super) active: AtomicU32,
    /// Rung when there is something for maintenance to do.
    pub(super) bell: Bell,
    /// The number of the last batch that is on disk.
    pub(super) synced: AtomicU64,
    /// Keys that were written for the first time since the log was opened.
    pub(super) begun: AtomicU64,
    /// The first failed sync, if any.
    pub(super) poison: OnceLock<String>,
}

impl Shared {
    pub(super) fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(super) fn add_segment(&self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        let mut all = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(segment.id, Arc::clone(&segment));
        segment
    }

    pub(super) fn drop_segment(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// The segments that take no more writes, oldest first.
    pub(super) fn sealed(&self) -> Vec<Arc<Segment>> {
        let active = self.active.load(Ordering::Acquire);
        let all = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        all.range(..active).map(|(_, segment)| Arc::clone(segment)).collect()
    }

    pub(super) fn tables(&self) -> Tables {
        Arc::clone(&self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_tables(&self, tables: Vec<Arc<SpentTable>>) {
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tables);
    }

    /// Stops all writing for good: what a failed sync left on disk is not known.
    pub(super) fn poison(&self, reason: String) -> StoreError {
        let first = self.poison.get_or_init(|| reason);
        tracing::error!(reason = %first, "the record log stopped after a failed write");
        StoreError::Poisoned { reason: first.clone() }
    }

    pub(super) fn check_poison(&self) -> Result<(), StoreError> {
        match self.poison.get() {
            Some(reason) => Err(StoreError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }
}
