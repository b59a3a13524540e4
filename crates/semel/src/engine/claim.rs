//! Claim: one compare-and-set against "no such key"; a conflict already carries the record to
//! decide from. Must never run anything; goes on in `execute.rs` or ends in an answer.

use std::sync::Arc;
use std::time::Duration;

use semel_core::machine::{Answer, Claim, Event, Outcome, Step, Write, step};
use semel_core::record::{Record, State};
use semel_core::store::{Put, StoreError, Swapped};
use semel_core::{Owner, Policy, RecordId};
use tokio::time::Instant;

use super::answer::Operation;
use super::start::Inner;

/// First pause after a store error; doubled up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Grows from attempt to attempt, so that a store in trouble is not hammered.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(PAUSE_FIRST)
    }

    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
    }
}

/// How a claim ended.
#[derive(Debug)]
pub(super) enum Claimed {
    /// Durable: run it.
    Granted(Granted),
    /// Somebody's record says otherwise.
    Answered(Answer, Option<Record>),
    /// The store could not be asked, or gave no certain answer; the claim is being withdrawn.
    Failed(StoreError),
}

/// The right to execute, once.
#[derive(Debug)]
pub(super) struct Granted {
    /// As written.
    pub(super) record: Record,
    /// Just before the write was sent: from here the lease is counted.
    pub(super) sent: Instant,
}

impl Inner {
    /// Claims `operation` for `owner`. `seen` is the record as last seen, if it was; `passes`: the
    /// caller runs it itself when the store is down.
    pub(super) async fn claim(
        self: &Arc<Self>,
        operation: &Operation,
        owner: Owner,
        policy: &Policy,
        seen: Option<Record>,
        passes: bool,
    ) -> Claimed {
        // Some once a write of ours may still land: until then no answer but "granted" is certain.
        let mut doubtful_until = None;
        let claimed = self.ask(operation, owner, policy, seen, &mut doubtful_until).await;
        let left = match &claimed {
            Claimed::Granted(_) => return claimed,
            // What the caller runs now is known to nobody here.
            Claimed::Failed(error) if passes && error.is_down() => Outcome::InDoubt,
            Claimed::Failed(_) | Claimed::Answered(..) => Outcome::Released,
        };
        if let Some(until) = doubtful_until {
            self.withdraw(operation.id, owner, until, left);
        }
        claimed
    }

    async fn ask(
        &self,
        operation: &Operation,
        owner: Owner,
        policy: &Policy,
        seen: Option<Record>,
        doubtful_until: &mut Option<Instant>,
    ) -> Claimed {
        let event = Event::Claim(Claim {
            owner,
            fingerprint: operation.fingerprint,
            key_time: operation.key.time_at(self.clock.now()),
        });
        let mut looked = seen.is_some();
        let mut current = seen;
        let give_up_at = self.deadline_from_now();
        let mut backoff = Backoff::new();
        loop {
            let Step { write, answer } = step(current.as_ref(), &event, self.clock.now(), policy);
            let record = match write {
                // "No such key" was only assumed. A key that is too old by its own time may well
                // be remembered, and one whose claim of ours may still land is not judged yet.
                Write::Keep if !looked => match self.load(operation.id).await {
                    Ok(found) => {
                        (current, looked) = (found, true);
                        continue;
                    }
                    Err(error) => return Claimed::Failed(error),
                },
                Write::Keep => return Claimed::Answered(answer, current),
                Write::Put(record) => record,
                Write::Delete => unreachable!("a claim never deletes"),
            };
            let expected = current.as_ref().map(Record::version);
            let sent = Instant::now();
            match self.swap(operation.id, expected, Put::Record(record.clone())).await {
                Ok(Swapped::Done { at }) => {
                    let record = Record { stamp: at, ..record };
                    return match answer {
                        Answer::Execute => Claimed::Granted(Granted { record, sent }),
                        answer => Claimed::Answered(answer, Some(record)),
                    };
                }
                Ok(Swapped::Conflict { current: found, .. }) => {
                    (current, looked) = (found, true);
                }
                Err(error) if error.may_have_applied() => {
                    *doubtful_until = Some(self.deadline_from_now());
                    if Instant::now() >= give_up_at {
                        return Claimed::Failed(error);
                    }
                    backoff.pause().await;
                    // A look tells whether it landed; if not, the same owner claims again.
                    match self.load(operation.id).await {
                        Ok(found) => (current, looked) = (found, true),
                        Err(error) => {
                            return Claimed::Failed(error);
                        }
                    }
                }
                Err(error) => return Claimed::Failed(error),
            }
        }
    }

    /// Makes sure that a claim that was given up is not left behind: an orphan would lapse into a
    /// doubt about something that never ran. `left` is what is written if it landed. After this nobody
    /// executes under `owner`.
    fn withdraw(self: &Arc<Self>, id: RecordId, owner: Owner, until: Instant, left: Outcome) {
        let inner = Arc::clone(self);
        let ticket = self.ticket();
        self.config.spawner.spawn(Box::pin(async move {
            let _ticket = ticket;
            inner.withdrawn(id, owner, until, &left).await;
        }));
    }

    async fn withdrawn(&self, id: RecordId, owner: Owner, until: Instant, left: &Outcome) {
        let mut stage = self.stage.subscribe();
        let mut backoff = Backoff::new();
        loop {
            let asked = Instant::now();
            match self.load(id).await {
                Ok(Some(record)) if record.owner == owner && is_open(record.state) => {
                    if self.settle_once(id, &record, record.fence, left).await.is_ok() {
                        return;
                    }
                }
                // Past its deadline the store refuses the write: what was not there when it was asked
                // after that will not come.
                Ok(_) if asked > until => return,
                Ok(_) | Err(_) => {}
            }
            let cut_off = stage.wait_for(|stage| *stage == super::start::Stage::CutOff);
            tokio::select! {
                biased;
                _ = cut_off => return,
                () = backoff.pause() => {}
            }
        }
    }
}

const fn is_open(state: State) -> bool {
    match state {
        State::InFlight | State::InDoubt(_) => true,
        State::Completed | State::Released | State::Spent | State::Voided => false,
    }
}
