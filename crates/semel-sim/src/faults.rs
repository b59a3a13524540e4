//! The menu of faults, and how often each was served.

use std::collections::BTreeMap;
use std::fmt;

/// A kind of fault. Each one that strikes is counted and stands in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A call to the store never arrived.
    CallLost,
    /// A call was carried out and its answer never came back.
    AnswerLost,
    /// A call arrived long after its sender had given it up.
    CallLate,
    /// A call arrived twice.
    CallTwice,
    /// The store took a second or more.
    StoreSlow,
    /// No node reaches the store for a while.
    StoreUnreachable,
    /// The process of the store died; what it had not synced is gone or not, as the disk likes.
    StoreCrash,
    /// The power failed: unsynced sectors are kept, lost or torn.
    PowerLoss,
    /// A write to the disk stopped half way.
    WriteTorn,
    /// A sync failed.
    SyncFailed,
    /// No room for another claim.
    DiskFull,
    /// An empty store stood where the right one was.
    StoreEmpty,
    /// The store's wall clock jumped ahead, within the hour that is allowed.
    ClockAhead,
    /// The store's wall clock was set back.
    ClockBack,
    /// The store's wall clock jumped ahead by more than the hour.
    ClockWild,
    /// A node died between two steps of some task of its own.
    NodeCrash,
    /// A node stood still for a while.
    NodePause,
    /// A client left before its answer.
    ClientLeft,
    /// Several requests with one key at once.
    Duplicates,
    /// A request with another body under a used key.
    OtherBody,
    /// A retry long after the operation had ended.
    LateRetry,
    /// The upstream took longer than a lease, before or after its effect.
    UpstreamSlow,
    /// The upstream's reply was cut.
    ReplyCut,
    /// No connection to the upstream.
    ConnectFailed,
    /// The upstream said that nothing happened.
    NoEffect,
    /// A reply that is too large to keep.
    LargeReply,
    /// An operator resolved a key.
    Resolved,
    /// A client voided a key that may be in the air.
    VoidRace,
}

/// How often each fault struck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts(BTreeMap<Fault, u64>);

impl FaultCounts {
    /// One more.
    pub fn add(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// All of `other` too.
    pub fn merge(&mut self, other: &Self) {
        for (fault, n) in &other.0 {
            *self.0.entry(*fault).or_default() += n;
        }
    }

    /// How many kinds struck at least once.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.0.len()
    }

    /// How often this one did.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or_default()
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, n) in &self.0 {
            writeln!(f, "  {fault:?} {n}")?;
        }
        Ok(())
    }
}
