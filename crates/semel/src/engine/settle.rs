//! Settle: the fenced write of an outcome, repeated until its result is known.
//!
//! The outcome is sealed once; every retry carries the same bytes. Must never let a reply out before
//! the write is durable, and never drops a truth in silence: a settle that contradicts what somebody
//! resolved or voided is reported.

use bytes::Bytes;
use semel_core::machine::{Answer, Event, Outcome, Step, Write, step};
use semel_core::record::{Effect, Record, Settled, StoredReply};
use semel_core::store::{Put, StoreError, Swapped};
use semel_core::{Fence, Key, OnLapse, Policy, RecordId, Secret};

use super::answer::Concluded;
use super::claim::Backoff;
use super::seal::seal;
use super::start::Inner;
use crate::entropy::Entropy;

/// A reply as it is kept: sealed for the caller (or, without one, under the secret alone).
#[must_use]
pub fn settled_reply(
    secret: &Secret,
    entropy: &dyn Entropy,
    id: &RecordId,
    fence: Fence,
    caller: Option<&Key>,
    (status, effect, plain): (Option<u16>, Effect, &Bytes),
) -> Settled {
    let digest = Some(secret.outcome_digest(id, plain));
    let reply = StoredReply::Sealed(seal(secret, entropy, id, fence, caller, plain));
    Settled { digest, status, effect, reply }
}

/// How one try at a settle ended.
#[derive(Debug)]
pub(super) enum SettleError {
    /// The record had changed; here it is.
    Conflict(Option<Record>),
    /// The store failed.
    Store(StoreError),
}

impl Inner {
    /// What the executor's conclusion means to the machine. Sealed here, once.
    pub(super) fn outcome(
        &self,
        id: &RecordId,
        fence: Fence,
        key: &Key,
        concluded: &Concluded,
    ) -> Outcome {
        match concluded {
            Concluded::Reply { status, effect, plain } => {
                let entropy = self.config.entropy.as_ref();
                let said = (*status, *effect, plain);
                Outcome::Done(settled_reply(&self.secret, entropy, id, fence, Some(key), said))
            }
            Concluded::NotKept { status, effect } => {
                let plain = status.unwrap_or(0).to_le_bytes();
                let digest = Some(self.secret.outcome_digest(id, &plain));
                let reply = StoredReply::NotKept;
                Outcome::Done(Settled { digest, status: *status, effect: *effect, reply })
            }
            Concluded::Released => Outcome::Released,
            Concluded::InDoubt => Outcome::InDoubt,
        }
    }

    /// One try against the record as last seen. The policy plays no part in a settle.
    pub(super) async fn settle_once(
        &self,
        id: RecordId,
        seen: &Record,
        fence: Fence,
        outcome: &Outcome,
    ) -> Result<(Answer, Record), SettleError> {
        let event = Event::Settle(fence, outcome.clone());
        let Step { write, answer } = step(Some(seen), &event, self.clock.now(), &Policy::default());
        let record = match write {
            Write::Keep => return Ok((answer, seen.clone())),
            Write::Put(record) => record,
            Write::Delete => unreachable!("a settle never deletes"),
        };
        match self.swap(id, Some(seen.version()), Put::Record(record.clone())).await {
            Ok(Swapped::Done { at }) => Ok((answer, Record { stamp: at, ..record })),
            Ok(Swapped::Conflict { current, .. }) => Err(SettleError::Conflict(current)),
            Err(error) => Err(SettleError::Store(error)),
        }
    }

    /// Settles until the store has said how it ended. `None`: the record is gone.
    ///
    /// # Errors
    /// Only when this store will never take it: another life, or stopped for good.
    pub(super) async fn settle(
        &self,
        id: RecordId,
        seen: &Record,
        outcome: &Outcome,
    ) -> Result<(Answer, Option<Record>), StoreError> {
        let fence = seen.fence;
        let mut current = seen.clone();
        let mut backoff = Backoff::new();
        let settled = loop {
            match self.settle_once(id, &current, fence, outcome).await {
                Ok((answer, record)) => break (answer, Some(record)),
                Err(SettleError::Conflict(Some(record))) => current = record,
                Err(SettleError::Conflict(None)) => {
                    break (
                        step(
                            None,
                            &Event::Settle(fence, outcome.clone()),
                            self.clock.now(),
                            &Policy::default(),
                        )
                        .answer,
                        None,
                    );
                }
                Err(SettleError::Store(
                    error @ (StoreError::WrongIncarnation { .. }
                    | StoreError::Poisoned { .. }
                    | StoreError::Closed { .. }
                    | StoreError::Damaged { .. }
                    | StoreError::Undecodable { .. }),
                )) => {
                    tracing::error!(record = %id.short(), %fence, %error, "an outcome cannot be recorded");
                    return Err(error);
                }
                Err(SettleError::Store(error)) => {
                    tracing::warn!(record = %id.short(), %fence, %error, "settle failed, trying again");
                    backoff.pause().await;
                }
            }
        };
        report(id, fence, settled.0, overtaken(outcome, fence, settled.1.as_ref()));
        self.waiters.wake(&id);
        Ok(settled)
    }
}

/// Whether the operation happened under `fence` and was granted again since, though its record is held:
/// only a release leads there, and it was wrong. (Under Rerun a second execution is what was asked for.)
fn overtaken(outcome: &Outcome, fence: Fence, record: Option<&Record>) -> bool {
    let granted_since = |record: &Record| {
        record.on_lapse == OnLapse::Hold && record.executed_fence.is_some_and(|last| last > fence)
    };
    matches!(outcome, Outcome::Done(_)) && record.is_some_and(granted_since)
}

/// A settle that overturns, or is overturned by, what somebody said is a fact that people must see.
fn report(id: RecordId, fence: Fence, answer: Answer, overtaken: bool) {
    let contradiction = matches!(
        answer,
        Answer::Settled { contradiction: true } | Answer::Lost { contradiction: true }
    );
    if contradiction || overtaken {
        metrics::counter!("semel_contradictions_total").increment(1);
        tracing::error!(
            record = %id.short(), %fence, ?answer,
            "an operation happened that had been resolved as released, voided or forgotten: look at its effect"
        );
    }
}

#[cfg(test)]
mod tests {
    use semel_core::machine::{Claim, Event, Write, step};
    use semel_core::{Fingerprint, Owner, Timestamp};

    use super::*;

    fn claimed(on_lapse: OnLapse) -> Record {
        let claim =
            Claim { owner: Owner([1; 16]), fingerprint: Fingerprint::default(), key_time: None };
        let policy = Policy { on_lapse, ..Policy::default() };
        let now = Timestamp::from_unix_ms(1_750_000_000_000);
        let Write::Put(record) = step(None, &Event::Claim(claim), now, &policy).write else {
            panic!("a first claim is written")
        };
        record
    }

    #[test]
    fn an_effect_under_a_fence_that_was_overtaken_is_seen_by_people() {
        let reply = StoredReply::NotKept;
        let settled = Settled { digest: None, status: None, effect: Effect::Done, reply };
        let done = Outcome::Done(settled);
        let held = claimed(OnLapse::Hold);
        let old = held.fence;
        let again = Record { fence: old.next(), executed_fence: Some(old.next()), ..held.clone() };
        assert!(overtaken(&done, old, Some(&again)), "released, and run again");
        assert!(!overtaken(&done, old, Some(&held)), "nobody else ran");
        assert!(!overtaken(&Outcome::Released, old, Some(&again)), "it did nothing");
        let rerun = Record { on_lapse: OnLapse::Rerun, ..again };
        assert!(!overtaken(&done, old, Some(&rerun)), "that is what rerun is for");
    }
}
