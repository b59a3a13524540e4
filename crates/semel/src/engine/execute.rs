//! Execute: the handler in a task of its own, its lease renewed beside it up to the ceiling.
//!
//! Must never stop because a client left. Ends when the handler does, or when a drain cuts it off.
//! A panic says nothing about the effect, so it is *in doubt*.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use semel_core::machine::{Answer, Event, Step, Write, step};
use semel_core::record::Record;
use semel_core::store::{Put, Swapped};
use semel_core::{Policy, State};
use tokio::time::Instant;

use super::answer::{Concluded, Executed, Operation};
use super::attempt::Attempt;
use super::claim::{Backoff, Granted};
use super::start::{Inner, Stage};

impl Inner {
    /// Runs `handler` under `granted`. Returns its conclusion, what the first caller gets, and the
    /// record as last written.
    pub(super) async fn execute<T, F, Fut>(
        self: &Arc<Self>,
        operation: &Operation,
        granted: Granted,
        policy: &Policy,
        handler: F,
    ) -> (Concluded, Option<T>, Record)
    where
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Executed<T>>,
    {
        let Granted { mut record, sent } = granted;
        let lease_end = sent + policy.lease.to_duration();
        let attempt = Attempt::new(&self.secret, operation.id, &operation.key, &record, lease_end);
        if !attempt.may_begin() || *self.stage.borrow() == Stage::CutOff {
            // The claim's answer took longer than the lease, and somebody else may hold the key by
            // now; or all executions are being cut off. Nothing was sent, which is proof.
            return (Concluded::Released, None, record);
        }
        let running = AssertUnwindSafe(async { handler(attempt.clone()).await }).catch_unwind();
        let mut stage = self.stage.subscribe();
        let ended = {
            let cut_off = stage.wait_for(|stage| *stage == Stage::CutOff);
            let renewing = self.renew(operation, &mut record, &attempt, policy);
            tokio::select! {
                biased;
                ended = running => Some(ended),
                _ = cut_off => None,
                () = renewing => unreachable!("renewing never ends by itself"),
            }
        };
        match ended {
            Some(Ok(Executed { concluded, live })) => (concluded, Some(live), record),
            Some(Err(_panic)) => {
                metrics::counter!("semel_handler_panics_total").increment(1);
                tracing::error!(record = %operation.id.short(), "the handler panicked: its key is in doubt");
                (Concluded::InDoubt, None, record)
            }
            None => {
                self.cut_off.fetch_add(1, Ordering::SeqCst);
                tracing::warn!(record = %operation.id.short(), "cut off by the drain: its key is in doubt");
                (Concluded::InDoubt, None, record)
            }
        }
    }

    /// Renews the lease at each third of it; after the ceiling, or when the record is lost, only
    /// waits. The handler goes on either way: it may be past the point where it could be stopped.
    async fn renew(
        &self,
        operation: &Operation,
        record: &mut Record,
        attempt: &Attempt,
        policy: &Policy,
    ) {
        let pause = (policy.lease.to_duration() / 3).max(Duration::from_millis(1));
        let mut backoff = Backoff::new();
        tokio::time::sleep(pause).await;
        loop {
            let renew = Event::Renew(record.fence);
            let Step { write, answer } = step(Some(record), &renew, self.clock.now(), policy);
            let (Answer::Renewed, Write::Put(renewed)) = (answer, write) else {
                // Past the ceiling the lease runs out by itself; else the record is at its end.
                if !matches!(record.state, State::InFlight) {
                    attempt.lost();
                }
                break;
            };
            let sent = Instant::now();
            let lease = renewed.lease.to_duration();
            match self
                .swap(operation.id, Some(record.version()), Put::Record(renewed.clone()))
                .await
            {
                Ok(Swapped::Done { at }) => {
                    *record = Record { stamp: at, ..renewed };
                    attempt.renewed(sent + lease);
                    backoff = Backoff::new();
                    tokio::time::sleep(pause).await;
                }
                Ok(Swapped::Conflict { current: Some(current), .. })
                    if current.fence == record.fence =>
                {
                    *record = current;
                }
                Ok(Swapped::Conflict { .. }) => {
                    attempt.lost();
                    break;
                }
                Err(_unknown) => backoff.pause().await,
            }
        }
        std::future::pending().await
    }
}
