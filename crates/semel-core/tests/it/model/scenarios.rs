//! The design, searched. Each run must visit all its states and break nothing.
//!
//! By default the bounds are small enough for every test run; `SEMEL_MODEL=full` widens them to those
//! under which the table was first found to hold.

use super::properties::Property;
use super::search::search;
use super::state::{BEGIN, Faults, TICK};
use super::world::World;

/// States at most, in one run.
const CAP: usize = 24_000_000;

fn full() -> bool {
    std::env::var("SEMEL_MODEL").is_ok_and(|v| v == "full")
}

/// The ticks of the two largest runs.
fn shorter() -> u8 {
    if full() { 6 } else { 4 }
}

/// Runs `w` and fails on any violation. The bounds must have been exhausted.
fn holds(w: &World) {
    let report = search(w, CAP, &[]);
    report.print(w);
    assert!(!report.capped, "{}: the bound on states cut the search short", w.name);
    let broken: Vec<Property> = report.violations.iter().map(|v| v.property).collect();
    assert!(broken.is_empty(), "{}: {broken:?}; the traces are printed above", w.name);
}

/// One request of every kind of trouble, on two nodes, the second behind the store's time.
pub(super) fn big(name: &'static str) -> World {
    World {
        lag: [0, TICK],
        end: if full() { 7 } else { 5 },
        retention: 2 * TICK,
        memory: 4 * TICK,
        giveup: true,
        budget: Faults {
            lost: 1,
            crash: 1,
            resolve: 1,
            void: 1,
            slow: 1,
            connect: 1,
            ..Faults::default()
        },
        ..World::new(name)
    }
}

#[test]
fn hold_with_two_requests() {
    holds(&World { end: if full() { 7 } else { 6 }, ..big("BIG2") });
}

#[test]
fn hold_with_three_requests_of_two_fingerprints() {
    let budget = Faults { slow: 0, void: 0, ..big("").budget };
    holds(&World { clients: 3, fingerprints: [0, 0, 1], budget, ..big("BIG3") });
}

#[test]
fn hold_with_three_requests_and_a_void() {
    let budget = Faults { slow: 0, resolve: 0, crash: 0, ..big("").budget };
    holds(&World { clients: 3, fingerprints: [0, 0, 1], budget, ..big("BIG3-VOID") });
}

#[test]
fn rerun_with_two_requests() {
    let budget = Faults { cut: 1, ..big("").budget };
    holds(&World { rerun: [true, true], budget, end: shorter(), ..big("BIG-RERUN") });
}

#[test]
fn rerun_with_three_requests_of_two_fingerprints() {
    let budget = Faults { cut: 1, crash: 0, slow: 0, lost: 0, ..big("").budget };
    let w =
        World { clients: 3, fingerprints: [0, 0, 1], rerun: [true, true], budget, ..big("RERUN3") };
    holds(&w);
    holds(&World { attempts: 2, name: "RERUN3-CAP2", ..w });
}

#[test]
fn hold_on_one_node_and_rerun_on_the_other() {
    let w = World { rerun: [false, true], ..big("MIXED") };
    holds(&w);
    // Two of three may rerun among themselves, never what the third claimed.
    let budget = Faults { cut: 1, crash: 1, connect: 1, resolve: 1, ..Faults::default() };
    holds(&World { clients: 3, nodes: [0, 1, 1], budget, name: "MIXED3", ..w });
}

#[test]
fn a_key_with_its_own_time() {
    let w = World {
        memory: 3 * TICK,
        end: 9,
        lease: TICK,
        deadline: 0,
        renew: false,
        budget: Faults { lost: 1, crash: 1, void: 1, ..Faults::default() },
        ..big("")
    };
    holds(&World { name: "UUID7", key_time: Some(BEGIN), ..w });
    holds(&World { name: "UUID7-FUTURE", key_time: Some(BEGIN + 2 * TICK), ..w });
    holds(&World { name: "UUID7-NO-SKEW", key_time: Some(BEGIN), skew: 0, lag: [0, 0], ..w });
}

#[test]
fn an_executor_paused_before_and_after_its_lease() {
    let w = World {
        pause: TICK,
        end: 9,
        budget: Faults { resolve: 1, void: 1, slow: 1, ..Faults::default() },
        ..World::new("ZOMBIE")
    };
    holds(&w);
    holds(&World { rerun: [true, true], name: "ZOMBIE-RERUN", ..w });
}

#[test]
fn acknowledged_and_erased_in_between() {
    let budget = Faults { lost: 1, ack: 1, erase: 1, connect: 1, resolve: 1, ..Faults::default() };
    holds(&World { budget, all_late: true, ..big("ERASE") });
}

#[test]
fn late_writes_of_everybody() {
    let budget = Faults { lost: 2, slow: 0, ..big("").budget };
    holds(&World { budget, all_late: true, end: shorter(), ..big("LATE") });
}

#[test]
fn a_store_that_came_back_empty() {
    let budget = Faults { empty: 1, lost: 1, crash: 1, resolve: 1, void: 1, ..Faults::default() };
    holds(&World { budget, ..big("EMPTY") });
}

#[test]
fn an_empty_store_that_was_accepted() {
    let budget = Faults { empty: 1, accept: 1, crash: 1, lost: 1, ..Faults::default() };
    let w = World { budget, end: 8, ..big("") };
    holds(&World { name: "ACCEPT", key_time: Some(BEGIN), ..w });
    holds(&World { name: "ACCEPT-AHEAD", key_time: Some(BEGIN + TICK), ..w });
}
