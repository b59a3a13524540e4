//! What was done at the upstream, against what was promised of it.

use super::{Found, Story, Terms};
use crate::history::{Outcome, Verb};

/// Counted at the upstream, never from Semel's own words.
pub(super) fn one_effect(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    let rerun = |fence: u64| story.begins.iter().any(|begin| begin.fence == fence && begin.rerun);
    for (n, later) in story.effects.iter().enumerate() {
        let before: Vec<_> = story.effects[..n]
            .iter()
            .filter(|earlier| terms.remembered(earlier.at, later.at))
            .collect();
        for earlier in &before {
            // Running again after a lapse is allowed only where every claim in question said so.
            let allowed = !terms.honours_key
                && earlier.fence != later.fence
                && rerun(earlier.fence)
                && rerun(later.fence);
            if !allowed {
                found.add(
                    later.at,
                    format!(
                        "effect {} (fence {}) after effect {} (fence {})",
                        later.value, later.fence, earlier.value, earlier.fence
                    ),
                );
            }
        }
        if before.len() >= terms.attempts_max {
            found.add(later.at, format!("{} effects", before.len() + 1));
        }
    }
}

pub(super) fn void_is_final(story: &Story, terms: &Terms, found: &mut Found<'_>) {
    for call in &story.calls {
        let Some((told, outcome)) = call.returned else { continue };
        match (call.verb, outcome) {
            (Verb::Void, Outcome::Voided) => {
                // A repeated void may be answered from a record that has grown old, so memory
                // counts from the first one.
                let first = first_void(story).unwrap_or(call.invoked);
                for effect in &story.effects {
                    let near =
                        terms.remembered(effect.at, told) && terms.remembered(first, effect.at);
                    if near {
                        found.add(
                            told,
                            format!("void, and effect {} at {}", effect.value, effect.at),
                        );
                    }
                }
                for other in &story.calls {
                    let Some((at, outcome)) = other.returned else { continue };
                    let ran = matches!(
                        outcome,
                        Outcome::Executed { .. } | Outcome::Released | Outcome::Doubted
                    );
                    if ran && other.invoked > told && terms.remembered(first, at) {
                        found
                            .add(at, format!("op{} ran after the void of op{}", other.op, call.op));
                    }
                }
            }
            (Verb::Run { .. }, Outcome::Void) => {
                let asked = first_void(story).is_some_and(|at| at <= told);
                if !asked {
                    found.add(told, format!("op{} was told void, and nobody voided", call.op));
                }
            }
            _ => {}
        }
    }
}

fn first_void(story: &Story) -> Option<u64> {
    story.calls.iter().filter(|call| call.verb == Verb::Void).map(|call| call.invoked).min()
}

pub(super) fn honest_release(story: &Story, _: &Terms, found: &mut Found<'_>) {
    for call in &story.calls {
        let Some((told, Outcome::Released)) = call.returned else { continue };
        for begin in story.begins.iter().filter(|begin| begin.op == call.op) {
            for effect in story.effects.iter().filter(|effect| effect.fence == begin.fence) {
                found.add(
                    told,
                    format!(
                        "op{} was told that nothing happened: effect {}",
                        call.op, effect.value
                    ),
                );
            }
        }
    }
}
