//! Each correction left out, and the hole that the same search then finds again.
//!
//! A search that finds nothing proves little unless it is known to see. So every correction of the
//! table and of its surroundings is undone here in turn, by a wrapper around the real
//! [`step`] (see `flaws`) or by a switch of the environment, and the named hole must come back. Where
//! the flaw alone would be hidden by a second net, the net is taken away too, and a control run shows
//! that it is the correction that holds.

use semel_core::machine::step;

use super::flaws::{
    already_by_record_fence, erase_deletes, resolve_keeps_fence, without_already, without_declared,
    without_earlier_doubt, without_future_key, without_grace, without_grace_end,
    without_late_truth, without_own, without_policy_in_record, without_settle_spent,
    without_skew_at_birth, without_sweep_rerun,
};
use super::properties::Property::{self, *};
use super::search::search;
use super::state::{BEGIN, Faults, TICK};
use super::world::{Without, World};

const CAP: usize = 4_000_000;

/// The search must find each of `wanted`.
fn finds(w: &World, wanted: &[Property]) {
    let report = search(w, CAP, wanted);
    report.print(w);
    for property in wanted {
        assert!(report.shows(*property), "{}: the hole {property:?} was not found", w.name);
    }
}

/// The control: with the correction in place nothing of `hole` is found in the same surroundings.
fn does_not_find(w: &World, hole: &[Property]) {
    let report = search(w, CAP, &[]);
    assert!(!report.capped, "{}: the bound on states cut the control short", w.name);
    for property in hole {
        assert!(!report.shows(*property), "{}: {property:?} without the flaw", w.name);
    }
}

fn faults() -> Faults {
    Faults::default()
}

#[test]
fn without_own_a_lost_claim_wedges_its_own_key_m8() {
    let budget = Faults { lost: 1, ..faults() };
    let w = World { budget, rules: without_own, ..World::new("without own (M8)") };
    finds(&w, &[L2Wedged]);
    does_not_find(&World { rules: step, ..w }, &[L2Wedged]);
}

#[test]
fn without_giveup_a_claim_becomes_an_orphan_m9() {
    let budget = Faults { lost: 1, ..faults() };
    let without = Without { giveup: true, ..Without::default() };
    let w = World { budget, without, giveup: true, ..World::new("without giveup (M9)") };
    finds(&w, &[L2Orphan]);
    does_not_find(&World { without: Without::default(), ..w }, &[L2Orphan, L2Wedged]);
}

fn zombie(name: &'static str) -> World {
    let budget = Faults { resolve: 1, void: 1, ..faults() };
    World { budget, end: 8, ..World::new(name) }
}

#[test]
fn without_begin_a_paused_executor_runs_after_a_release_m1() {
    let without = Without { begin: true, ..Without::default() };
    let w = World { without, ..zombie("without begin (M1)") };
    finds(&w, &[P1TwoEffects, P4EffectAfterVoid]);
    let without = Without::default();
    does_not_find(&World { without, ..w }, &[P1TwoEffects, P4EffectAfterVoid]);
}

#[test]
fn without_grace_a_slow_upstream_acts_after_a_release_m1() {
    let budget = Faults { resolve: 1, slow: 1, void: 1, ..faults() };
    let w = World { budget, rules: without_grace, end: 8, ..World::new("without grace (M1)") };
    finds(&w, &[P1TwoEffects, P4EffectAfterVoid]);
    does_not_find(&World { rules: step, ..w }, &[P1TwoEffects, P4EffectAfterVoid]);
}

#[test]
fn within_the_last_millisecond_of_the_grace_a_request_may_still_act() {
    // A request sent in the last millisecond of its lease acted in the last one of the grace, after
    // a look at the place of the effect in that same millisecond.
    let budget = Faults { resolve: 1, slow: 1, ..faults() };
    let w = World { budget, rules: without_grace_end, end: 8, ..World::new("grace, last ms") };
    finds(&w, &[P1TwoEffects]);
}

#[test]
fn without_late_truth_a_known_outcome_is_dropped_m10() {
    // Begin check and grace are a second net before this one.
    let budget = Faults { resolve: 1, ..faults() };
    let without = Without { begin: true, ..Without::default() };
    let w = World {
        budget,
        without,
        rules: without_late_truth,
        end: 8,
        retention: 9 * TICK,
        memory: 9 * TICK,
        ..World::new("without late truth (M10)")
    };
    finds(&w, &[P7TruthDropped]);
    // One client: with two, the second would already run, which is M1.
    does_not_find(&World { rules: without_grace, clients: 1, ..w }, &[P7TruthDropped]);
}

#[test]
fn without_declared_a_renewal_undoes_its_own_doubt_m14() {
    let budget = Faults { cut: 1, lost: 1, ..faults() };
    let w = World { budget, rules: without_declared, ..World::new("without declared (M14)") };
    finds(&w, &[N1RenewedDoubt]);
    does_not_find(&World { rules: step, ..w }, &[N1RenewedDoubt]);
}

#[test]
fn without_the_policy_in_the_record_a_reload_runs_twice_m5() {
    let w = World {
        rerun: [false, true],
        rules: without_policy_in_record,
        ..World::new("without policy in record (M5)")
    };
    finds(&w, &[P1TwoEffects]);
    does_not_find(&World { rules: step, ..w }, &[P1TwoEffects]);
}

#[test]
fn without_incarnation_an_empty_store_runs_twice_m3() {
    let budget = Faults { empty: 1, ..faults() };
    let without = Without { incarnation: true, ..Without::default() };
    let w = World { budget, without, ..World::new("without incarnation (M3)") };
    finds(&w, &[P1TwoEffects, P2FenceGrantedTwice]);
    does_not_find(&World { without: Without::default(), ..w }, &[P1TwoEffects]);
}

#[test]
fn without_the_stores_clock_a_fast_node_forgets_m6() {
    let without = Without { store_clock: true, ..Without::default() };
    let w = World {
        without,
        ahead: [0, TICK],
        end: 8,
        fingerprints: [0, 0, 0],
        ..World::new("without store clock (M6)")
    };
    finds(&w, &[P1TwoEffects]);
    does_not_find(&World { without: Without::default(), ..w }, &[P1TwoEffects]);
}

#[test]
fn without_future_key_a_key_dated_ahead_runs_after_memory_m7() {
    let w = World {
        key_time: Some(BEGIN + 2 * TICK),
        memory: 4 * TICK,
        end: 8,
        rules: without_future_key,
        ..World::new("without future key (M7)")
    };
    finds(&w, &[P5RanAfterMemory]);
    does_not_find(&World { rules: step, ..w }, &[P5RanAfterMemory, P1TwoEffects]);
}

#[test]
fn a_key_dated_ahead_of_the_birth_runs_twice_without_the_skew() {
    // A client whose clock runs ahead made the key, it ran, the store was lost and a new one
    // accepted: the key is dated after the new birth, and yet it has run.
    let w = World {
        key_time: Some(BEGIN + TICK),
        lag: [0, TICK],
        rules: without_skew_at_birth,
        budget: Faults { empty: 1, accept: 1, ..faults() },
        ..World::new("birth without skew")
    };
    finds(&w, &[P1TwoEffects]);
    does_not_find(&World { rules: step, ..w }, &[P1TwoEffects]);
}

#[test]
fn without_sweep_rerun_a_key_stays_in_flight_m13() {
    let w = World {
        rerun: [true, true],
        budget: Faults { crash: 1, ..faults() },
        rules: without_sweep_rerun,
        ..World::new("without sweep under Rerun (M13)")
    };
    finds(&w, &[L1StaysInFlight]);
    does_not_find(&World { rules: step, ..w }, &[L1StaysInFlight]);
}

#[test]
fn without_earlier_doubt_the_second_attempt_speaks_for_the_first_m4() {
    let w = World {
        rerun: [true, true],
        budget: Faults { cut: 1, connect: 1, void: 1, ..faults() },
        rules: without_earlier_doubt,
        ..World::new("without earlier doubt (M4)")
    };
    finds(&w, &[P4VoidAfterEffect]);
    does_not_find(&World { rules: step, ..w }, &[P4VoidAfterEffect]);
}

#[test]
fn without_already_a_done_settle_is_swallowed_m16() {
    let without = Without { begin: true, ..Without::default() };
    let budget = Faults { resolve: 1, ..faults() };
    let w = World {
        budget,
        without,
        end: 8,
        rules: without_already,
        ..World::new("without already (M16)")
    };
    finds(&w, &[D3WrongAlready]);
    does_not_find(&World { rules: resolve_keeps_fence, ..w }, &[D3WrongAlready]);
}

#[test]
fn without_settle_spent_a_landed_settle_is_lost_m15() {
    let budget = Faults { lost: 1, ack: 1, ..faults() };
    let w = World {
        budget,
        rules: without_settle_spent,
        ..World::new("without settle on spent (M15)")
    };
    finds(&w, &[D2SettleLost]);
    does_not_find(&World { rules: step, ..w }, &[D2SettleLost]);
}

#[test]
fn a_settle_that_filled_in_a_resolved_record_is_known_again() {
    // Resolve(done) made fence + 1; the executor's settle completed it and its answer was lost: the
    // retry names its own fence, which is not the record's any more.
    let budget = Faults { lost: 1, resolve: 1, ..faults() };
    let w =
        World { budget, rules: already_by_record_fence, ..World::new("already by record fence") };
    finds(&w, &[D2SettleLost]);
    does_not_find(&World { rules: step, ..w }, &[D2SettleLost]);
}

#[test]
fn without_deadline_a_late_claim_lands_after_a_purge_m12() {
    let without = Without { deadline: true, ..Without::default() };
    let budget = Faults { lost: 1, connect: 1, ..faults() };
    let w = World {
        budget,
        without,
        retention: 2 * TICK,
        end: 8,
        ..World::new("without deadline (M12)")
    };
    finds(&w, &[P2FenceFell, L2Wedged]);
    does_not_find(&World { without: Without::default(), ..w }, &[P2FenceFell, L2Wedged]);
}

#[test]
fn with_a_reply_of_the_operators_there_are_two_truths_m11() {
    let without = Without { resolve_no_reply: true, ..Without::default() };
    let budget = Faults { resolve: 1, ..faults() };
    let w = World { budget, without, ..World::new("resolve with a reply (M11)") };
    finds(&w, &[D1TwoTruths]);
    does_not_find(&World { without: Without::default(), ..w }, &[D1TwoTruths]);
}

#[test]
fn a_release_on_a_status_after_the_effect_runs_twice_m2() {
    let without = Without { status_is_no_proof: true, ..Without::default() };
    let budget = Faults { status: 1, ..faults() };
    let w = World { budget, without, ..World::new("release on a status (M2)") };
    finds(&w, &[P1TwoEffects, T1ToldNone]);
    does_not_find(&World { without: Without::default(), ..w }, &[P1TwoEffects, T1ToldNone]);
}

#[test]
fn erasing_a_released_record_at_once_lets_a_lingering_claim_land() {
    let budget = Faults { lost: 1, connect: 1, erase: 1, ..faults() };
    let w = World {
        budget,
        lag: [0, TICK],
        rules: erase_deletes,
        ..World::new("erase deletes a released record")
    };
    finds(&w, &[L2Wedged, P2FenceGrantedTwice, P2FenceFell]);
    does_not_find(&World { rules: step, ..w }, &[L2Wedged, P2FenceGrantedTwice, P2FenceFell]);
}
