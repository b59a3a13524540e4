//! What callers were told, against each other and against the upstream.

use semel_core::State;

use super::{Call, Found, Story, Terms};
use crate::history::{Outcome, Verb};

pub(super) fn agreement(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    let told: Vec<_> = story.calls.iter().filter_map(|call| Some((call, call.heard()?))).collect();
    for (n, (call, (at, heard))) in told.iter().enumerate() {
        for (other, (other_at, other_heard)) in &told[..n] {
            if heard.digest == other_heard.digest {
                continue;
            }
            let made = story.made(heard.digest, *at, terms).unwrap_or(*at);
            let other_made = story.made(other_heard.digest, *other_at, terms).unwrap_or(*other_at);
            let (first, second) = (made.min(other_made), made.max(other_made));
            if terms.remembered(first, second) {
                found.add(*at, format!("op{} and op{} got different replies", other.op, call.op));
            }
        }
    }
}

pub(super) fn proven_reply(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    let asked =
        story.calls.iter().filter(|call| call.body().is_some()).map(|call| call.invoked).min();
    for call in &story.calls {
        let Some((at, heard)) = call.heard() else { continue };
        let made = story.made(heard.digest, at, terms);
        match (made, asked) {
            (None, _) => found.add(at, format!("op{} got a reply that nobody made", call.op)),
            (Some(made), Some(asked)) if made >= asked => {}
            (Some(_), _) => {
                found.add(at, format!("op{} got a reply from before any call", call.op))
            }
        }
        let executed = matches!(call.returned, Some((_, Outcome::Executed { .. })));
        if executed && !story.begins.iter().any(|begin| begin.op == call.op) {
            found.add(at, format!("op{} is said to have run, and did not", call.op));
        }
    }
}

/// When and with what an operation was known to have ended: the time of the answer, that of the
/// end at the earliest, and whether its reply is kept.
fn known_ended(story: &Story, call: &Call, terms: &Terms) -> Option<(u64, u64, bool)> {
    let (told, outcome) = call.returned?;
    match outcome {
        Outcome::Executed { heard, kept } => {
            Some((told, story.made(heard.digest, told, terms)?, kept))
        }
        Outcome::Replayed(heard) => Some((told, story.made(heard.digest, told, terms)?, true)),
        Outcome::Spent | Outcome::NotKept => Some((told, story.ended_before(told)?, false)),
        _ => None,
    }
}

pub(super) fn real_time(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    for call in &story.calls {
        let Some((told, ended, kept)) = known_ended(story, call, terms) else { continue };
        for later in story.calls.iter().filter(|later| later.invoked > told) {
            let Some((at, outcome)) = later.returned else { continue };
            if terms.remembered(ended, at) && forgets(later.verb, outcome, kept) {
                found.add(at, format!("op{} was told {outcome:?} after op{}", later.op, call.op));
            }
        }
    }
}

/// Whether this answer denies that the operation has ended.
fn forgets(verb: Verb, outcome: Outcome, kept: bool) -> bool {
    match outcome {
        Outcome::Executed { .. }
        | Outcome::Released
        | Outcome::Doubted
        | Outcome::InFlight
        | Outcome::InDoubt
        | Outcome::Void
        | Outcome::TooNew
        | Outcome::Voided => true,
        Outcome::NotKept => kept,
        Outcome::Standing(standing) => {
            verb == Verb::Inquire && !matches!(standing, "completed" | "spent")
        }
        Outcome::Replayed(_)
        | Outcome::Mismatch
        | Outcome::Spent
        | Outcome::TooOld
        | Outcome::Unavailable
        | Outcome::Unknown
        | Outcome::Accepted
        | Outcome::Refused => false,
    }
}

pub(super) fn fingerprint(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    for call in &story.calls {
        if let Some((told, Outcome::Mismatch)) = call.returned {
            let other = story.calls.iter().any(|other| {
                other.body().is_some_and(|body| Some(body) != call.body()) && other.invoked <= told
            });
            if !other {
                found.add(told, format!("op{} mismatches, and nobody asked otherwise", call.op));
            }
        }
        let Some((told, heard)) = call.heard() else { continue };
        let Some(made) = story.made(heard.digest, told, terms) else { continue };
        for later in story.calls.iter().filter(|later| later.body().is_some()) {
            let Some((at, outcome)) = later.returned else { continue };
            if !terms.remembered(made, at) {
                continue;
            }
            let same = later.body() == call.body();
            let told_another = later.heard().is_some_and(|(at, other)| {
                story
                    .made(other.digest, at, terms)
                    .is_some_and(|m| terms.remembered(made.min(m), made.max(m)))
            });
            if !same && told_another {
                found.add(
                    at,
                    format!("op{} and op{} differ, and both got a reply", call.op, later.op),
                );
            }
            if later.invoked <= told {
                continue;
            }
            let refused_rightly = matches!(
                outcome,
                Outcome::Mismatch
                    | Outcome::Spent
                    | Outcome::TooOld
                    | Outcome::Unavailable
                    | Outcome::Unknown
            );
            if same && outcome == Outcome::Mismatch {
                found.add(at, format!("op{} asks the same as op{}", later.op, call.op));
            }
            if !same && !refused_rightly {
                found.add(at, format!("op{} was told {outcome:?}, not a mismatch", later.op));
            }
        }
    }
}

/// Whether a call that was told this may have left something running.
const fn over(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Executed { .. }
            | Outcome::Replayed(_)
            | Outcome::Released
            | Outcome::Mismatch
            | Outcome::Spent
            | Outcome::NotKept
            | Outcome::Void
            | Outcome::TooOld
            | Outcome::TooNew
    )
}

pub(super) fn in_progress(story: &Story, _: &Terms, found: &mut Found<'_>) {
    for call in &story.calls {
        let Some((told, Outcome::InFlight)) = call.returned else { continue };
        let another = story.calls.iter().any(|other| {
            let ended = other.returned.is_some_and(|(at, how)| at <= call.invoked && over(how));
            other.op != call.op && other.body().is_some() && other.invoked <= told && !ended
        });
        // Its own claim may have stood, and been released because its answer came too late.
        let claimed = story.written.iter().any(|write| {
            write.state == Some(State::InFlight) && call.invoked <= write.at && write.at <= told
        });
        if !another && !claimed {
            found.add(told, format!("op{} was told that another runs, and none did", call.op));
        }
    }
}

pub(super) fn isolation(story: &Story, _: &Terms, found: &mut Found<'_>) {
    for call in &story.calls {
        if let Some((at, heard)) = call.heard()
            && heard.canary != story.key
        {
            found.add(at, format!("op{} got the reply of {}", call.op, heard.canary));
        }
    }
}
