//! The store: a compare-and-set register that knows nothing of idempotency.
//!
//! It keeps one record under each id, replaces it only when its version is the one that was read,
//! stamps each write with its own clock and says its time with every answer. It answers a write only
//! once the write survives what [`Capabilities`] says it survives. All backends pass one suite
//! (feature `suite`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::codec::DecodeError;
use crate::id::{Incarnation, RecordId, Version};
use crate::record::{Record, State};
use crate::time::Timestamp;

/// A future in a box: the price of `Arc<dyn Store>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a swap writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// This record; the store sets its stamp.
    Record(Record),
    /// Nothing: the key is forgotten.
    Delete,
}

/// One compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Which record.
    pub id: RecordId,
    /// The life of the store that the caller believes in.
    pub incarnation: Incarnation,
    /// The version that was read; `None` for no record.
    pub expected: Option<Version>,
    /// What to write if it still is.
    pub write: Put,
    /// After this moment, by the store's clock, the write must not be applied any more.
    pub deadline: Timestamp,
}

/// How a swap ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// Written and durable. `at` is the stamp of the record.
    Done {
        /// The store's time at the write.
        at: Timestamp,
    },
    /// Another version stood there; nothing was written.
    Conflict {
        /// What stands there.
        current: Option<Record>,
        /// The store's time.
        at: Timestamp,
    },
}

/// What a load found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The record, if any.
    pub record: Option<Record>,
    /// The store's time.
    pub at: Timestamp,
}

/// Which life of the store this is, and what time it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The store's present life.
    pub incarnation: Incarnation,
    /// When that life began, if an operator accepted it in place of another; else zero.
    pub birth: Timestamp,
    /// The store's time.
    pub at: Timestamp,
    /// Why nothing is deleted at present (the clock jumped, or stands behind its high-water mark);
    /// `None` when all is well.
    pub deletion_paused: Option<&'static str>,
}

/// Which records to list. All conditions must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only in this state; [`State::InDoubt`] matches either kind of doubt.
    pub state: Option<State>,
    /// Only records whose state began before this.
    pub before: Option<Timestamp>,
}

impl Filter {
    /// Whether `record` passes.
    #[must_use]
    pub fn admits(&self, record: &Record) -> bool {
        self.state.is_none_or(|state| state.name() == record.state.name())
            && self.before.is_none_or(|before| record.since() < before)
    }
}

/// A page of a listing, in the order of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Start behind this id.
    pub after: Option<RecordId>,
    /// At most so many records.
    pub limit: usize,
}

/// What a listing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The records, in the order of their ids.
    pub records: Vec<(RecordId, Record)>,
    /// Where the next page starts; `None` at the end. A store may end a page early, even an empty one.
    pub next: Option<RecordId>,
    /// What lies there and cannot be read, whatever the filter; it keeps nothing else from being listed.
    pub unreadable: Vec<Unreadable>,
}

/// A record, or a piece of the store with records in it, that a listing could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Whose it is, where that can still be told.
    pub id: Option<RecordId>,
    /// Why, and where.
    pub why: String,
}

/// What acknowledged writes survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The backend's name: `memory`, `embedded`.
    pub name: &'static str,
    /// Acknowledged writes survive the end of the process.
    pub survives_process_crash: bool,
    /// Acknowledged writes survive the loss of power.
    pub survives_power_loss: bool,
    /// Acknowledged writes survive the failover to another machine.
    pub survives_failover: bool,
    /// The store forgets by itself what [`crate::machine::step`] would sweep away, in bulk; `due`
    /// then returns only records in flight.
    pub expires_in_bulk: bool,
}

/// What the store said to the check value of a server secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The store was new and keeps this value from now on.
    First,
    /// It is the one that the store keeps.
    Same,
    /// The store was written under another secret: every key would look new.
    Other,
}

/// Why a store could not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No answer in time. The write may have been applied.
    #[error("the store did not answer in time")]
    Timeout,
    /// Out of reach. The write may have been applied.
    #[error("the store is out of reach: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// The write came after its deadline and was not applied.
    #[error("the write came {late_ms} ms after its deadline and was not applied")]
    DeadlinePassed {
        /// By how much.
        late_ms: u64,
    },
    /// The store began another life; nothing was applied.
    #[error(
        "the store is not the one this process knows (expected {expected}, found {found}): it was replaced or came back empty; stop, find out which, then run `semel store accept`"
    )]
    WrongIncarnation {
        /// The life that the caller believes in.
        expected: Incarnation,
        /// The life that was found.
        found: Incarnation,
    },
    /// No room; nothing was applied.
    #[error(
        "the store is full ({what}): free space or add some; nothing that is live is thrown out for it"
    )]
    Full {
        /// Disk, memory or quota.
        what: String,
    },
    /// The store refuses writes; nothing was applied.
    #[error("the store is read-only: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// A record that was written cannot be read.
    #[error("the record of {id} cannot be read: {source}")]
    Undecodable {
        /// Which.
        id: RecordId,
        /// Why.
        source: DecodeError,
    },
    /// Stored bytes were damaged.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// Where, and what to do.
        what: String,
    },
    /// A sync failed earlier: nothing that was written after the last good one is believed, and
    /// nothing more is accepted. The write may have reached the disk.
    #[error(
        "the store stopped after a failed write ({reason}): restart it; it will read back what is really on disk"
    )]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// Closed in this process, and it stays so. The write may have reached the disk.
    #[error(
        "the store was closed ({reason}): restart the process; it will read back what is really there"
    )]
    Closed {
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// True when the store is down, and nothing more is known: not when it answered that something
    /// is wrong with a record, with the write, or with the store that stands there.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        match self {
            Self::Timeout
            | Self::Unavailable { .. }
            | Self::Poisoned { .. }
            | Self::Closed { .. } => true,
            Self::DeadlinePassed { .. }
            | Self::WrongIncarnation { .. }
            | Self::Full { .. }
            | Self::ReadOnly { .. }
            | Self::Undecodable { .. }
            | Self::Damaged { .. } => false,
        }
    }

    /// True when a write may have been applied all the same.
    #[must_use]
    pub const fn may_have_applied(&self) -> bool {
        match self {
            Self::Timeout
            | Self::Unavailable { .. }
            | Self::Poisoned { .. }
            | Self::Closed { .. } => true,
            Self::DeadlinePassed { .. }
            | Self::WrongIncarnation { .. }
            | Self::Full { .. }
            | Self::ReadOnly { .. }
            | Self::Undecodable { .. }
            | Self::Damaged { .. } => false,
        }
    }
}

/// A compare-and-set register with a clock.
///
/// A future that is dropped before its answer leaves the write either applied or not, never half.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Compares and sets. On [`Swapped::Conflict`] the record to decide from is in the answer, so a
    /// claim costs one round trip.
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>>;

    /// Reads one record.
    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>>;

    /// Up to `limit` records whose [`Record::due`] is at or before `before`, earliest first.
    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>>;

    /// Lists records in the order of their ids.
    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>>;

    /// The present life of the store, and its time.
    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>>;

    /// Compares the check value of the server secret with the one kept, or keeps it if the store
    /// holds none and no record.
    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>>;

    /// What the store keeps through what.
    fn capabilities(&self) -> Capabilities;
}
