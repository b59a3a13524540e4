//! The checker on histories written by hand: each rule on one that breaks it and on ones that do not.

use semel_core::{Doubt, State};
use semel_sim::checker::{Judged, OPEN_MAX, Rule, Terms, check, linear};
use semel_sim::history::{Happened, Heard, History, KeyName, Op, Outcome, Verb};

const KEY: KeyName = KeyName { tenant: 0, key: 1 };
const HEARD: Heard = Heard { digest: 7, canary: KEY };
const RUN: Verb = Verb::Run { body: 0 };
const OTHER: Verb = Verb::Run { body: 1 };

fn terms() -> Terms {
    Terms {
        retention_ms: 5000,
        memory_ms: 10_000,
        clock_error_ms: 0,
        attempts_max: 2,
        honours_key: false,
        liveness_ms: 1000,
    }
}

type Line = (u64, Happened);

/// A call from `at` to ten milliseconds later.
fn call(at: u64, op: Op, verb: Verb, outcome: Outcome) -> [Line; 2] {
    [
        (at, Happened::Invoke { op, node: 0, key: KEY, verb }),
        (at + 10, Happened::Return { op, outcome }),
    ]
}

fn began(at: u64, op: Op, fence: u64, rerun: bool) -> Line {
    (at, Happened::Began { op, key: KEY, fence, rerun })
}

fn effect(at: u64, fence: u64, effect: u64) -> Line {
    (at, Happened::Effect { key: KEY, fence, effect })
}

fn replied(at: u64, fence: u64, digest: u64) -> Line {
    (at, Happened::Replied { key: KEY, fence, digest, bytes: 8 })
}

fn stored(at: u64, (fence, revision): (u64, u32), state: Option<State>) -> Line {
    let (late_ms, foreign) = (0, false);
    (at, Happened::Stored { key: KEY, fence, revision, state, late_ms, foreign })
}

fn rests(at: u64, state: State, last: bool) -> Line {
    (at, Happened::Rests { key: KEY, state: Some(state), last })
}

/// What ought to happen: run once, replayed, a mismatch for another body, and all comes to rest.
fn good() -> Vec<Line> {
    let executed = Outcome::Executed { heard: HEARD, kept: true };
    let [invoke, returned] = call(0, 0, RUN, executed);
    let mut lines = vec![
        invoke,
        stored(2, (100, 0), Some(State::InFlight)),
        began(3, 0, 100, false),
        effect(5, 100, 1),
        replied(5, 100, 7),
        stored(8, (100, 1), Some(State::Completed)),
        returned,
    ];
    lines.extend(call(50, 1, RUN, Outcome::Replayed(HEARD)));
    lines.extend(call(70, 2, OTHER, Outcome::Mismatch));
    lines.push((100, Happened::Healed));
    lines.push(rests(200, State::Completed, false));
    lines.push(rests(300, State::Completed, true));
    lines
}

/// The rules that `good` breaks with these lines added.
fn broken_by(lines: impl IntoIterator<Item = Line>, terms: &Terms) -> Vec<Rule> {
    let mut all = good();
    all.extend(lines);
    all.sort_by_key(|(at, _)| *at);
    let mut rules: Vec<Rule> =
        check(&History::of(all), terms).into_iter().map(|violation| violation.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[track_caller]
fn breaks(rule: Rule, lines: impl IntoIterator<Item = Line>) {
    let rules = broken_by(lines, &terms());
    assert!(rules.contains(&rule), "{rule:?} was not found, only {rules:?}");
}

#[track_caller]
fn keeps(lines: impl IntoIterator<Item = Line>, terms: &Terms) {
    assert_eq!(broken_by(lines, terms), []);
}

#[test]
fn what_ought_to_happen_breaks_nothing() {
    keeps([], &terms());
    for outcome in [Outcome::Unavailable, Outcome::Unknown, Outcome::Replayed(HEARD)] {
        keeps(call(90, 9, RUN, outcome), &terms());
    }
}

#[test]
fn one_effect() {
    breaks(Rule::OneEffect, [effect(20, 101, 2)]);
    breaks(Rule::OneEffect, [effect(20, 100, 2)]);
    // Forgotten, and so run again.
    keeps([began(10_006, 0, 101, false), effect(10_007, 101, 2)], &terms());
    // A policy of running again covers it only if it covers both executions.
    breaks(Rule::OneEffect, [began(19, 0, 101, true), effect(20, 101, 2)]);
}

#[test]
fn running_again_is_bounded_by_the_policy() {
    let lines = |n: u64| {
        let effects = (0..n).flat_map(|n| {
            let at = 20_000 + n * 10;
            [began(at, 0, 200 + n, true), effect(at + 1, 200 + n, 10 + n)]
        });
        effects.collect::<Vec<_>>()
    };
    keeps(lines(2), &terms());
    breaks(Rule::OneEffect, lines(3));
    let honours = Terms { honours_key: true, ..terms() };
    assert_eq!(broken_by(lines(2), &honours), [Rule::OneEffect]);
}

#[test]
fn agreement() {
    let other = Heard { digest: 8, ..HEARD };
    breaks(
        Rule::Agreement,
        [vec![replied(6, 100, 8)], call(60, 9, RUN, Outcome::Replayed(other)).into()].concat(),
    );
}

#[test]
fn proven_reply() {
    let invented = Heard { digest: 9, ..HEARD };
    breaks(Rule::ProvenReply, call(60, 9, RUN, Outcome::Replayed(invented)));
    // Said to have run by a call that started nothing.
    breaks(Rule::ProvenReply, call(60, 9, RUN, Outcome::Executed { heard: HEARD, kept: true }));
}

#[test]
fn real_time() {
    for outcome in [
        Outcome::InFlight,
        Outcome::InDoubt,
        Outcome::Released,
        Outcome::Void,
        Outcome::NotKept,
        Outcome::Executed { heard: HEARD, kept: true },
    ] {
        breaks(Rule::RealTime, call(60, 9, RUN, outcome));
    }
    breaks(Rule::RealTime, call(60, 9, Verb::Inquire, Outcome::Standing("absent")));
    keeps(call(60, 9, Verb::Inquire, Outcome::Standing("completed")), &terms());
    // Sent before anything was known.
    keeps(call(5, 9, RUN, Outcome::InFlight), &terms());
}

#[test]
fn fingerprint() {
    breaks(Rule::Fingerprint, call(80, 9, OTHER, Outcome::Replayed(HEARD)));
    breaks(Rule::Fingerprint, call(80, 9, RUN, Outcome::Mismatch));
    breaks(Rule::Fingerprint, call(80, 9, OTHER, Outcome::NotKept));
    keeps(call(80, 9, OTHER, Outcome::Unavailable), &terms());
}

#[test]
fn in_progress() {
    breaks(Rule::InProgress, call(85, 9, RUN, Outcome::InFlight));
    // Another call, whose end nobody knows, may still run.
    let unknown = call(20, 8, RUN, Outcome::Unknown);
    let lines = [unknown, call(85, 9, RUN, Outcome::InFlight)].concat();
    assert!(!broken_by(lines, &terms()).contains(&Rule::InProgress));
}

#[test]
fn fence() {
    breaks(Rule::Fence, [stored(20, (99, 2), Some(State::Completed))]);
    breaks(Rule::Fence, [stored(20, (100, 1), Some(State::Completed))]);
    breaks(Rule::Fence, [began(20, 1, 100, false)]);
    breaks(Rule::Fence, [began(20, 1, 101, false), effect(21, 100, 2)]);
    keeps([stored(20, (100, 2), Some(State::Spent)), stored(30, (100, 2), None)], &terms());
    // Forgotten, and claimed again under a fence that an old owner may hold.
    breaks(Rule::Fence, [stored(30, (100, 1), None), stored(40, (100, 0), Some(State::InFlight))]);
}

#[test]
fn forgetting() {
    breaks(Rule::Forgetting, [began(9000, 1, 101, false)]);
    keeps([began(11_000, 1, 101, false)], &terms());
    // Overtaken, and allowed to be by its policy.
    keeps([began(9000, 1, 99, true)], &terms());
    breaks(Rule::Forgetting, [began(9000, 1, 99, false)]);
    breaks(Rule::Forgetting, call(4000, 9, RUN, Outcome::Spent));
    keeps(call(6000, 9, RUN, Outcome::Spent), &Terms { liveness_ms: 10_000, ..terms() });
    let acked = [call(3000, 8, Verb::Ack, Outcome::Accepted), call(4000, 9, RUN, Outcome::Spent)];
    keeps(acked.concat(), &terms());
}

#[test]
fn isolation() {
    let canary = KeyName { tenant: 1, ..KEY };
    let stranger = Heard { canary, ..HEARD };
    breaks(Rule::Isolation, call(60, 9, RUN, Outcome::Replayed(stranger)));
}

#[test]
fn liveness() {
    breaks(Rule::Liveness, [rests(250, State::InFlight, false)]);
    breaks(Rule::Liveness, [rests(350, State::InDoubt(Doubt::Lapsed), true)]);
    keeps([rests(250, State::InDoubt(Doubt::Lapsed), false)], &terms());
    let never = Happened::Invoke { op: 9, node: 0, key: KEY, verb: RUN };
    breaks(Rule::Liveness, [(60, never.clone())]);
    let late = (2000, Happened::Return { op: 9, outcome: Outcome::Unknown });
    breaks(Rule::Liveness, [(60, never), late]);
}

#[test]
fn void_is_final() {
    breaks(Rule::VoidIsFinal, call(60, 9, Verb::Void, Outcome::Voided));
    breaks(Rule::VoidIsFinal, call(60, 9, RUN, Outcome::Void));
    keeps(call(60, 9, Verb::Void, Outcome::Refused), &terms());
}

#[test]
fn honest_release() {
    let invoke = (1, Happened::Invoke { op: 9, node: 0, key: KEY, verb: RUN });
    let returned = (12, Happened::Return { op: 9, outcome: Outcome::Released });
    breaks(Rule::HonestRelease, [invoke.clone(), began(3, 9, 100, false), returned.clone()]);
    let rules = broken_by([invoke, began(3, 9, 99, false), returned], &terms());
    assert!(!rules.contains(&Rule::HonestRelease), "{rules:?}");
}

#[test]
fn deadline_incarnation_and_reopening() {
    let write = |late_ms, foreign| {
        let (fence, revision, state) = (100, 2, Some(State::Spent));
        (20, Happened::Stored { key: KEY, fence, revision, state, late_ms, foreign })
    };
    keeps([write(0, false)], &terms());
    breaks(Rule::Deadline, [write(1, false)]);
    breaks(Rule::Incarnation, [write(0, true)]);
    breaks(Rule::Reopens, [(20, Happened::Unopened { why: "damaged".into() })]);
}

/// The search and the rules agree: what one finds in a broken order the other finds too.
#[test]
fn a_search_for_an_order_agrees_with_the_rules() {
    let other = Heard { digest: 8, ..HEARD };
    for (rule, lines) in [
        (Rule::RealTime, call(60, 9, RUN, Outcome::InFlight).to_vec()),
        (Rule::RealTime, call(60, 9, Verb::Inquire, Outcome::Standing("absent")).to_vec()),
        (Rule::VoidIsFinal, call(60, 9, Verb::Void, Outcome::Voided).to_vec()),
        (Rule::Fingerprint, call(80, 9, OTHER, Outcome::Replayed(HEARD)).to_vec()),
        (
            Rule::Agreement,
            [vec![replied(6, 100, 8)], call(60, 9, RUN, Outcome::Replayed(other)).into()].concat(),
        ),
    ] {
        let rules = broken_by(lines, &terms());
        assert!(rules.contains(&rule), "{rule:?} was not found, only {rules:?}");
        assert!(rules.contains(&Rule::Linear), "no search found {rule:?}: {rules:?}");
    }
}

/// Two replays that each fit a call whose answer was lost, but not one another: no two calls are in
/// order with a third, and the search finds it all the same.
#[test]
fn the_search_weighs_open_calls_against_each_other() {
    let unknown =
        |at, op, body| (at, Happened::Invoke { op, node: 0, key: KEY, verb: Verb::Run { body } });
    let lost = |at, op| (at, Happened::Return { op, outcome: Outcome::Unknown });
    let start = [unknown(0, 0, 0), unknown(1, 1, 1), lost(5, 0), lost(5, 1)];
    let with = |lines: Vec<Line>| {
        let lines = [start.to_vec(), lines].concat();
        linear(&History::of(lines), &terms()).0.len()
    };
    let first = call(10, 2, RUN, Outcome::Replayed(HEARD)).to_vec();
    let second = call(30, 3, OTHER, Outcome::Replayed(Heard { digest: 8, ..HEARD })).to_vec();
    assert_eq!((with(first.clone()), with(second.clone())), (0, 0));
    assert_eq!(with([first, second].concat()), 1);
}

#[test]
fn more_open_calls_than_can_be_searched_are_left_and_counted() {
    let calls = |n: usize| {
        let one = |op| (op as u64, Happened::Invoke { op, node: 0, key: KEY, verb: RUN });
        linear(&History::of((0..n as Op).map(one).collect()), &terms()).1
    };
    assert_eq!(calls(OPEN_MAX), Judged { searched: 1, left: 0 });
    assert_eq!(calls(OPEN_MAX + 1), Judged { searched: 0, left: 1 });
}
