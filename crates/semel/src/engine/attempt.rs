//! What a handler knows of its own execution.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use semel_core::{Fence, Key, Record, RecordId, Secret};
use tokio::time::Instant;

/// One execution of an operation, as its handler sees it; clones share it.
#[derive(Clone)]
pub struct Attempt(Arc<Inner>);

struct Inner {
    id: RecordId,
    fence: Fence,
    number: u32,
    caller_key: Key,
    secret: Secret,
    lease: Mutex<Instant>,
}

impl Attempt {
    pub(super) fn new(
        secret: &Secret,
        id: RecordId,
        key: &Key,
        record: &Record,
        lease_end: Instant,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            fence: record.fence,
            number: record.attempt,
            caller_key: key.clone(),
            secret: secret.clone(),
            lease: Mutex::new(lease_end),
        }))
    }

    /// The name of the operation in the store.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.0.id
    }

    /// To be handed to whatever can compare: a later execution of the same key has a greater one.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.0.fence
    }

    /// Which execution this is, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.0.number
    }

    /// The key to pass on as `Idempotency-Key`: the same at every attempt, useless for reading the
    /// stored reply.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.secret.derived_key(&self.0.id, "")
    }

    /// The key for one of several calls that the handler makes, by a name of its own choice.
    #[must_use]
    pub fn child_key(&self, name: &str) -> String {
        self.0.secret.derived_key(&self.0.id, name)
    }

    /// The caller's own key, for a route that passes it on.
    #[must_use]
    pub fn caller_key(&self) -> &Key {
        &self.0.caller_key
    }

    /// Whether the lease still runs, by this process's monotonic clock, counted from before the
    /// claim (or the last renewal) was sent. Ask immediately before the first byte goes out; when it
    /// says no, send nothing and report *released*.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        Instant::now() < *self.0.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn renewed(&self, lease_end: Instant) {
        *self.0.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease_end;
    }

    /// The record is somebody else's now.
    pub(super) fn lost(&self) {
        self.renewed(Instant::now());
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.0.id)
            .field("fence", &self.0.fence)
            .field("number", &self.0.number)
            .finish_non_exhaustive()
    }
}
