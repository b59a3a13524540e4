//! What is carried over, or cannot be distilled, must not eat the disk.

use super::rig::*;
use semel_core::machine::{Answer, Event, Outcome, Resolution};
use semel_core::store::{Put, Swapped};
use semel_core::{Fence, Policy, Record, Settled, Span, State, StoreError, StoredReply, Version};

fn complete_for_ever(rig: &mut Rig, n: u64, len: usize) {
    rig.policy.retention = Span::FOREVER;
    rig.policy.memory = Span::FOREVER;
    rig.complete(id(n), len);
    rig.policy = Policy::default();
}

fn rounds(rig: &mut Rig, rounds: usize) {
    for _ in 0..rounds {
        rig.maintain();
    }
}

#[test]
fn more_can_be_carried_over_than_one_segment_holds() {
    let mut rig = Rig::with(small(), 4 << 20);
    // Half of each segment stays, and one request to carry brings all of it.
    for n in 0..6 {
        complete_for_ever(&mut rig, n, 24_000);
        rig.complete(id(100 + n), 27_000);
    }
    rig.clock.advance(DAY.plus(HOUR));
    let carried: usize = (0..4).map(|_| rig.maintain().carried).sum();
    assert_eq!(carried, 6);
    assert!(rig.disk.used() < 600 << 10, "{} bytes", rig.disk.used());
    for restart in [|_: &mut Rig| (), Rig::kill, |rig: &mut Rig| rig.power_loss(3)] {
        restart(&mut rig);
        for n in 0..6 {
            assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Replay), "key {n}");
            assert_eq!(rig.act(id(100 + n), &claim(2)), Ok(Answer::Spent), "key {n}");
        }
    }
}

#[test]
fn the_largest_reply_that_is_taken_can_be_carried_over_among_others() {
    let mut rig = Rig::with(small(), 4 << 20);
    complete_for_ever(&mut rig, 0, 1000);
    rig.policy.retention = Span::FOREVER;
    rig.policy.memory = Span::FOREVER;
    assert_eq!(rig.act(id(1), &claim(1)), Ok(Answer::Execute));
    rig.policy = Policy::default();
    let largest = (1..60_000).rev().step_by(16).find(|len| {
        let settled = rig.settle(id(1), *len);
        assert!(matches!(settled, Ok(_) | Err(StoreError::Full { .. })), "{settled:?}");
        settled.is_ok()
    });
    assert!(largest.is_some_and(|len| len > 40_000), "{largest:?}");
    for n in 2..40 {
        rig.complete(id(n), 15_000);
    }
    rig.clock.advance(DAY.plus(HOUR));
    let done = rig.maintain();
    assert!(done.carried >= 1 && done.retired > 1, "{done:?}");
    rig.kill();
    for n in 0..40 {
        let answer = if n < 2 { Answer::Replay } else { Answer::Spent };
        assert_eq!(rig.act(id(n), &claim(2)), Ok(answer), "key {n}");
    }
}

/// Claims until the store is full; returns how many it took.
fn fill(rig: &mut Rig) -> usize {
    for n in 0..10_000 {
        match rig.act(id(50_000 + n), &claim(1)) {
            Ok(answer) => assert_eq!(answer, Answer::Execute),
            Err(StoreError::Full { .. }) => return n as usize,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk never ran full");
}

#[test]
fn what_a_resolve_without_its_reply_set_aside_comes_back_when_its_key_leaves() {
    let fresh = fill(&mut Rig::with(small(), 600 << 10));
    let mut rig = Rig::with(small(), 600 << 10);
    for n in 0..40 {
        assert_eq!(rig.act(id(n), &claim(1)), Ok(Answer::Execute));
        let fence = rig.fence(id(n));
        rig.act(id(n), &Event::Settle(fence, Outcome::InDoubt)).expect("it settles");
        let unknown = Settled { reply: StoredReply::Unknown, digest: None, ..reply(0) };
        let resolved = rig.act(id(n), &Event::Resolve(Resolution::Done(unknown)));
        assert_eq!(resolved, Ok(Answer::Resolved));
    }
    rig.clock.advance(DAY.plus(HOUR));
    rounds(&mut rig, 3);
    assert_eq!((rig.store.stats().keys, rig.store.stats().spent_keys), (0, 40));
    let took = fill(&mut rig);
    assert!(took * 10 > fresh * 8, "{took} claims, a new store takes {fresh}");
}

/// Replaces the record of a key.
fn put(rig: &mut Rig, n: u64, change: impl FnOnce(Record) -> Record) {
    let record = rig.load(id(n)).expect("it is there");
    let expected = record.version();
    let swap = rig.request(id(n), Some(expected), Put::Record(change(record)));
    assert!(matches!(rig.swap(swap), Ok(Swapped::Done { .. })));
}

#[test]
fn a_run_of_many_extensions_ends_as_a_spent_key_like_any_other() {
    let mut rig = Rig::new();
    rig.complete(id(1), 100);
    put(&mut rig, 1, |record| Record { revision: 254, ..record });
    rig.complete(id(2), 100);
    put(&mut rig, 2, |record| Record { revision: 4000, ..record });
    let fences: [Fence; 2] = [rig.fence(id(1)), rig.fence(id(2))];
    rig.clock.advance(DAY.plus(HOUR));
    rounds(&mut rig, 2);
    assert_eq!((rig.store.stats().keys, rig.store.stats().spent_keys), (0, 2));
    for restart in [|_: &mut Rig| (), Rig::kill] {
        restart(&mut rig);
        for (n, fence) in [(1, fences[0]), (2, fences[1])] {
            let version = rig.load(id(n)).expect("it is there").version();
            assert_eq!(version.fence, fence);
            assert!(version.revision > 254, "no earlier version is taken for the present one");
            // A write that was decided on any earlier version comes too late.
            for revision in [0, 254, 255, 256, 4000, 4001] {
                let stale = Some(Version { fence, revision });
                if stale == Some(version) {
                    continue;
                }
                let swap = rig.request(id(n), stale, Put::Delete);
                assert!(matches!(rig.swap(swap), Ok(Swapped::Conflict { .. })), "{revision}");
            }
            assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Spent));
        }
    }
    assert!(rig.load(id(2)).is_some_and(|record| record.revision > 4001));
}

#[test]
fn memory_beyond_what_a_spent_key_can_say_is_memory_for_ever() {
    let mut rig = Rig::new();
    rig.policy.memory = DAY.times(366 * 2000);
    rig.complete(id(1), 100);
    rig.clock.advance(DAY.plus(HOUR));
    rounds(&mut rig, 2);
    assert_eq!((rig.store.stats().keys, rig.store.stats().spent_keys), (0, 1));
    rig.clock.advance(DAY.times(365 * 2010));
    rounds(&mut rig, 2);
    rig.kill();
    assert_eq!(rig.load(id(1)).map(|record| record.state), Some(State::Spent));
}

#[test]
fn an_idle_log_makes_no_segments_over_what_cannot_leave_yet() {
    let mut rig = Rig::new();
    rig.policy.memory = Span::FOREVER;
    rig.complete(id(1), 100);
    rig.policy = Policy::default();
    rig.complete(id(2), 100);
    rig.clock.advance(DAY.plus(HOUR));
    rounds(&mut rig, 2);
    assert_eq!(rig.store.stats().spent_keys, 2);
    // The table knows the second key as long as it knows the first, so the word that it was
    // forgotten has to stay as well.
    rig.clock.advance(DAY.times(31));
    assert_eq!(rig.act(id(2), &Event::Sweep), Ok(Answer::Swept));
    rounds(&mut rig, 3);
    let before = (rig.disk.names(), rig.disk.counts().filled);
    for _ in 0..5 {
        rig.clock.advance(HOUR);
        rig.maintain();
    }
    assert_eq!((rig.disk.names(), rig.disk.counts().filled), before);
    for restart in [|_: &mut Rig| (), Rig::kill] {
        restart(&mut rig);
        assert_eq!(rig.load(id(2)), None, "it does not come back");
    }
    assert_eq!(rig.act(id(2), &claim(2)), Ok(Answer::Execute));
}
