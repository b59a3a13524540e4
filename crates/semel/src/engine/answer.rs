//! What goes into an engine and what comes out. Plain values.

use bytes::Bytes;
use semel_core::{Effect, Fingerprint, Key, Record, RecordId, Span, StoreError, Timestamp};

/// One operation, as a caller named it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name in the store: [`semel_core::Secret::record_id`].
    pub id: RecordId,
    /// The caller's key. Opens the sealed reply; never stored.
    pub key: Key,
    /// What the request asks for.
    pub fingerprint: Fingerprint,
}

/// How long a caller waits for what, and what it does when there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A duplicate for its original, before it is told "in flight".
    pub wait: Span,
    /// The first caller for its settle, before it is told "not recorded".
    pub settle: Span,
    /// The caller runs the operation itself, unprotected, when it is told that the store is down
    /// ([`StoreError::is_down`]). A claim that turns out to have landed all the same is then left *in
    /// doubt*; else it is withdrawn, for nothing ran.
    pub passes_when_down: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { wait: Span::from_secs(5), settle: Span::from_secs(10), passes_when_down: false }
    }
}

/// What an execution came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concluded {
    /// A whole reply, to be kept and replayed.
    Reply {
        /// The HTTP status, where there is one.
        status: Option<u16>,
        /// Whether it happened.
        effect: Effect,
        /// The reply, encoded so that equal replies have equal bytes.
        plain: Bytes,
    },
    /// It ran, but its reply cannot be kept (too large, a stream).
    NotKept {
        /// The HTTP status, where there is one.
        status: Option<u16>,
        /// Whether it happened.
        effect: Effect,
    },
    /// Nothing happened, and there is proof.
    Released,
    /// It may have happened.
    InDoubt,
}

/// An execution's conclusion, and what its first caller is given once that is settled.
#[derive(Debug)]
pub struct Executed<T> {
    /// What is written.
    pub concluded: Concluded,
    /// What the first caller gets.
    pub live: T,
}

/// What a caller is told.
#[derive(Debug)]
#[must_use]
pub enum Answered<T> {
    /// This request ran it, and the outcome is durable.
    Executed {
        /// The handler's own reply.
        live: T,
        /// The record as settled.
        record: Record,
    },
    /// This request started it, and it is known that nothing happened. The key may run again.
    Released {
        /// The handler's own reply.
        live: T,
    },
    /// This request ran it, and nobody knows whether it happened.
    Doubted {
        /// What the handler gave, if it gave something.
        live: Option<T>,
        /// The record, in doubt.
        record: Record,
    },
    /// It ran before; this is its reply.
    Replayed {
        /// As it was handed in as [`Concluded::Reply`].
        plain: Bytes,
        /// The record.
        record: Record,
        /// The store's time.
        now: Timestamp,
    },
    /// Nothing was run for this request, or nothing that it may be told.
    Refused(Refusal),
}

/// What becomes of an outcome that is not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// The engine goes on settling.
    GoesOn,
    /// The store takes nothing more from this process. It holds the claim, so that a retry will find
    /// the reply, if its write reached the disk, or a doubt.
    Stopped,
    /// The record is gone or unreadable, or the store is not the one that holds it: what a retry
    /// would be told, and whether it would run, is not known.
    Lost,
}

/// Why a caller gets no reply of the operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The original is still running.
    InFlight {
        /// When the present attempt was claimed.
        since: Timestamp,
        /// When asking again makes sense.
        retry_after: Span,
    },
    /// It may have happened.
    InDoubt {
        /// Since when.
        since: Timestamp,
    },
    /// The key belongs to another request.
    Mismatch {
        /// What the record's request asked for.
        first: Fingerprint,
        /// Whether the other request's operation happened.
        effect: Effect,
    },
    /// The key was used, its reply is gone.
    Spent(Record),
    /// It ran, its reply was never kept.
    NotKept(Record),
    /// The key was voided.
    Void {
        /// When.
        since: Timestamp,
    },
    /// The key's own time lies before all that is remembered.
    TooOld,
    /// The key's own time lies too far ahead.
    TooNew,
    /// The store could not be asked, or its answer was lost and the claim is being withdrawn.
    Store(StoreError),
    /// It ran, but the outcome is not durable.
    NotRecorded {
        /// The handler's status.
        status: Option<u16>,
        /// What the handler's reply says of the effect.
        effect: Effect,
        /// What becomes of the outcome.
        recording: Recording,
    },
    /// So many executions are under way already.
    Overloaded,
    /// The process is stopping.
    Draining,
    /// The engine's task ended without an answer (a fault of Semel's own).
    Interrupted,
}
