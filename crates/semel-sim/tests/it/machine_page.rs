//! The tables of the machine in ARCHITECTURE.md are what `step` does, cell by cell.
//!
//! They are made here from the function itself and compared, so the page cannot drift. When the
//! machine changes on purpose, the failure prints the table to put in its place.

use std::path::Path;

use semel_core::machine::{Answer, Claim, Event, Outcome, Resolution, Write, step};
use semel_core::{
    Digest, Doubt, Effect, Fence, Fingerprint, OnLapse, Owner, Policy, Record, Sealed, SealedUnder,
    Settled, Span, State, StoredReply, Timestamp,
};

const BEGAN: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);
const OWNER: Owner = Owner([1; 16]);

fn policy(on_lapse: OnLapse) -> Policy {
    Policy { on_lapse, ..Policy::default() }
}

fn claim(owner: Owner, fingerprint: Fingerprint) -> Event {
    Event::Claim(Claim { owner, fingerprint, key_time: None })
}

fn other_fingerprint() -> Fingerprint {
    let mut other = Fingerprint::default();
    other.digest[0] = 1;
    other
}

fn settled(reply: StoredReply, digest: u8) -> Settled {
    Settled { digest: Some(Digest([digest; 16])), status: Some(201), effect: Effect::Done, reply }
}

/// The record that a chain of events leaves behind.
fn after(policy: &Policy, events: &[Event]) -> Record {
    let mut record: Option<Record> = None;
    for event in events {
        // Late enough for a sweep to find the lease lapsed.
        let now = if record.is_none() { BEGAN } else { BEGAN.plus(Span::from_secs(3600)) };
        match step(record.as_ref(), event, now, policy).write {
            Write::Put(mut next) => {
                next.stamp = BEGAN;
                record = Some(next);
            }
            Write::Keep | Write::Delete => panic!("{event:?} writes a record"),
        }
    }
    record.expect("at least one event")
}

/// A row: its name, the record, the time at which the events come, and the policy.
struct Row {
    name: &'static str,
    record: Option<Record>,
    now: Timestamp,
    policy: Policy,
}

fn rows() -> Vec<Row> {
    let hold = policy(OnLapse::Hold);
    let first = || claim(OWNER, Fingerprint::default());
    let fence = Fence(BEGAN.as_unix_ms());
    let done = |reply| Event::Settle(fence, Outcome::Done(settled(reply, 1)));
    let row = |name, policy: &Policy, seconds, events: &[Event]| Row {
        name,
        record: (!events.is_empty()).then(|| after(policy, events)),
        now: BEGAN.plus(Span::from_secs(seconds)),
        policy: policy.clone(),
    };
    let rerun = policy(OnLapse::Rerun);
    let sealed = || {
        StoredReply::Sealed(Sealed {
            under: SealedUnder::Caller,
            bytes: bytes::Bytes::from_static(b"sealed"),
        })
    };
    let declared = Event::Settle(fence, Outcome::InDoubt);
    let released = Event::Settle(fence, Outcome::Released);
    vec![
        row("absent", &hold, 0, &[]),
        row("in flight, live", &hold, 1, &[first()]),
        row("in flight, lapsed, Hold", &hold, 600, &[first()]),
        row("in flight, lapsed, Rerun", &rerun, 600, &[first()]),
        row("in doubt (lapsed), Hold", &hold, 600, &[first(), Event::Sweep]),
        row("in doubt (lapsed), Rerun", &rerun, 600, &[first(), Event::Sweep]),
        row("in doubt (declared), Hold", &hold, 600, &[first(), declared.clone()]),
        row("in doubt (declared), Rerun", &rerun, 600, &[first(), declared]),
        row("completed", &hold, 600, &[first(), done(sealed())]),
        row("completed, reply not kept", &hold, 600, &[first(), done(StoredReply::NotKept)]),
        row("released", &hold, 600, &[first(), released]),
        row("spent", &hold, 600, &[first(), done(sealed()), Event::Ack]),
        row("void", &hold, 600, &[Event::Void(None)]),
    ]
}

/// Fills a cell of the row.
type Cell = Box<dyn Fn(&Row) -> String>;

/// What stands in a cell: what is written, then what is answered.
fn cell(row: &Row, event: &Event, now: Timestamp) -> String {
    let step = step(row.record.as_ref(), event, now, &row.policy);
    let answer = match step.answer {
        Answer::Settled { contradiction } | Answer::Lost { contradiction } if contradiction => {
            let word = if matches!(step.answer, Answer::Lost { .. }) { "Lost" } else { "Settled" };
            format!("{word}, alert")
        }
        Answer::Settled { .. } => "Settled".to_owned(),
        Answer::Lost { .. } => "Lost".to_owned(),
        Answer::TooSoon(_) => "TooSoon".to_owned(),
        answer => format!("{answer:?}"),
    };
    match step.write {
        Write::Keep => answer,
        Write::Delete => format!("forgotten: {answer}"),
        Write::Put(next) => {
            let state = match next.state {
                State::InFlight => "in flight",
                State::InDoubt(Doubt::Lapsed) => "in doubt (lapsed)",
                State::InDoubt(Doubt::Declared) => "in doubt (declared)",
                State::Completed => "completed",
                State::Released => "released",
                State::Spent => "spent",
                State::Voided => "void",
            };
            let raised = row.record.as_ref().is_some_and(|record| record.fence != next.fence);
            format!("**{state}**{}: {answer}", if raised { ", fence+1" } else { "" })
        }
    }
}

fn table(columns: &[(&str, Cell)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut table =
        format!("| record | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for row in rows() {
        let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(&row)).collect();
        table += &format!("| {} | {} |\n", row.name, cells.join(" | "));
    }
    table
}

/// The event at the row's own time.
fn now(event: impl Fn(&Row) -> Event + 'static) -> Cell {
    Box::new(move |row| cell(row, &event(row), row.now))
}

/// The event after so long that every lease, retention and memory has ended.
fn late(event: impl Fn(&Row) -> Event + 'static) -> Cell {
    Box::new(move |row| cell(row, &event(row), BEGAN.plus(Span::from_secs(100 * 24 * 3600))))
}

fn own_fence(row: &Row) -> Fence {
    row.record.as_ref().map_or(Fence(BEGAN.as_unix_ms()), |record| record.fence)
}

fn assert_on_page(table: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    assert!(page.contains(table), "ARCHITECTURE.md must hold this table:\n\n{table}");
}

#[test]
fn claims_are_on_the_page() {
    assert_on_page(&table(&[
        (
            "the claimer itself, whose answer was lost",
            now(|_| claim(OWNER, Fingerprint::default())),
        ),
        ("same fingerprint", now(|_| claim(Owner([2; 16]), Fingerprint::default()))),
        ("other fingerprint", now(|_| claim(Owner([2; 16]), other_fingerprint()))),
    ]));
}

#[test]
fn the_executors_words_are_on_the_page() {
    let settle = |outcome: Outcome| now(move |row| Event::Settle(own_fence(row), outcome.clone()));
    assert_on_page(&table(&[
        ("renew", now(|row| Event::Renew(own_fence(row)))),
        ("settle: done", settle(Outcome::Done(settled(StoredReply::NotKept, 1)))),
        ("settle: nothing happened", settle(Outcome::Released)),
        ("settle: in doubt", settle(Outcome::InDoubt)),
    ]));
}

#[test]
fn time_and_people_are_on_the_page() {
    let done = || Event::Resolve(Resolution::Done(settled(StoredReply::Unknown, 2)));
    assert_on_page(&table(&[
        ("sweep, when due", late(|_| Event::Sweep)),
        ("resolve: it happened", now(move |_| done())),
        ("resolve: it did not", now(|_| Event::Resolve(Resolution::Released))),
        ("void", now(|_| Event::Void(None))),
        ("acknowledge", now(|_| Event::Ack)),
        ("erase", now(|_| Event::Erase)),
    ]));
}

#[test]
fn another_fence_is_lost_in_every_row() {
    for row in rows() {
        let other = Fence(own_fence(&row).0 + 7);
        for event in [Event::Renew(other), Event::Settle(other, Outcome::InDoubt)] {
            assert_eq!(cell(&row, &event, row.now), "Lost", "{}", row.name);
        }
    }
}

#[test]
fn nothing_there_is_no_proof_before_the_grace() {
    for row in
        rows().iter().filter(|row| row.name.contains("lapsed") || row.name.contains("declared"))
    {
        let record = row.record.as_ref().expect("these rows have one");
        let early = Timestamp::from_unix_ms(record.grace_end().as_unix_ms() - 1);
        let resolve = Event::Resolve(Resolution::Released);
        assert_eq!(cell(row, &resolve, early), "TooSoon", "{}", row.name);
        assert_eq!(cell(row, &resolve, record.grace_end()), "**released**, fence+1: Resolved");
    }
}
