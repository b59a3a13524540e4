//! What an engine sees of its store: every call timed, counted by outcome, and in a span of its own, so
//! that no backend holds any of this and none can forget it.
//!
//! | metric | measures |
//! |---|---|
//! | `semel_store_seconds{call,outcome}` | each call, from the question to its answer |
//!
//! Calls are those of [`Store`]; outcomes are `ok`, `conflict` (a swap that met another version),
//! `uncertain` (the write may have been applied) and `failed`. A call whose caller gave up waiting is
//! not measured. The handles are made at the start of the engine, so that a call allocates nothing more
//! than its backend does: whoever records metrics installs its recorder before.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use metrics::{Histogram, histogram};
use semel_core::store::{
    Bound, Filter, Listing, Loaded, Page, Status, Store, StoreError, Swap, Swapped,
};
use semel_core::{Record, RecordId, Timestamp};
use tokio::time::Instant;
use tracing::{Instrument, Span, debug_span};

/// A store under observation.
pub(crate) struct Observed {
    store: Arc<dyn Store>,
    swap: Outcomes,
    load: Outcomes,
    due: Outcomes,
    list: Outcomes,
    status: Outcomes,
    bind: Outcomes,
}

/// The histograms of one call.
struct Outcomes {
    ok: Histogram,
    conflict: Histogram,
    uncertain: Histogram,
    failed: Histogram,
}

impl Outcomes {
    fn of(call: &'static str) -> Self {
        let of = |outcome: &'static str| histogram!("semel_store_seconds", "call" => call, "outcome" => outcome);
        Self {
            ok: of("ok"),
            conflict: of("conflict"),
            uncertain: of("uncertain"),
            failed: of("failed"),
        }
    }

    async fn observe<T>(
        &self,
        span: Span,
        call: impl Future<Output = Result<T, StoreError>>,
        met_another: impl FnOnce(&T) -> bool,
    ) -> Result<T, StoreError> {
        let asked = Instant::now();
        let answer = call.instrument(span).await;
        let histogram = match &answer {
            Ok(answer) if met_another(answer) => &self.conflict,
            Ok(_) => &self.ok,
            Err(error) if error.may_have_applied() => &self.uncertain,
            Err(_) => &self.failed,
        };
        histogram.record(asked.elapsed().as_secs_f64());
        answer
    }
}

const fn never<T>(_: &T) -> bool {
    false
}

impl Observed {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let of = Outcomes::of;
        Self {
            store,
            swap: of("swap"),
            load: of("load"),
            due: of("due"),
            list: of("list"),
            status: of("status"),
            bind: of("bind"),
        }
    }

    /// The store itself.
    pub(crate) const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) async fn swap(&self, swap: Swap) -> Result<Swapped, StoreError> {
        let span = debug_span!("store swap", record = %swap.id.short());
        let conflict = |swapped: &Swapped| matches!(swapped, Swapped::Conflict { .. });
        self.swap.observe(span, self.store.swap(swap), conflict).await
    }

    pub(crate) async fn load(&self, id: RecordId) -> Result<Loaded, StoreError> {
        let span = debug_span!("store load", record = %id.short());
        self.load.observe(span, self.store.load(id), never).await
    }

    pub(crate) async fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RecordId, Record)>, StoreError> {
        let span = debug_span!("store due", before_ms = before.as_unix_ms(), limit);
        self.due.observe(span, self.store.due(before, limit), never).await
    }

    pub(crate) async fn list(&self, filter: Filter, page: Page) -> Result<Listing, StoreError> {
        let span = debug_span!("store list", limit = page.limit);
        self.list.observe(span, self.store.list(filter, page), never).await
    }

    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        self.status.observe(debug_span!("store status"), self.store.status(), never).await
    }

    pub(crate) async fn bind(&self, check: [u8; 16]) -> Result<Bound, StoreError> {
        self.bind.observe(debug_span!("store bind"), self.store.bind(check), never).await
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}
