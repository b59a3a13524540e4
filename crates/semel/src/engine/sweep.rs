//! Sweep: what time alone changes. Lapsed executions become in doubt, outlived replies are dropped,
//! outlived keys are forgotten. Never urgent: an engine without it answers the same.

use std::sync::{Arc, Weak};

use semel_core::Policy;
use semel_core::machine::{Event, Step, Write, step};
use semel_core::record::Record;
use semel_core::store::{Filter, Listing, Page, Put, Status, StoreError, Swapped, Unreadable};
use semel_core::{RecordId, State, Timestamp};

use tokio::time::Instant;

use super::start::Inner;

/// Records looked at in one go.
const BATCH: usize = 256;

/// Sweeps until the engine is gone.
pub(super) async fn run(engine: Weak<Inner>) {
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let pause = inner.config.sweep_every.to_duration();
        if let Err(error) = inner.sweep().await {
            tracing::warn!(%error, "the sweep could not finish; it comes again");
        }
        drop(inner);
        tokio::time::sleep(pause).await;
    }
}

impl Inner {
    /// Handles all that is due, a batch at a time. What is due it judges by the very time that it was told is
    /// right: the clock may have jumped since, and other answers have told the engine so.
    pub(super) async fn sweep(self: &Arc<Self>) -> Result<(), StoreError> {
        let asked = Instant::now();
        let Status { at, deletion_paused, .. } = self.status().await?;
        self.clock.observe(at, asked);
        if deletion_paused.is_some() {
            return self.sweep_lapsed(at).await;
        }
        loop {
            let due = self.bounded(self.store.due(at, BATCH)).await?;
            let full = due.len() == BATCH;
            let mut done = false;
            for (id, record) in due {
                // One record that cannot be written must not keep all behind it from their turn.
                match self.sweep_one(id, record, at).await {
                    Ok(written) => done |= written,
                    Err(error) => tracing::warn!(record = %id.short(), %error, "a sweep failed"),
                }
            }
            if !(full && done) {
                return Ok(());
            }
        }
    }

    /// While the store's clock looks wrong no reply and no key may go, but leases lapse all the
    /// same. What is due is of help only where keys leave in bulk, without the sweep: elsewhere it begins with
    /// all that has to stay.
    async fn sweep_lapsed(&self, at: Timestamp) -> Result<(), StoreError> {
        if self.store.store().capabilities().expires_in_bulk {
            for (id, record) in self.bounded(self.store.due(at, BATCH)).await? {
                if record.state == State::InFlight {
                    self.sweep_one(id, record, at).await?;
                }
            }
            return Ok(());
        }
        let filter = Filter { state: Some(State::InFlight), before: None };
        let mut page = Page { after: None, limit: BATCH };
        loop {
            let listed = self.bounded(self.store.list(filter, page)).await?;
            let Listing { records, next, unreadable } = listed;
            for Unreadable { why, .. } in unreadable {
                tracing::error!(why, "a sweep met what it cannot read");
            }
            for (id, record) in records {
                self.sweep_one(id, record, at).await?;
            }
            page.after = match next {
                None => return Ok(()),
                next => next,
            };
        }
    }

    /// Whether something was written.
    async fn sweep_one(
        &self,
        id: RecordId,
        record: Record,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let policy = Policy::default();
        let Step { write, .. } = step(Some(&record), &Event::Sweep, at, &policy);
        let put = match write {
            Write::Keep => return Ok(false),
            Write::Put(next) => Put::Record(next),
            Write::Delete => Put::Delete,
        };
        let lapsed = matches!(&put, Put::Record(next) if matches!(next.state, State::InDoubt(_)));
        // A conflict means that somebody was here in between; whatever is still due comes again.
        if let Swapped::Done { .. } = self.swap(id, Some(record.version()), put).await? {
            if lapsed {
                metrics::counter!("semel_lapsed_total").increment(1);
                tracing::warn!(record = %id.short(), fence = %record.fence, "a lease lapsed: its key is in doubt");
            }
            self.waiters.wake(&id);
            return Ok(true);
        }
        Ok(false)
    }
}
