//! How keys end: not too early, and not never.

use semel_core::State;

use super::{Found, Story, Terms};
use crate::history::{Outcome, Verb};

pub(super) fn forgetting(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    for call in &story.calls {
        let Some((told, heard)) = call.heard() else { continue };
        let Some(made) = story.made(heard.digest, told, terms) else { continue };
        for begin in story.begins.iter().filter(|begin| begin.at > told) {
            // Under a policy of running again, an executor whose claim was overtaken may not know it
            // yet: its lease still runs by its own clock, and the store's clock has jumped.
            let overtaken = begin.rerun
                && story.begins.iter().any(|o| o.at < begin.at && o.fence > begin.fence);
            if terms.remembered(made, begin.at) && !overtaken {
                found.add(begin.at, format!("began again after op{} had its reply", call.op));
            }
        }
    }
    let retention = terms.retention_ms.saturating_sub(terms.clock_error_ms);
    for call in &story.calls {
        let Some((told, Outcome::Spent)) = call.returned else { continue };
        let acked =
            story.calls.iter().any(|other| other.verb == Verb::Ack && other.invoked <= told);
        let ended = story.ended_before(told).unwrap_or(0);
        if !acked && told < ended.saturating_add(retention) {
            found.add(told, format!("op{}: the reply was gone before its time", call.op));
        }
    }
}

pub(super) fn liveness(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    let Some(healed) = story.healed else { return };
    let bound = healed.saturating_add(terms.liveness_ms);
    for call in &story.calls {
        match call.returned {
            None => found.add(bound, format!("op{} was never answered", call.op)),
            Some((at, _)) if call.invoked <= healed && at > bound => {
                found.add(at, format!("op{} was answered after the bound", call.op));
            }
            Some(_) => {}
        }
    }
    for (at, state, last) in &story.rests {
        match state {
            Some(State::InFlight) => found.add(*at, "still in flight"),
            Some(State::InDoubt(_)) if *last => found.add(*at, "could not be resolved"),
            Some(
                State::InDoubt(_)
                | State::Completed
                | State::Released
                | State::Spent
                | State::Voided,
            )
            | None => {}
        }
    }
}
