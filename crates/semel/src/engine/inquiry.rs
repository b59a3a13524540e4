//! Inquiry, void, acknowledgement, resolve and erase: what is done with a key beside running it.

use std::sync::Arc;

use semel_core::machine::{Answer, Event, Resolution, Step, Write, step};
use semel_core::record::{Effect, Record, State};
use semel_core::store::{Filter, Listing, Page, Put, StoreError, Swapped};
use semel_core::{Key, Policy, RecordId, Span, Timestamp};
use tokio::time::Instant;

use super::Engine;
use super::claim::Backoff;
use super::start::Inner;

/// Where a key stands, in the words of the inquiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not so far: nothing is known to have happened, and a delayed request may still run.
    Absent,
    /// Somebody runs it.
    InFlight,
    /// It may have happened.
    InDoubt,
    /// It ran to an outcome.
    Completed,
    /// It ran; its reply is gone.
    Spent,
    /// It will never run.
    Void,
    /// The key's own time lies before all that is remembered.
    TooOld,
}

impl Standing {
    /// The word in interfaces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::InFlight => "in-flight",
            Self::InDoubt => "in-doubt",
            Self::Completed => "completed",
            Self::Spent => "spent",
            Self::Void => "void",
            Self::TooOld => "too-old",
        }
    }
}

/// What an inquiry tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Where the key stands now; a lapsed execution counts as in doubt.
    pub standing: Standing,
    /// Whether it happened.
    pub effect: Effect,
    /// The record, where there is one that a caller may be told of.
    pub record: Option<Record>,
    /// The store's time.
    pub now: Timestamp,
}

/// What a void, acknowledgement, resolve or erase came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The machine's answer.
    pub answer: Answer,
    /// The record afterwards, if there is one.
    pub record: Option<Record>,
}

impl Engine {
    /// Where `id` stands. Runs nothing, writes nothing.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn inquire(
        &self,
        id: RecordId,
        key: Option<&Key>,
        policy: &Policy,
    ) -> Result<Known, StoreError> {
        let record = self.0.load(id).await?;
        let now = self.0.clock.now();
        let Some(record) = record else {
            let void = Event::Void(key.and_then(|key| key.time_at(now)));
            let policy = self.0.policy(policy);
            let too_old = step(None, &void, now, &policy).answer == Answer::TooOld;
            return Ok(if too_old {
                Known { standing: Standing::TooOld, effect: Effect::Unknown, record: None, now }
            } else {
                Known { standing: Standing::Absent, effect: Effect::None, record: None, now }
            });
        };
        // Judged by the machine, too: a lapsed execution is in doubt before anybody wrote so.
        let lapsed = record.state == State::InFlight
            && step(Some(&record), &Event::Sweep, now, policy).answer == Answer::Swept;
        let standing = match record.state {
            State::InFlight if lapsed => Standing::InDoubt,
            State::InFlight => Standing::InFlight,
            State::InDoubt(_) => Standing::InDoubt,
            State::Completed => Standing::Completed,
            State::Released => {
                return Ok(Known {
                    standing: Standing::Absent,
                    effect: Effect::None,
                    record: None,
                    now,
                });
            }
            State::Spent => Standing::Spent,
            State::Voided => Standing::Void,
        };
        Ok(Known { standing, effect: record.effect(), record: Some(record), now })
    }

    /// "If it has not happened, make sure that it never will." [`Answer::Voided`] and
    /// [`Answer::Already`] are that promise.
    ///
    /// # Errors
    /// When the store gave no certain answer within the write's deadline: ask again.
    pub async fn void(
        &self,
        id: RecordId,
        key: Option<&Key>,
        policy: &Policy,
    ) -> Result<Applied, StoreError> {
        self.void_for(id, key, policy, policy.memory).await
    }

    /// As [`Engine::void`], and where a record is written it is kept for `held`, if that is longer than
    /// the memory of `policy`, which judges the key: for a key that may come on other routes, too.
    ///
    /// # Errors
    /// As [`Engine::void`].
    pub async fn void_for(
        &self,
        id: RecordId,
        key: Option<&Key>,
        policy: &Policy,
        held: Span,
    ) -> Result<Applied, StoreError> {
        let key_time = key.and_then(|key| key.time_at(self.0.clock.now()));
        self.0.apply(id, &Event::Void(key_time), policy, held).await
    }

    /// The caller has its reply: completed becomes spent.
    ///
    /// # Errors
    /// As [`Engine::void`].
    pub async fn ack(&self, id: RecordId) -> Result<Applied, StoreError> {
        self.0.apply(id, &Event::Ack, &Policy::default(), Span::ZERO).await
    }

    /// The reply must go; the key stays known.
    ///
    /// # Errors
    /// As [`Engine::void`].
    pub async fn erase(&self, id: RecordId) -> Result<Applied, StoreError> {
        self.0.apply(id, &Event::Erase, &Policy::default(), Span::ZERO).await
    }

    /// Somebody knows what happened to a key in doubt.
    ///
    /// # Errors
    /// As [`Engine::void`].
    pub async fn resolve(
        &self,
        id: RecordId,
        resolution: Resolution,
    ) -> Result<Applied, StoreError> {
        self.0.apply(id, &Event::Resolve(resolution), &Policy::default(), Span::ZERO).await
    }

    /// One record, for operators.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn show(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        self.0.load(id).await
    }

    /// Records, for operators.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, filter: Filter, page: Page) -> Result<Listing, StoreError> {
        self.0.bounded(self.0.store.list(filter, page)).await
    }
}

impl Inner {
    /// Carries `event` out by compare-and-set until the store has said how it ended, or the deadline
    /// of a write has passed. `policy` judges; what is written is remembered for `held` at least.
    async fn apply(
        self: &Arc<Self>,
        id: RecordId,
        event: &Event,
        policy: &Policy,
        held: Span,
    ) -> Result<Applied, StoreError> {
        let policy = self.policy(policy);
        let kept = Policy { memory: policy.memory.max(held), ..policy.clone() };
        let give_up_at = self.deadline_from_now();
        let mut backoff = Backoff::new();
        let mut current = self.load(id).await?;
        // What was written, and whose answer was not heard.
        let mut unheard: Option<(Put, Answer)> = None;
        loop {
            if let Some((put, answer)) = &unheard
                && landed(put, current.as_ref())
            {
                self.waiters.wake(&id);
                return Ok(Applied { answer: *answer, record: current });
            }
            let now = self.clock.now();
            let judged = step(current.as_ref(), event, now, &policy);
            let Step { write, answer } = match judged.write {
                Write::Put(_) => step(current.as_ref(), event, now, &kept),
                Write::Keep | Write::Delete => judged,
            };
            let put = match write {
                Write::Put(record) if *event == Event::Resolve(Resolution::Released) => {
                    // The grace is over by the store's clock, which may have jumped: the upstream
                    // has had its time only when this engine saw all of it pass.
                    let unseen = self.clock.unseen(record.grace.plus(Span::from_ms(1)));
                    if unseen > Span::ZERO {
                        let answer = Answer::TooSoon(now.plus(unseen));
                        return Ok(Applied { answer, record: current });
                    }
                    Put::Record(record)
                }
                Write::Keep => return Ok(Applied { answer, record: current }),
                Write::Put(record) => Put::Record(record),
                Write::Delete => Put::Delete,
            };
            let expected = current.as_ref().map(Record::version);
            match self.swap(id, expected, put.clone()).await {
                Ok(Swapped::Done { at }) => {
                    self.waiters.wake(&id);
                    let record = match put {
                        Put::Record(record) => Some(Record { stamp: at, ..record }),
                        Put::Delete => None,
                    };
                    return Ok(Applied { answer, record });
                }
                Ok(Swapped::Conflict { current: found, .. }) => current = found,
                Err(error) if Instant::now() >= give_up_at => return Err(error),
                Err(error) if error.may_have_applied() => {
                    unheard = Some((put, answer));
                    backoff.pause().await;
                    current = self.load(id).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether this is what is there now, but for the time that the store stamped it with.
fn landed(put: &Put, current: Option<&Record>) -> bool {
    match (put, current) {
        (Put::Record(put), Some(current)) => {
            Record { stamp: current.stamp, ..put.clone() } == *current
        }
        (Put::Delete, None) => true,
        (Put::Record(_), None) | (Put::Delete, Some(_)) => false,
    }
}
