//! The machine: every decision about a key, in one pure function.
//!
//! [`step`] takes what the store remembers, what happened, the store's time and the route's policy;
//! it says what to write (compare-and-set against the version that was read) and what to answer. It
//! does no IO and knows no clock, so the same function is walked cell by cell in a test, searched
//! exhaustively as a model, and run by every engine. The path goes on in `semel::engine`.
//!
//! Two rules run through every cell:
//! 1. *Hold*: once an execution may have begun, only knowledge leads out — the executor's settle, a
//!    person or look-up after the grace — never the passing of time.
//! 2. An attempt speaks only for itself, and only under its own fence.
//!
//! ```
//! use semel_core::{machine::{step, Answer, Claim, Event, Write}, Fingerprint, Owner, Policy, Timestamp};
//!
//! let now = Timestamp::from_unix_ms(1_750_000_000_000);
//! let claim = Claim { owner: Owner([1; 16]), fingerprint: Fingerprint::default(), key_time: None };
//! let first = step(None, &Event::Claim(claim.clone()), now, &Policy::default());
//! assert_eq!(first.answer, Answer::Execute);
//!
//! let Write::Put(mut record) = first.write else { panic!("a claim is written before it runs") };
//! record.stamp = now; // the store does this
//! let other = Claim { owner: Owner([2; 16]), ..claim };
//! let second = step(Some(&record), &Event::Claim(other), now, &Policy::default());
//! assert_eq!(second.answer, Answer::InFlight);
//! ```

use crate::fingerprint::Fingerprint;
use crate::id::{Fence, Owner};
use crate::policy::{OnLapse, Policy};
use crate::record::{Doubt, Record, Settled, State, StoredReply};
use crate::time::{Span, Timestamp};

/// A request for the right to run an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Made at random by the claimer for this one claim.
    pub owner: Owner,
    /// What the request asks for.
    pub fingerprint: Fingerprint,
    /// The time that the key itself carries (UUIDv7).
    pub key_time: Option<Timestamp>,
}

/// What an executor says when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to an answer.
    Done(Settled),
    /// Nothing happened, and there is proof.
    Released,
    /// It may have happened.
    InDoubt,
}

/// What somebody with knowledge from outside says of a key in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It happened.
    Done(Settled),
    /// It did not happen, and nothing of it is under way any more.
    Released,
}

/// What can happen to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request arrives.
    Claim(Claim),
    /// The executor under this fence wants to go on.
    Renew(Fence),
    /// The executor under this fence has ended.
    Settle(Fence, Outcome),
    /// Time has passed.
    Sweep,
    /// An operator or a look-up knows what happened.
    Resolve(Resolution),
    /// "If it has not happened, make sure that it never will." With the key's own time, if any.
    Void(Option<Timestamp>),
    /// The caller has its reply and needs it no more.
    Ack,
    /// The reply must go, and the key must stay known.
    Erase,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing.
    Keep,
    /// This record, in place of what was read.
    Put(Record),
    /// Forget the key.
    Delete,
}

/// What to say. The words are those of the status header and of the problem codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To a claim: run it, under the fence that was written.
    Execute,
    /// To a claim: somebody runs it.
    InFlight,
    /// To a claim or a void: it may have happened.
    InDoubt,
    /// To a claim: it happened; here is the reply.
    Replay,
    /// To a claim: it ran, and its reply was never kept.
    NotKept,
    /// To a claim: the key belongs to another request.
    Mismatch,
    /// To a claim: the key was used, its reply is gone.
    Spent,
    /// To a claim: the key was voided.
    Void,
    /// To a claim or a void: the key's own time lies before all that is remembered.
    TooOld,
    /// To a claim or a void: the key's own time lies too far ahead.
    TooNew,
    /// To a renewal: the lease runs on.
    Renewed,
    /// To a settle: written. `contradiction`: it overturned what somebody had said before.
    Settled {
        /// The record said that nothing happened.
        contradiction: bool,
    },
    /// To a settle, void, ack or erase: that is what the record says already.
    Already,
    /// To a renewal or a settle: the record belongs to somebody else now. `contradiction`: the
    /// operation happened although the key had been voided.
    Lost {
        /// The record says that it never ran; the executor says that it did.
        contradiction: bool,
    },
    /// To a sweep: something was due.
    Swept,
    /// To a sweep: nothing is due.
    Nothing,
    /// To a resolve: written.
    Resolved,
    /// To a resolve as released: not before this time is "nothing there" proof.
    TooSoon(Timestamp),
    /// To a void: it has not run and will not while remembered.
    Voided,
    /// To an ack or erase: the reply is gone, the key stays known.
    Erased,
    /// There is no such key.
    NotFound,
    /// Not in this state.
    Refused,
}

/// What to write and what to answer, together: the answer holds only once the write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// To be written by compare-and-set against the version that was read.
    pub write: Write,
    /// To be said once the write is durable.
    pub answer: Answer,
}

impl Step {
    const fn keep(answer: Answer) -> Self {
        Self { write: Write::Keep, answer }
    }

    const fn put(record: Record, answer: Answer) -> Self {
        Self { write: Write::Put(record), answer }
    }

    const fn delete(answer: Answer) -> Self {
        Self { write: Write::Delete, answer }
    }
}

/// Decides. `record` is what the store holds now, `now` is the store's time.
///
/// Total: every pair of state and event has its cell in the table of `ARCHITECTURE.md`.
#[must_use]
pub fn step(record: Option<&Record>, event: &Event, now: Timestamp, policy: &Policy) -> Step {
    let Some(record) = record else { return absent(event, now, policy) };
    assert!(
        record.executed_fence.is_none_or(|executed| executed <= record.fence),
        "an execution was granted under a fence that the record has not reached"
    );
    match event {
        Event::Claim(claim) => on_claim(record, claim, now, policy),
        Event::Renew(fence) => renew(record, *fence, now, policy),
        Event::Settle(fence, outcome) => settle(record, *fence, outcome),
        Event::Sweep => sweep(record, now),
        Event::Resolve(resolution) => resolve(record, resolution, now),
        Event::Void(_) => void(record, now, policy),
        Event::Ack => ack(record),
        Event::Erase => erase(record),
    }
}

fn absent(event: &Event, now: Timestamp, policy: &Policy) -> Step {
    match event {
        Event::Claim(claim) => match outside_memory(claim.key_time, now, policy) {
            Some(answer) => Step::keep(answer),
            None => Step::put(first_claim(claim, now, policy), Answer::Execute),
        },
        Event::Renew(_) | Event::Settle(..) => {
            // The record outlives every write that can still be under way (retention is at least
            // ten deadlines), so an executor that finds nothing was purged long ago.
            Step::keep(Answer::Lost {
                contradiction: matches!(event, Event::Settle(_, Outcome::Done(_))),
            })
        }
        Event::Sweep => Step::keep(Answer::Nothing),
        Event::Resolve(_) | Event::Ack | Event::Erase => Step::keep(Answer::NotFound),
        Event::Void(key_time) => match outside_memory(*key_time, now, policy) {
            Some(answer) => Step::keep(answer),
            None => Step::put(voided_unseen(*key_time, now, policy), Answer::Voided),
        },
    }
}

/// A key that carries its own time is judged even when nothing is remembered of it: older than
/// memory (or than the store itself) it may have run and been forgotten; dated ahead it would never
/// grow old.
fn outside_memory(key_time: Option<Timestamp>, now: Timestamp, policy: &Policy) -> Option<Answer> {
    let key_time = key_time?;
    // A key may be dated ahead by the skew, so one that ran before the birth may be dated after it.
    let born = policy.birth != Timestamp::ZERO;
    let unborn = born && key_time <= policy.birth.plus(policy.skew);
    let memory = match policy.earlier {
        Some(earlier) if key_time <= earlier.until => policy.memory.min(earlier.memory),
        Some(_) | None => policy.memory,
    };
    if unborn || now.since(key_time) > memory {
        return Some(Answer::TooOld);
    }
    (key_time > now.plus(policy.skew)).then_some(Answer::TooNew)
}

/// Beyond this a key with its own time is too old by itself. Twice the skew: the client's clock may
/// have been ahead when it made the key, and behind is judged by the same bound. One millisecond
/// more, because within the last one of its memory a key is not yet too old.
fn keep_until(key_time: Option<Timestamp>, policy: &Policy) -> Timestamp {
    let margin = policy.skew.times(2).plus(Span::from_ms(1));
    key_time.map_or(Timestamp::ZERO, |t| t.plus(policy.memory).plus(margin))
}

fn first_claim(claim: &Claim, now: Timestamp, policy: &Policy) -> Record {
    let fence = Fence(now.as_unix_ms());
    Record {
        state: State::InFlight,
        fence,
        revision: 0,
        stamp: Timestamp::ZERO,
        fingerprint: Some(claim.fingerprint),
        owner: claim.owner,
        attempt: 1,
        executed_fence: Some(fence),
        earlier_doubt: false,
        on_lapse: policy.on_lapse,
        lease: policy.lease,
        ceiling: policy.ceiling,
        began: None,
        lapsed_at: Timestamp::ZERO,
        since: None,
        retention: policy.retention,
        memory: policy.memory,
        grace: policy.grace(),
        keep_until: keep_until(claim.key_time, policy),
        route: policy.route,
        outcome: None,
    }
}

fn voided_unseen(key_time: Option<Timestamp>, now: Timestamp, policy: &Policy) -> Record {
    let nobody = Claim { owner: Owner([0; 16]), fingerprint: Fingerprint::default(), key_time };
    Record {
        state: State::Voided,
        fingerprint: None,
        attempt: 0,
        executed_fence: None,
        lease: Span::ZERO,
        route: None,
        ..first_claim(&nobody, now, policy)
    }
}

/// The record under a new fence, granted to `claim`.
fn take(record: &Record, claim: &Claim, policy: &Policy) -> Record {
    let own = record.owner == claim.owner;
    let open = matches!(record.state, State::InFlight | State::InDoubt(_));
    let both_rerun = record.on_lapse == OnLapse::Rerun && policy.on_lapse == OnLapse::Rerun;
    let fence = record.fence.next();
    Record {
        state: State::InFlight,
        fence,
        revision: 0,
        stamp: Timestamp::ZERO,
        fingerprint: Some(claim.fingerprint),
        owner: claim.owner,
        // One's own lost claim ran nothing, so it does not count.
        attempt: if open && own { record.attempt } else { record.attempt.saturating_add(1) },
        executed_fence: Some(fence),
        earlier_doubt: record.earlier_doubt || (open && !own),
        // What was claimed under Hold stays under Hold, whatever a later configuration says.
        on_lapse: if both_rerun || !open { policy.on_lapse } else { OnLapse::Hold },
        lease: policy.lease,
        ceiling: policy.ceiling,
        began: None,
        lapsed_at: Timestamp::ZERO,
        since: None,
        retention: policy.retention,
        memory: policy.memory,
        grace: record.grace.max(policy.grace()),
        keep_until: record.keep_until.max(keep_until(claim.key_time, policy)),
        // The doubt that is taken over is about the earlier attempts, too: what was claimed on two
        // routes is on none that anybody could be asked about.
        route: policy.route.filter(|route| !open || record.route == Some(*route)),
        outcome: None,
    }
}

/// The record with its next write under the same fence.
fn next(record: &Record) -> Record {
    Record { revision: record.revision + 1, stamp: Timestamp::ZERO, since: None, ..record.clone() }
}

fn live(record: &Record, now: Timestamp) -> bool {
    now <= record.lease_end()
}

fn doubt(record: &Record, doubt: Doubt) -> Record {
    let began = Some(record.began());
    let since = matches!(record.state, State::InDoubt(_)).then(|| record.since());
    let lapsed_at = record.lease_end();
    Record { state: State::InDoubt(doubt), began, since, lapsed_at, ..next(record) }
}

fn on_claim(record: &Record, claim: &Claim, now: Timestamp, policy: &Policy) -> Step {
    let same = record.fingerprint.is_some_and(|first| first.matches(&claim.fingerprint));
    match record.state {
        State::InFlight | State::InDoubt(_) if !same => Step::keep(Answer::Mismatch),
        State::InFlight | State::InDoubt(Doubt::Lapsed) if record.owner == claim.owner => {
            // One's own claim whose answer was lost: nothing was run under it. The next fence makes
            // sure of that, should the first answer still arrive somewhere.
            Step::put(take(record, claim, policy), Answer::Execute)
        }
        State::InFlight if live(record, now) => Step::keep(Answer::InFlight),
        State::InFlight | State::InDoubt(_) if may_rerun(record, policy) => {
            Step::put(take(record, claim, policy), Answer::Execute)
        }
        State::InFlight => Step::put(doubt(record, Doubt::Lapsed), Answer::InDoubt),
        State::InDoubt(_) => Step::keep(Answer::InDoubt),
        State::Completed if !same => Step::keep(Answer::Mismatch),
        State::Completed => Step::keep(match record.outcome.as_ref().map(|o| &o.reply) {
            Some(StoredReply::Sealed(_)) => Answer::Replay,
            Some(StoredReply::NotKept | StoredReply::Unknown | StoredReply::Gone) | None => {
                Answer::NotKept
            }
        }),
        State::Released => Step::put(take(record, claim, policy), Answer::Execute),
        State::Spent => Step::keep(Answer::Spent),
        State::Voided => Step::keep(Answer::Void),
    }
}

/// A second execution needs the word of the policy at the claim *and* of today's: a reloaded
/// configuration must not re-run what was claimed under Hold.
fn may_rerun(record: &Record, policy: &Policy) -> bool {
    record.on_lapse == OnLapse::Rerun
        && policy.on_lapse == OnLapse::Rerun
        && record.attempt < policy.attempts_max
}

fn renew(record: &Record, fence: Fence, now: Timestamp, policy: &Policy) -> Step {
    let lost = Step::keep(Answer::Lost { contradiction: false });
    match record.state {
        // A doubt that only time raised is withdrawn by the executor's sign of life. One that the
        // executor declared itself stays: there is nobody left who could settle it.
        State::InFlight | State::InDoubt(Doubt::Lapsed) if record.fence == fence => {
            let left = record.began().plus(record.ceiling).since(now);
            if left == Span::ZERO {
                return lost;
            }
            let began = Some(record.began());
            let lease = policy.lease.min(left);
            let renewed = Record { state: State::InFlight, lease, began, ..next(record) };
            Step::put(renewed, Answer::Renewed)
        }
        State::InFlight
        | State::InDoubt(Doubt::Lapsed | Doubt::Declared)
        | State::Completed
        | State::Released
        | State::Spent
        | State::Voided => lost,
    }
}

fn settle(record: &Record, fence: Fence, outcome: &Outcome) -> Step {
    let own = record.fence == fence;
    let last_executed = record.executed_fence == Some(fence);
    let lost = Step::keep(Answer::Lost { contradiction: false });
    match record.state {
        State::InFlight | State::InDoubt(_) if own => {
            Step::put(settled(record, outcome), Answer::Settled { contradiction: false })
        }
        State::Completed => match (record.outcome.as_ref(), outcome) {
            // The executed fence, not the record's: a settle that filled in a resolved record, or
            // overturned a release, stands under the fence that the resolve made.
            (Some(kept), Outcome::Done(said)) if last_executed && same_outcome(kept, said) => {
                Step::keep(Answer::Already)
            }
            // Resolved without a reply: the executor's own word completes it.
            (Some(kept), Outcome::Done(said))
                if last_executed && kept.reply == StoredReply::Unknown =>
            {
                let filled = Record { outcome: Some(said.clone()), ..next(record) };
                Step::put(filled, Answer::Settled { contradiction: false })
            }
            (_, Outcome::Done(_) | Outcome::Released | Outcome::InDoubt) => lost,
        },
        State::Released => match outcome {
            // Whoever said that nothing happened was wrong, and the executor knows better.
            Outcome::Done(said) if last_executed => {
                let fence = record.fence.next();
                let done = Record { fence, revision: 0, ..done(record, said) };
                Step::put(done, Answer::Settled { contradiction: true })
            }
            Outcome::Released if own => Step::keep(Answer::Already),
            Outcome::Done(_) | Outcome::Released | Outcome::InDoubt => lost,
        },
        State::Spent => match (record.outcome.as_ref(), outcome) {
            (Some(kept), Outcome::Done(said)) if last_executed && same_outcome(kept, said) => {
                Step::keep(Answer::Already)
            }
            (_, Outcome::Done(_) | Outcome::Released | Outcome::InDoubt) => lost,
        },
        State::Voided => {
            Step::keep(Answer::Lost { contradiction: matches!(outcome, Outcome::Done(_)) })
        }
        State::InFlight | State::InDoubt(_) => lost,
    }
}

fn same_outcome(kept: &Settled, said: &Settled) -> bool {
    kept.digest.is_some() && kept.digest == said.digest
}

fn settled(record: &Record, outcome: &Outcome) -> Record {
    match outcome {
        Outcome::Done(said) => done(record, said),
        // This attempt did nothing, but an earlier one may have.
        Outcome::Released if record.earlier_doubt => doubt(record, Doubt::Declared),
        Outcome::Released => released(record),
        Outcome::InDoubt => doubt(record, Doubt::Declared),
    }
}

fn done(record: &Record, said: &Settled) -> Record {
    let began = Some(record.began());
    let outcome = Some(said.clone());
    Record {
        state: State::Completed,
        outcome,
        began,
        lapsed_at: record.lease_end(),
        route: None,
        ..next(record)
    }
}

fn released(record: &Record) -> Record {
    let began = Some(record.began());
    let lapsed_at = record.lease_end();
    Record {
        state: State::Released,
        earlier_doubt: false,
        began,
        lapsed_at,
        route: None,
        ..next(record)
    }
}

fn sweep(record: &Record, now: Timestamp) -> Step {
    if record.due().is_none_or(|due| now < due) {
        return Step::keep(Answer::Nothing);
    }
    match record.state {
        State::InFlight => Step::put(doubt(record, Doubt::Lapsed), Answer::Swept),
        State::InDoubt(_) => Step::keep(Answer::Nothing),
        State::Completed => Step::put(spent(record), Answer::Swept),
        State::Released | State::Spent | State::Voided => Step::delete(Answer::Swept),
    }
}

/// The record without its reply. Memory still counts from the settle.
fn spent(record: &Record) -> Record {
    let since = Some(record.since());
    let outcome = record.outcome.clone().map(|o| Settled { reply: StoredReply::Gone, ..o });
    Record { state: State::Spent, outcome, since, ..next(record) }
}

fn resolve(record: &Record, resolution: &Resolution, now: Timestamp) -> Step {
    match record.state {
        State::InFlight if live(record, now) => Step::keep(Answer::Refused),
        State::InFlight | State::InDoubt(_) => {
            let fence = record.fence.next();
            let resolved = match resolution {
                Resolution::Done(said) => done(record, said),
                // A request that was sent may still be at work, and a paused executor may yet send:
                // "nothing there" proves nothing before both have run out.
                Resolution::Released if now < record.grace_end() => {
                    return Step::keep(Answer::TooSoon(record.grace_end()));
                }
                Resolution::Released => released(record),
            };
            Step::put(Record { fence, revision: 0, ..resolved }, Answer::Resolved)
        }
        State::Completed | State::Released | State::Spent | State::Voided => {
            Step::keep(Answer::Refused)
        }
    }
}

fn void(record: &Record, now: Timestamp, policy: &Policy) -> Step {
    match record.state {
        State::InFlight if live(record, now) => Step::keep(Answer::Refused),
        State::InFlight => Step::put(doubt(record, Doubt::Lapsed), Answer::InDoubt),
        State::InDoubt(_) => Step::keep(Answer::InDoubt),
        State::Completed | State::Spent => Step::keep(Answer::Refused),
        State::Released => {
            let memory = record.memory.max(policy.memory);
            let voided = Record { state: State::Voided, memory, ..next(record) };
            Step::put(voided, Answer::Voided)
        }
        State::Voided => Step::keep(Answer::Already),
    }
}

fn ack(record: &Record) -> Step {
    match record.state {
        State::Completed => Step::put(spent(record), Answer::Erased),
        State::Spent => Step::keep(Answer::Already),
        State::InFlight | State::InDoubt(_) | State::Released | State::Voided => {
            Step::keep(Answer::Refused)
        }
    }
}

fn erase(record: &Record) -> Step {
    match record.state {
        State::Completed => Step::put(spent(record), Answer::Erased),
        // A released record holds no reply, and must not go before its retention: a claim that
        // lingers in the network would land on the empty place and belong to nobody, and a claimer
        // whose estimate of the store's time lags would be granted a fence that was granted before.
        State::Released | State::Spent | State::Voided => Step::keep(Answer::Already),
        State::InFlight | State::InDoubt(_) => Step::keep(Answer::Refused),
    }
}
