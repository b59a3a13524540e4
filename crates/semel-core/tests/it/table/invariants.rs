//! What holds in every cell alike.

use semel_core::machine::{Answer, Event, Outcome, Resolution, Step, Write};
use semel_core::{Doubt, OnLapse, Record, State, StoredReply, Timestamp};

use super::shapes::Cell;

/// The first rule that `decided` breaks.
pub(super) fn fault(cell: &Cell, decided: &Step) -> Option<String> {
    let runs = decided.answer == Answer::Execute;
    let Write::Put(put) = &decided.write else {
        return runs.then(|| "a run is granted and nothing is written".into());
    };
    let general = [
        ("the executed fence is beyond the record's", put.executed_fence > Some(put.fence)),
        ("the stamp is the store's to set", put.stamp != Timestamp::ZERO),
        ("an outcome stands in a record without one", put.outcome.is_some() != closed(put.state)),
        (
            "Execute without an execution granted, or one granted without Execute",
            runs != granted(cell, put),
        ),
    ];
    let general = general.into_iter().find_map(|(rule, broken)| broken.then(|| rule.to_owned()));
    general.or_else(|| match &cell.record {
        None => first(cell, put),
        Some(old) => follows(cell, old, put, runs),
    })
}

const fn closed(state: State) -> bool {
    matches!(state, State::Completed | State::Spent)
}

/// This write grants a run under its own fence.
fn granted(cell: &Cell, put: &Record) -> bool {
    let before = cell.record.as_ref().and_then(|r| r.executed_fence);
    put.state == State::InFlight
        && put.executed_fence == Some(put.fence)
        && put.executed_fence != before
}

fn first(cell: &Cell, put: &Record) -> Option<String> {
    let p = &cell.policy;
    let spans = (put.retention, put.memory, put.ceiling, put.grace);
    if spans != (p.retention, p.memory, p.ceiling, p.max_upstream.plus(p.pause)) {
        return Some("the first record does not keep the policy's spans".into());
    }
    let key_time = match &cell.event {
        Event::Claim(claim) => claim.key_time,
        Event::Void(key_time) => *key_time,
        _ => return Some("only a claim or a void makes a first record".into()),
    };
    // A key stays known until it is too old by itself, also to a client whose clock is wrong by the
    // skew either way.
    let too_old_at = key_time.map(|t| t.plus(p.memory).plus(p.skew).plus(p.skew));
    if too_old_at.is_some_and(|end| put.keep_until <= end) {
        return Some("a key with its own time may be forgotten before it is too old".into());
    }
    let claimed = matches!(cell.event, Event::Claim(_));
    let unlike = (put.attempt == 1) != claimed
        || put.fingerprint.is_some() != claimed
        || put.executed_fence.is_some() != claimed
        || put.on_lapse != p.on_lapse
        || put.earlier_doubt;
    unlike.then(|| "the first record is not that of a first claim or an unseen void".into())
}

fn follows(cell: &Cell, old: &Record, put: &Record, runs: bool) -> Option<String> {
    let was_open = matches!(old.state, State::InFlight | State::InDoubt(_));
    let is_open = matches!(put.state, State::InFlight | State::InDoubt(_));
    let rules = [
        ("the fence fell", put.fence < old.fence),
        ("the version stayed", put.version() == old.version()),
        (
            "the fingerprint of an open record changed",
            was_open && put.fingerprint != old.fingerprint,
        ),
        ("a used or void key runs", runs && matches!(old.state, State::Spent | State::Voided)),
        ("a completed key runs", runs && old.state == State::Completed),
        ("memory shrank", put.memory < old.memory || put.keep_until < old.keep_until),
        ("the grace shrank", put.grace < old.grace),
        ("an execution was forgotten", put.executed_fence < old.executed_fence),
        ("attempts fell", put.attempt < old.attempt),
        ("a doubt of earlier attempts was dropped while open", {
            is_open && was_open && old.earlier_doubt && !put.earlier_doubt
        }),
        ("what was claimed under Hold became Rerun", {
            was_open && old.on_lapse == OnLapse::Hold && put.on_lapse == OnLapse::Rerun
        }),
        (
            "a lease outlasts its ceiling",
            put.state == State::InFlight && !runs && {
                cell.now.plus(put.lease) > old.began().plus(old.ceiling)
            },
        ),
        (
            "the end of the lease was lost",
            put.state != State::InFlight && { put.lapsed_at != old.lease_end() },
        ),
        (
            "the claim's time was lost",
            !runs && put.state != State::Voided && { put.began() != old.began() },
        ),
    ];
    let broken = rules.into_iter().find_map(|(rule, broken)| broken.then(|| rule.to_owned()));
    broken.or_else(|| if runs { taken(cell, old, put) } else { moved(cell, old, put) })
}

/// A run that was granted on a record that stood there.
fn taken(cell: &Cell, old: &Record, put: &Record) -> Option<String> {
    let Event::Claim(claim) = &cell.event else { return Some("only a claim runs".into()) };
    let open = matches!(old.state, State::InFlight | State::InDoubt(_));
    let own = open && old.owner == claim.owner && old.state != State::InDoubt(Doubt::Declared);
    let rules = [
        ("the claimer is not the owner", put.owner != claim.owner),
        ("the claim's fingerprint is not kept", put.fingerprint != Some(claim.fingerprint)),
        ("an old outcome, doubt or start is carried into a new run", {
            put.outcome.is_some() || put.since.is_some() || put.began.is_some()
        }),
        ("one's own unanswered claim counts as an attempt", own && put.attempt != old.attempt),
        ("another attempt is not counted", {
            let counted = open && old.owner == claim.owner || put.attempt == old.attempt + 1;
            !counted
        }),
        ("a run beside an unsettled one of somebody else leaves no doubt", {
            open && old.owner != claim.owner && !put.earlier_doubt
        }),
        ("the lease is not the policy's", put.lease != cell.policy.lease),
    ];
    rules.into_iter().find_map(|(rule, broken)| broken.then(|| rule.to_owned()))
}

/// Any other write on a record that stood there.
fn moved(cell: &Cell, old: &Record, put: &Record) -> Option<String> {
    let said = match &cell.event {
        Event::Settle(_, Outcome::Done(said)) | Event::Resolve(Resolution::Done(said)) => {
            Some(said)
        }
        _ => None,
    };
    let spent_of = |old: &Record| {
        let (Some(was), Some(is)) = (&old.outcome, &put.outcome) else { return false };
        (was.digest, was.status, was.effect) == (is.digest, is.status, is.effect)
            && is.reply == StoredReply::Gone
    };
    let doubt = |s: State| matches!(s, State::InDoubt(_));
    let rules = [
        ("the owner changed without a claim", put.owner != old.owner),
        ("an execution is granted without a claim", put.executed_fence != old.executed_fence),
        ("the settled outcome is not what was said", {
            put.state == State::Completed && put.outcome.as_ref() != said
        }),
        ("a spent record keeps a reply, or forgets the outcome", {
            put.state == State::Spent && !spent_of(old)
        }),
        ("memory starts anew though only the reply went", {
            put.state == State::Spent && put.since() != old.since()
        }),
        ("a doubt that stays loses its beginning", {
            doubt(put.state) && doubt(old.state) && put.since() != old.since()
        }),
        ("a new state begins when the old one did", {
            let same = doubt(put.state) && doubt(old.state) || put.state == State::Spent;
            !same && put.since.is_some()
        }),
        ("a release keeps a doubt of earlier attempts", {
            put.state == State::Released && put.earlier_doubt
        }),
    ];
    rules.into_iter().find_map(|(rule, broken)| broken.then(|| rule.to_owned()))
}
