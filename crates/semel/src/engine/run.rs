//! The one path of an operation: claim, execute, settle, answer; or wait, and answer from the record.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use semel_core::machine::{Answer, Claim, Event, Step, Write, step};
use semel_core::record::{Effect, Record, Sealed, State, StoredReply};
use semel_core::{Owner, Policy, Span, StoreError, Timestamp};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, Instant};

use super::Engine;
use super::answer::{Answered, Bounds, Concluded, Executed, Operation, Recording, Refusal};
use super::attempt::Attempt;
use super::claim::{Claimed, Granted};
use super::seal::open;
use super::start::{Inner, Stage};
use super::wait::Place;
use crate::entropy::random;

/// How often a waiting duplicate looks when nobody in this process can wake it.
const LOOK_FIRST: Duration = Duration::from_millis(25);
const LOOK_MAX: Duration = Duration::from_secs(1);

impl Engine {
    /// Runs `handler` for `operation` unless that has happened, is happening, or may have happened.
    ///
    /// The work goes on in a task of its own: dropping the returned future loses the answer, never
    /// the execution or its record. A handler that panics leaves its key *in doubt*.
    pub async fn run<T, F, Fut>(
        &self,
        operation: Operation,
        policy: Arc<Policy>,
        bounds: Bounds,
        handler: F,
    ) -> Answered<T>
    where
        T: Send + 'static,
        F: FnOnce(Attempt) -> Fut + Send + 'static,
        Fut: Future<Output = Executed<T>> + Send + 'static,
    {
        let (told, answered) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        let ticket = inner.ticket();
        let own_task = OwnTask::default();
        let moved = own_task.clone();
        let mut work = Box::pin(async move {
            let _ticket = ticket;
            let policy = inner.policy(&policy);
            inner.run(&operation, &policy, bounds, own_task, handler, told).await;
        });
        // Most retries are answered at the first look: they need no task. What has to wait gets one
        // in the same breath, so nothing that has begun is lost with this future.
        let first_look =
            poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))));
        if matches!(first_look.await, Ok(Poll::Pending)) {
            moved.enter();
            self.0.config.spawner.spawn(work);
        }
        answered.await.unwrap_or(Answered::Refused(Refusal::Interrupted))
    }
}

/// Whether the work of an operation runs in a task of its own by now. A handler never runs before.
#[derive(Clone, Debug, Default)]
struct OwnTask(Arc<AtomicBool>);

impl OwnTask {
    fn enter(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Nobody is woken: whoever finds the work waiting gives it its task, which looks again.
    async fn entered(&self) {
        poll_fn(|_| match self.0.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

impl Inner {
    async fn run<T, F, Fut>(
        self: &Arc<Self>,
        operation: &Operation,
        policy: &Policy,
        bounds: Bounds,
        own_task: OwnTask,
        handler: F,
        mut told: oneshot::Sender<Answered<T>>,
    ) where
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Executed<T>>,
    {
        let mut original = None;
        let patience = Instant::now() + bounds.wait.to_duration();
        let mut place: Option<Place<'_>> = None;
        let mut look = LOOK_FIRST;
        let (granted, _permit) = loop {
            if *self.stage.borrow() != Stage::Open {
                return tell(told, Answered::Refused(Refusal::Draining));
            }
            // Armed before the look, or a settle between look and wait would wake nobody.
            let wake = place.as_ref().map(|place| Arc::clone(&place.wake));
            let woken = woken(wake.as_deref());
            tokio::pin!(woken);
            let mut seen = None;
            if wake.is_some() {
                let _armed = poll_fn(|cx| Poll::Ready(woken.as_mut().poll(cx))).await;
                match self.load(operation.id).await {
                    Ok(found) => seen = found,
                    Err(error) => return tell(told, store_failed(error, original)),
                }
            }
            let record = match Arc::clone(&self.in_flight).try_acquire_owned() {
                Ok(permit) => {
                    let passes = bounds.passes_when_down;
                    match self.claim(operation, self.owner(), policy, seen, passes).await {
                        Claimed::Granted(granted) => break (granted, permit),
                        Claimed::Failed(error) => return tell(told, store_failed(error, original)),
                        Claimed::Answered(Answer::InFlight, Some(record)) => record,
                        Claimed::Answered(answer, record) => {
                            return tell(told, self.answer(operation, answer, record));
                        }
                    }
                }
                Err(_full) => match self.without_running(operation, policy).await {
                    Ok(in_flight) => in_flight,
                    Err(answered) => return tell(told, *answered),
                },
            };
            original = Some(record.began());
            if place.is_some() && Instant::now() < patience {
                let next_look = (Instant::now() + look).min(patience);
                look = (look * 2).min(LOOK_MAX);
                if caller_left(&mut told, woken, next_look).await {
                    return;
                }
                continue;
            }
            if place.is_none() && Instant::now() < patience {
                place = self.waiters.enter(operation.id);
            }
            if place.is_none() || Instant::now() >= patience {
                return tell(told, self.answer(operation, Answer::InFlight, Some(record)));
            }
        };
        drop(place);
        own_task.entered().await;
        // Boxed, for a retry comes past here with a future that is copied whole, and never gets here.
        Box::pin(self.run_granted(operation, granted, policy, bounds.settle, handler, told)).await;
    }

    fn owner(&self) -> Owner {
        Owner(random(self.config.entropy.as_ref()))
    }

    /// Where nothing more may run, a key that is known is answered as ever, or waited for where it is in
    /// flight.
    async fn without_running<T>(
        &self,
        operation: &Operation,
        policy: &Policy,
    ) -> Result<Record, Box<Answered<T>>> {
        let record = match self.load(operation.id).await {
            Ok(record) => record,
            Err(error) => return Err(Answered::Refused(Refusal::Store(error)).into()),
        };
        let claim = Event::Claim(Claim {
            owner: self.owner(),
            fingerprint: operation.fingerprint,
            key_time: operation.key.time_at(self.clock.now()),
        });
        let Step { write, answer } = step(record.as_ref(), &claim, self.clock.now(), policy);
        if let (Answer::InFlight, Write::Keep, Some(record)) = (answer, &write, &record) {
            return Ok(record.clone());
        }
        Err(Box::new(match (answer, write) {
            (Answer::Execute, _) => Answered::Refused(Refusal::Overloaded),
            // It lapsed: told as it will be written, by the next claim or the sweep.
            (answer, Write::Put(next)) => {
                let next = Record { stamp: self.clock.now(), ..next };
                self.answer(operation, answer, Some(next))
            }
            (answer, Write::Keep | Write::Delete) => self.answer(operation, answer, record),
        }))
    }

    async fn run_granted<T, F, Fut>(
        self: &Arc<Self>,
        operation: &Operation,
        granted: Granted,
        policy: &Policy,
        settle_bound: Span,
        handler: F,
        told: oneshot::Sender<Answered<T>>,
    ) where
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Executed<T>>,
    {
        let (concluded, live, record) = self.execute(operation, granted, policy, handler).await;
        let earlier_doubt = record.earlier_doubt;
        let outcome = self.outcome(&operation.id, record.fence, &operation.key, &concluded);
        let settle = self.settle(operation.id, &record, &outcome);
        tokio::pin!(settle);
        let settled = tokio::select! {
            biased;
            settled = &mut settle => settled,
            () = tokio::time::sleep(settle_bound.to_duration()) => {
                tell(told, not_recorded(&concluded, Recording::GoesOn));
                // The caller has its answer; the outcome still goes on record.
                let _settled_or_reported = settle.await;
                return;
            }
        };
        let answered = match settled {
            Ok((answer, Some(record))) => {
                self.conclude(operation, concluded, live, (answer, record))
            }
            // Nothing happened and nothing is remembered: that is what a release comes to.
            Ok((_, None)) if concluded == Concluded::Released && !earlier_doubt => match live {
                Some(live) => Answered::Released { live },
                None => ask_again(self.clock.now()),
            },
            Ok((_, None)) => {
                tracing::error!(
                    record = %operation.id.short(),
                    "the record of an operation that ran is gone: a retry would run again"
                );
                not_recorded(&concluded, Recording::Lost)
            }
            Err(error) => not_recorded(&concluded, recording_after(&error)),
        };
        tell(told, answered);
    }

    /// What the first caller is told once its outcome was settled, or overtaken by another.
    fn conclude<T>(
        &self,
        operation: &Operation,
        concluded: Concluded,
        live: Option<T>,
        (answer, record): (Answer, Record),
    ) -> Answered<T> {
        let own = matches!(answer, Answer::Settled { .. } | Answer::Already);
        match (record.state, live) {
            (State::Completed | State::Spent, Some(live)) if own => {
                Answered::Executed { live, record }
            }
            (State::Released, Some(live)) if concluded == Concluded::Released => {
                Answered::Released { live }
            }
            // Also when this attempt did nothing, and an earlier one is in doubt.
            (State::InDoubt(_), live) if own => Answered::Doubted { live, record },
            // Lost: the record speaks, never the late reply.
            _ => self.answer_from(operation, record),
        }
    }

    /// What a claim's answer means to its caller.
    fn answer<T>(
        &self,
        operation: &Operation,
        answer: Answer,
        record: Option<Record>,
    ) -> Answered<T> {
        match (answer, record) {
            (Answer::Mismatch, Some(record)) => {
                let first = record.fingerprint.unwrap_or_default();
                Answered::Refused(Refusal::Mismatch { first, effect: record.effect() })
            }
            (Answer::TooOld, _) => Answered::Refused(Refusal::TooOld),
            (Answer::TooNew, _) => Answered::Refused(Refusal::TooNew),
            (_, Some(record)) => self.answer_from(operation, record),
            (answer, None) => {
                tracing::error!(?answer, "a claim was answered without a record");
                Answered::Refused(Refusal::Interrupted)
            }
        }
    }

    /// What the record says to a caller.
    fn answer_from<T>(&self, operation: &Operation, record: Record) -> Answered<T> {
        let first = record.fingerprint.unwrap_or_default();
        match record.state {
            // An executor that lost its record may find another request's there: its own attempt
            // had released the key, and somebody took it for another body.
            State::Completed | State::InFlight | State::InDoubt(_)
                if !first.matches(&operation.fingerprint) =>
            {
                Answered::Refused(Refusal::Mismatch { first, effect: record.effect() })
            }
            State::Completed => match record.outcome.as_ref().map(|outcome| &outcome.reply) {
                Some(StoredReply::Sealed(sealed)) => {
                    let sealed = sealed.clone();
                    self.replay(operation, record, &sealed)
                }
                Some(StoredReply::NotKept | StoredReply::Unknown | StoredReply::Gone) | None => {
                    Answered::Refused(Refusal::NotKept(record))
                }
            },
            State::InFlight => Answered::Refused(Refusal::InFlight {
                since: record.began(),
                retry_after: record.lease_end().since(self.clock.now()).max(Span::from_secs(1)),
            }),
            State::InDoubt(_) => Answered::Refused(Refusal::InDoubt { since: record.since() }),
            // Nothing happened, and somebody else may claim it at any moment: ask again.
            State::Released => ask_again(record.since()),
            State::Spent => Answered::Refused(Refusal::Spent(record)),
            State::Voided => Answered::Refused(Refusal::Void { since: record.since() }),
        }
    }

    fn replay<T>(&self, operation: &Operation, record: Record, sealed: &Sealed) -> Answered<T> {
        let fence = record.executed_fence.unwrap_or(record.fence);
        match open(&self.secret, &operation.id, fence, &operation.key, sealed) {
            Ok(plain) => Answered::Replayed { plain, record, now: self.clock.now() },
            Err(error) => {
                tracing::error!(record = %operation.id.short(), %error, "a stored reply does not open");
                let what = error.to_string();
                Answered::Refused(Refusal::Store(StoreError::Damaged { what }))
            }
        }
    }
}

/// Of a duplicate that saw its original run it is known more than that the store is down.
fn store_failed<T>(error: StoreError, original: Option<Timestamp>) -> Answered<T> {
    Answered::Refused(match original {
        Some(since) => Refusal::InFlight { since, retry_after: Span::from_secs(1) },
        None => Refusal::Store(error),
    })
}

async fn woken(wake: Option<&Notify>) {
    match wake {
        Some(wake) => wake.notified().await,
        None => std::future::pending().await,
    }
}

fn ask_again<T>(since: Timestamp) -> Answered<T> {
    Answered::Refused(Refusal::InFlight { since, retry_after: Span::from_secs(1) })
}

/// What becomes of an outcome whose settle ended with `error`.
fn recording_after(error: &StoreError) -> Recording {
    match error {
        StoreError::Poisoned { .. } | StoreError::Closed { .. } => Recording::Stopped,
        _ => Recording::Lost,
    }
}

/// Waits until something woke, or for the next look; or until nobody waits any more.
async fn caller_left<T>(
    told: &mut oneshot::Sender<Answered<T>>,
    woken: impl Future<Output = ()>,
    next_look: Instant,
) -> bool {
    tokio::select! {
        biased;
        () = told.closed() => true,
        () = woken => false,
        () = tokio::time::sleep_until(next_look) => false,
    }
}

fn not_recorded<T>(concluded: &Concluded, recording: Recording) -> Answered<T> {
    let (status, effect) = match concluded {
        Concluded::Reply { status, effect, .. } | Concluded::NotKept { status, effect } => {
            (*status, *effect)
        }
        Concluded::Released | Concluded::InDoubt => (None, Effect::Unknown),
    };
    Answered::Refused(Refusal::NotRecorded { status, effect, recording })
}

/// A caller that has left is told nothing; its operation is on record all the same.
fn tell<T>(told: oneshot::Sender<Answered<T>>, answered: Answered<T>) {
    let _caller_may_have_left = told.send(answered);
}
