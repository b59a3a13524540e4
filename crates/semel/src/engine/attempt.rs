//! What a handler knows of its own execution.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use semel_core::{Fence, Key, Record, RecordId, Secret};
use tokio::time::Instant;

/// One execution of an operation, as its handler sees it.
#[derive(Clone)]
pub struct Attempt {
    id: RecordId,
    fence: Fence,
    number: u32,
    caller_key: Key,
    secret: Secret,
    lease: Arc<Mutex<Instant>>,
}

impl Attempt {
    pub(super) fn new(
        secret: &Secret,
        id: RecordId,
        key: &Key,
        record: &Record,
        lease_end: Instant,
    ) -> Self {
        Self {
            id,
            fence: record.fence,
            number: record.attempt,
            caller_key: key.clone(),
            secret: secret.clone(),
            lease: Arc::new(Mutex::new(lease_end)),
        }
    }

    /// The name of the operation in the store.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        self.id
    }

    /// To be handed to whatever can compare: a later execution of the same key has a greater one.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// Which execution this is, from 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The key to pass on as `Idempotency-Key`: the same at every attempt, useless for reading the
    /// stored reply.
    #[must_use]
    pub fn key(&self) -> String {
        self.secret.derived_key(&self.id, "")
    }

    /// The key for one of several calls that the handler makes, by a name of its own choice.
    #[must_use]
    pub fn child_key(&self, name: &str) -> String {
        self.secret.derived_key(&self.id, name)
    }

    /// The caller's own key, for a route that passes it on.
    #[must_use]
    pub const fn caller_key(&self) -> &Key {
        &self.caller_key
    }

    /// Whether the lease still runs, by this process's monotonic clock, counted from before the
    /// claim (or the last renewal) was sent. Ask immediately before the first byte goes out; when it
    /// says no, send nothing and report *released*.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        Instant::now() < *self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn renewed(&self, lease_end: Instant) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease_end;
    }

    /// The record is somebody else's now.
    pub(super) fn lost(&self) {
        self.renewed(Instant::now());
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.id)
            .field("fence", &self.fence)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
