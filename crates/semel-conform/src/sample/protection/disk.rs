//! What survives a crash: the records, in a register that compares before it writes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::reply::Kept;

/// Names a record.
pub(super) type Id = [u8; 32];

/// What is known of a key.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Given by the disk, never twice.
    pub(super) version: u64,
    /// Which run claimed it.
    pub(super) owner: u64,
    pub(super) fingerprint: [u8; 32],
    pub(super) state: State,
    /// When it came into this state.
    pub(super) since: Instant,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    InFlight,
    InDoubt,
    Completed(Kept),
}

impl Record {
    pub(super) fn new(owner: u64, fingerprint: [u8; 32], state: State) -> Self {
        Self { version: 0, owner, fingerprint, state, since: Instant::now() }
    }
}

/// The store did not do as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreError {
    /// Nothing happened.
    Refused,
    /// It may have happened.
    Uncertain,
}

/// How the store is broken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Trouble {
    #[default]
    None,
    Down,
    ReadOnly,
    /// Each write takes so long.
    Slow(Duration),
    /// The next write is applied and not answered.
    AnswerLost,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<Id, Record>,
    /// The true records, while an empty store stands in their place.
    aside: Option<BTreeMap<Id, Record>>,
    trouble: Trouble,
    versions: u64,
}

/// The store.
#[derive(Debug, Default)]
pub(super) struct Disk {
    inner: Mutex<Inner>,
    /// Whether a store is served that is not the one that was left.
    believes_any: bool,
}

impl Disk {
    pub(super) fn new(believes_any: bool) -> Self {
        Self { believes_any, ..Self::default() }
    }

    /// What is known of a key.
    pub(super) fn load(&self, id: &Id) -> Result<Option<Record>, StoreError> {
        let inner = self.inner();
        self.readable(&inner)?;
        Ok(inner.records.get(id).cloned())
    }

    /// Writes a record, or none, where the version stands that is expected. Returns the new version,
    /// or `None` where another stands.
    pub(super) async fn swap(
        &self,
        id: &Id,
        expected: Option<u64>,
        next: Option<Record>,
    ) -> Result<Option<u64>, StoreError> {
        let slow = match self.inner().trouble {
            Trouble::Slow(time) => time,
            _ => Duration::ZERO,
        };
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let mut inner = self.inner();
        self.writable(&inner)?;
        if inner.records.get(id).map(|record| record.version) != expected {
            return Ok(None);
        }
        inner.put(id, next)
    }

    /// Writes without a look: no right protection does.
    pub(super) fn put(&self, id: &Id, next: Option<Record>) -> Result<u64, StoreError> {
        let mut inner = self.inner();
        self.writable(&inner)?;
        Ok(inner.put(id, next)?.unwrap_or_default())
    }

    /// Forgets a record, whatever the store's trouble: no right protection does.
    pub(super) fn erase(&self, id: &Id) {
        self.inner().records.remove(id);
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        let mut inner = self.inner();
        inner.trouble = trouble;
        if let Some(records) = inner.aside.take() {
            inner.records = records;
        }
    }

    /// An empty store stands in place of the one that was left.
    pub(super) fn empty(&self) {
        let mut inner = self.inner();
        let records = std::mem::take(&mut inner.records);
        inner.aside.get_or_insert(records);
    }

    /// Loses claims, as a protection does that keeps them in memory.
    pub(super) fn lose_claims(&self) {
        self.inner().records.retain(|_, record| !matches!(record.state, State::InFlight));
    }

    fn readable(&self, inner: &Inner) -> Result<(), StoreError> {
        let another = inner.aside.is_some() && !self.believes_any;
        if another || matches!(inner.trouble, Trouble::Down) {
            return Err(StoreError::Refused);
        }
        Ok(())
    }

    fn writable(&self, inner: &Inner) -> Result<(), StoreError> {
        if matches!(inner.trouble, Trouble::ReadOnly) {
            return Err(StoreError::Refused);
        }
        self.readable(inner)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, id: &Id, next: Option<Record>) -> Result<Option<u64>, StoreError> {
        self.versions += 1;
        let version = self.versions;
        match next {
            Some(record) => {
                self.records.insert(*id, Record { version, since: Instant::now(), ..record });
            }
            None => {
                self.records.remove(id);
            }
        }
        if matches!(self.trouble, Trouble::AnswerLost) {
            self.trouble = Trouble::None;
            return Err(StoreError::Uncertain);
        }
        Ok(Some(version))
    }
}
