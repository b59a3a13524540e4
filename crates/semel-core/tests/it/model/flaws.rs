//! The flawed machines: wrappers around the real [`step`] that undo one correction each, by altering
//! what goes in or what comes out. No switch for this stands in the machine itself.

use semel_core::machine::{Answer, Event, Outcome, Resolution, Step, Write, step};
use semel_core::{Doubt, OnLapse, Policy, Record, Span, State, Timestamp};

use super::state::{STRANGER, owner};

fn keep(answer: Answer) -> Step {
    Step { write: Write::Keep, answer }
}

/// The decision on an altered record.
fn on(
    record: Option<&Record>,
    alter: impl FnOnce(&mut Record),
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    let altered = record.cloned().map(|mut r| {
        alter(&mut r);
        r
    });
    step(altered.as_ref(), event, now, policy)
}

fn state(record: Option<&Record>) -> Option<State> {
    record.map(|r| r.state)
}

fn is_lapsed(record: &Record, now: Timestamp) -> bool {
    record.state == State::InDoubt(Doubt::Lapsed)
        || record.state == State::InFlight && now > record.lease_end()
}

/// A claim knows its own record only while the lease is live.
pub(super) fn without_own(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match (r, event) {
        (Some(record), Event::Claim(claim))
            if record.owner == claim.owner && is_lapsed(record, now) =>
        {
            let mut stranger = claim.clone();
            stranger.owner = owner(STRANGER);
            step(r, &Event::Claim(stranger), now, policy)
        }
        _ => step(r, event, now, policy),
    }
}

/// "Nothing there" counts at once.
pub(super) fn without_grace(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    let Event::Resolve(Resolution::Released) = event else { return step(r, event, now, policy) };
    let grace = r.map(|r| r.grace);
    let mut decided = on(
        r,
        |r| {
            r.grace = Span::ZERO;
            // The end of the grace is a millisecond later than its parts; so is this flaw earlier.
            if r.state == State::InFlight {
                r.lease = r.lease_end().minus(Span::from_ms(1)).since(r.stamp);
            } else {
                r.lapsed_at = r.lapsed_at.minus(Span::from_ms(1));
            }
        },
        event,
        now,
        policy,
    );
    if let (Write::Put(written), Some(grace)) = (&mut decided.write, grace) {
        written.grace = grace;
    }
    decided
}

/// The last millisecond of the grace already counts as after it.
pub(super) fn without_grace_end(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match (r, event) {
        (Some(record), Event::Resolve(Resolution::Released))
            if now.plus(Span::from_ms(1)) == record.grace_end() =>
        {
            step(r, event, record.grace_end(), policy)
        }
        _ => step(r, event, now, policy),
    }
}

/// A done-settle on a released record is simply late.
pub(super) fn without_late_truth(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match (state(r), event) {
        (Some(State::Released), Event::Settle(_, Outcome::Done(_))) => {
            on(r, |r| r.executed_fence = None, event, now, policy)
        }
        (_, Event::Resolve(_)) => without_grace(r, event, now, policy),
        _ => step(r, event, now, policy),
    }
}

/// A renewal withdraws any doubt.
pub(super) fn without_declared(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match event {
        Event::Renew(_) => on(
            r,
            |r| {
                if r.state == State::InDoubt(Doubt::Declared) {
                    r.state = State::InDoubt(Doubt::Lapsed);
                }
            },
            event,
            now,
            policy,
        ),
        _ => step(r, event, now, policy),
    }
}

/// What a lapse means is read from today's policy.
pub(super) fn without_policy_in_record(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    on(r, |r| r.on_lapse = policy.on_lapse, event, now, policy)
}

/// A key dated ahead is taken, and forgotten as any other.
pub(super) fn without_future_key(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    let mut decided = step(r, event, now, policy);
    if decided.answer == Answer::TooNew {
        let lax = Policy { skew: Span::FOREVER, ..policy.clone() };
        decided = step(r, event, now, &lax);
    }
    if let Write::Put(record) = &mut decided.write {
        record.keep_until = Timestamp::ZERO;
    }
    decided
}

/// An accepted store believes every key that is dated after its birth.
pub(super) fn without_skew_at_birth(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    let born = policy.birth != Timestamp::ZERO;
    let birth = policy.birth.minus(policy.skew);
    let lax = Policy { birth: if born { birth } else { policy.birth }, ..policy.clone() };
    step(r, event, now, &lax)
}

/// Under Rerun a sweep leaves lapsed keys alone.
pub(super) fn without_sweep_rerun(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match (r, event) {
        (Some(record), Event::Sweep)
            if record.state == State::InFlight && record.on_lapse == OnLapse::Rerun =>
        {
            keep(Answer::Nothing)
        }
        _ => step(r, event, now, policy),
    }
}

/// An attempt's "nothing happened" speaks for all attempts.
pub(super) fn without_earlier_doubt(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match event {
        Event::Settle(_, Outcome::Released) => {
            on(r, |r| r.earlier_doubt = false, event, now, policy)
        }
        _ => step(r, event, now, policy),
    }
}

/// A resolve does not bump the fence, and the grace is gone: what used to stand around the next cell.
pub(super) fn resolve_keeps_fence(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    let mut decided = without_grace(r, event, now, policy);
    if let (Event::Resolve(_), Write::Put(written), Some(record)) = (event, &mut decided.write, r) {
        written.fence = record.fence;
        written.revision = record.revision + 1;
    }
    decided
}

/// Any settle under the fence of a released record is "already" so.
pub(super) fn without_already(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match (r, event) {
        (Some(record), Event::Settle(fence, _))
            if record.state == State::Released && record.fence == *fence =>
        {
            keep(Answer::Already)
        }
        _ => resolve_keeps_fence(r, event, now, policy),
    }
}

/// A spent record answers every settle with Lost.
pub(super) fn without_settle_spent(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match (state(r), event) {
        (Some(State::Spent), Event::Settle(..)) => keep(Answer::Lost { contradiction: false }),
        _ => step(r, event, now, policy),
    }
}

/// Already is judged by the record's fence, not by the executed one.
pub(super) fn already_by_record_fence(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    let decided = step(r, event, now, policy);
    match (r, event) {
        (Some(record), Event::Settle(fence, _))
            if decided.answer == Answer::Already && record.fence != *fence =>
        {
            keep(Answer::Lost { contradiction: false })
        }
        _ => decided,
    }
}

/// Erasing a released record forgets the key at once.
pub(super) fn erase_deletes(
    r: Option<&Record>,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Step {
    match (state(r), event) {
        (Some(State::Released), Event::Erase) => {
            Step { write: Write::Delete, answer: Answer::Erased }
        }
        _ => step(r, event, now, policy),
    }
}
