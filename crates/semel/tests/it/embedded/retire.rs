//! How records leave: by the bucket, by distilling, and never too early.

use std::pin::pin;

use super::rig::*;
use semel_core::machine::{Answer, Event, Outcome};
use semel_core::store::{Filter, Page};
use semel_core::{Effect, Span, State, Store, StoreError};

fn settle_many(rig: &mut Rig, keys: std::ops::Range<u64>) {
    for n in keys {
        rig.complete(id(n), 1000);
    }
}

#[test]
fn an_ended_bucket_leaves_as_spent_keys_and_its_space_comes_back() {
    let mut rig = Rig::new();
    settle_many(&mut rig, 0..300);
    rig.maintain();
    let full = rig.disk.used();
    rig.clock.advance(HOUR.times(23));
    rig.maintain();
    assert_eq!(rig.act(id(5), &claim(2)), Ok(Answer::Replay), "inside retention it replays");
    rig.clock.advance(HOUR.times(2));
    let first = rig.maintain();
    let second = rig.maintain();
    assert_eq!(first.distilled + second.distilled, 300);
    assert_eq!(first.carried + second.carried, 0, "nothing was written twice");
    assert!(rig.disk.used() * 2 < full, "{} of {full} bytes", rig.disk.used());
    assert_eq!(rig.store.stats().keys, 0);
    for restart in [|_: &mut Rig| (), Rig::kill, |rig: &mut Rig| rig.power_loss(7)] {
        restart(&mut rig);
        for n in 0..300 {
            assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Spent), "key {n}");
        }
        assert_eq!(rig.load(id(5)).map(|r| r.effect()), Some(Effect::Done));
        assert_eq!(rig.act(id(1000), &Event::Ack), Ok(Answer::NotFound));
    }
}

#[test]
fn a_key_is_forgotten_only_after_its_memory() {
    let mut rig = Rig::new();
    settle_many(&mut rig, 0..50);
    rig.clock.advance(DAY.plus(HOUR));
    rig.maintain();
    rig.maintain();
    rig.clock.advance(DAY.times(28));
    rig.maintain();
    assert_eq!(rig.act(id(5), &claim(2)), Ok(Answer::Spent));
    rig.clock.advance(DAY.plus(HOUR));
    let done = rig.maintain();
    assert_eq!(done.tables, 1);
    assert_eq!(rig.act(id(5), &claim(2)), Ok(Answer::Execute), "a new life of the key");
    assert_eq!(rig.store.stats().spent_keys, 0);
}

#[test]
fn a_key_that_is_forgotten_at_once_does_not_come_back_with_an_older_segment() {
    let mut rig = Rig::new();
    assert_eq!(rig.act(id(1), &claim(1)), Ok(Answer::Execute));
    settle_many(&mut rig, 100..160);
    let fence = rig.fence(id(1));
    rig.act(id(1), &Event::Settle(fence, Outcome::Released)).expect("it settles");
    settle_many(&mut rig, 160..220);
    rig.clock.advance(DAY.plus(HOUR));
    for _ in 0..3 {
        rig.maintain();
        rig.kill();
        assert!(rig.load(id(1)).is_none_or(|r| r.state == State::Released));
    }
    assert_eq!(rig.load(id(1)), None);
}

#[test]
fn a_key_resolved_after_three_days_still_replays_its_full_retention() {
    let mut rig = Rig::new();
    assert_eq!(rig.act(id(1), &claim(1)), Ok(Answer::Execute));
    settle_many(&mut rig, 100..200);
    rig.clock.advance(HOUR);
    assert_eq!(rig.act(id(1), &Event::Sweep), Ok(Answer::Swept));
    for day in 0..3 {
        settle_many(&mut rig, 1000 * (day + 1)..1000 * (day + 1) + 80);
        rig.clock.advance(DAY);
        rig.maintain();
        rig.kill();
    }
    assert_eq!(rig.act(id(1), &claim(2)), Ok(Answer::InDoubt));
    assert_eq!(rig.act(id(1), &resolved()), Ok(Answer::Resolved));
    rig.clock.advance(HOUR.times(23));
    rig.maintain();
    rig.kill();
    assert_eq!(rig.act(id(1), &claim(2)), Ok(Answer::Replay), "counted from the resolve");
    rig.clock.advance(HOUR.times(3));
    rig.maintain();
    rig.maintain();
    assert_eq!(rig.act(id(1), &claim(2)), Ok(Answer::Spent));
}

#[test]
fn what_is_in_flight_or_in_doubt_is_carried_over_before_its_bucket_is_dropped() {
    let mut rig = Rig::new();
    assert_eq!(rig.act(id(1), &claim(1)), Ok(Answer::Execute));
    assert_eq!(rig.act(id(2), &claim(1)), Ok(Answer::Execute));
    let fence = rig.fence(id(2));
    rig.act(id(2), &Event::Settle(fence, Outcome::InDoubt)).expect("it settles");
    let (flight, doubt) = (rig.load(id(1)), rig.load(id(2)));
    settle_many(&mut rig, 100..200);
    rig.clock.advance(DAY.plus(HOUR));
    let done = rig.maintain();
    assert!(done.retired > 0 && done.carried == 2, "{done:?}");
    assert!(!rig.disk.names().contains(&"log-00000001.seg".into()));
    for seed in 0..3 {
        assert_eq!((rig.load(id(1)), rig.load(id(2))), (flight.clone(), doubt.clone()));
        let due = poll(pin!(rig.store.due(rig.now(), 5))).expect("at once").expect("it reads");
        assert_eq!(due.len(), 1, "the flight is still swept");
        rig.power_loss(seed);
    }
}

#[test]
fn what_never_ends_stays_and_does_not_keep_the_rest() {
    let mut rig = Rig::new();
    rig.policy.retention = Span::FOREVER;
    rig.policy.memory = Span::FOREVER;
    settle_many(&mut rig, 0..10);
    rig.policy = semel_core::Policy::default();
    settle_many(&mut rig, 100..400);
    rig.clock.advance(DAY.plus(HOUR));
    rig.maintain();
    let done = rig.maintain();
    assert!(rig.store.stats().spent_keys == 300, "{done:?}");
    rig.clock.advance(DAY.times(4000));
    rig.maintain();
    rig.kill();
    for n in 0..10 {
        assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Replay));
    }
    for n in 100..400 {
        assert_eq!(rig.load(id(n)), None, "its memory has ended");
    }
}

#[test]
fn memory_for_ever_keeps_a_spent_key_for_ever() {
    let mut rig = Rig::new();
    rig.policy.memory = Span::FOREVER;
    settle_many(&mut rig, 0..80);
    rig.clock.advance(DAY.plus(HOUR));
    rig.maintain();
    rig.maintain();
    rig.clock.advance(DAY.times(36_500));
    rig.maintain();
    rig.kill();
    assert_eq!(rig.act(id(3), &claim(2)), Ok(Answer::Spent));
}

#[test]
fn acknowledged_and_voided_keys_stay_known_through_distilling() {
    let mut rig = Rig::new();
    rig.complete(id(1), 100);
    assert_eq!(rig.act(id(1), &Event::Ack), Ok(Answer::Erased));
    assert_eq!(rig.act(id(2), &Event::Void(None)), Ok(Answer::Voided));
    settle_many(&mut rig, 100..200);
    for hours in [1, 23, 3] {
        rig.clock.advance(HOUR.times(hours));
        rig.maintain();
        rig.kill();
        assert_eq!(rig.act(id(1), &claim(2)), Ok(Answer::Spent));
        assert_eq!(rig.act(id(2), &claim(2)), Ok(Answer::Void));
    }
    assert_eq!(rig.store.stats().keys, 0, "they are in a table by now");
}

#[test]
fn a_clock_that_jumped_deletes_nothing() {
    for jump_back in [false, true] {
        let mut rig = Rig::new();
        settle_many(&mut rig, 0..100);
        rig.maintain();
        if jump_back {
            rig.clock.advance(DAY.times(3));
            rig.complete(id(500), 10);
            rig.kill();
            rig.clock.set(START.plus(DAY.plus(HOUR)));
        } else {
            rig.clock.set(START.plus(DAY.times(40)));
        }
        let status = poll(pin!(rig.store.status())).expect("at once").expect("it is open");
        assert!(status.deletion_paused.is_some());
        let done = rig.maintain();
        assert_eq!((done.retired, done.tables), (0, 0), "jump back: {jump_back}");
        assert_eq!(rig.act(id(5), &claim(2)), Ok(Answer::Replay));
        let version = rig.load(id(5)).map(|r| r.version());
        let delete = rig.request(id(5), version, semel_core::store::Put::Delete);
        assert!(matches!(rig.swap(delete), Err(StoreError::ReadOnly { .. })));
    }
}

#[test]
fn a_high_water_mark_of_an_earlier_process_pauses_deletion() {
    let mut rig = Rig::new();
    rig.complete(id(1), 10);
    rig.clock.advance(DAY);
    rig.complete(id(2), 10);
    rig.disk.kill();
    rig.clock.set(START);
    let (store, driver) = rig.try_open().expect("it opens");
    (rig.store, rig.driver) = (store, driver);
    let status = poll(pin!(rig.store.status())).expect("at once").expect("it is open");
    assert!(status.deletion_paused.is_some());
    assert!(status.at >= START.plus(DAY), "the store's time never runs backwards");
}

#[test]
fn a_recycled_segment_shows_nothing_of_what_it_held() {
    let mut rig = Rig::new();
    settle_many(&mut rig, 0..100);
    rig.maintain();
    rig.clock.advance(DAY.plus(HOUR));
    rig.maintain();
    let before = rig.disk.counts().filled;
    settle_many(&mut rig, 1000..1060);
    assert_eq!(rig.disk.counts().filled, before, "no segment had to be filled anew");
    rig.kill();
    for n in 0..100 {
        assert_eq!(rig.load(id(n)).map(|r| r.state), Some(State::Spent), "key {n}");
    }
    for n in 1000..1060 {
        assert_eq!(rig.load(id(n)).map(|r| r.state), Some(State::Completed));
    }
}

#[test]
fn full_segments_are_opened_by_their_index_files() {
    let mut rig = Rig::new();
    settle_many(&mut rig, 0..300);
    let done = rig.maintain();
    assert!(done.indexed > 4, "{done:?}");
    rig.kill();
    assert!(rig.store.opened().segments_read <= 2, "{:?}", rig.store.opened());
    assert_eq!(rig.store.opened().keys, 300);
    for n in 0..300 {
        assert_eq!(rig.load(id(n)).map(|r| r.state), Some(State::Completed));
    }
    // A broken index file is only a lost convenience.
    rig.disk.kill();
    assert!(rig.disk.flip_bit("log-00000002.idx", 60, 1));
    let (store, driver) = rig.try_open().expect("it opens");
    (rig.store, rig.driver) = (store, driver);
    assert_eq!(rig.store.opened().keys, 300);
}

#[test]
fn segments_may_become_larger_between_two_runs() {
    let mut rig = Rig::new();
    rig.maintain();
    rig.options.segment_bytes = 256 << 10;
    rig.options.batch_bytes = 64 << 10;
    rig.options.reply_cap = 80 << 10;
    rig.kill();
    for n in 0..20 {
        rig.complete(id(n), 70_000);
    }
    rig.kill();
    for n in 0..20 {
        assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Replay), "key {n}");
    }
    rig.clock.advance(DAY.plus(HOUR));
    rig.maintain();
    rig.maintain();
    for _ in 0..2 {
        rig.kill();
        for n in 0..20 {
            assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Spent), "key {n}");
        }
    }
}

#[test]
fn tables_of_spent_keys_are_merged_so_that_few_are_asked() {
    let mut rig = Rig::new();
    let mut keys = 0;
    for _ in 0..30 {
        settle_many(&mut rig, keys..keys + 60);
        keys += 60;
        rig.clock.advance(DAY.plus(HOUR));
        rig.maintain();
        rig.maintain();
    }
    let stats = rig.store.stats();
    assert!(stats.tables <= 9, "{stats:?}");
    rig.kill();
    let listed = rig.store.list(
        Filter { state: Some(State::Spent), before: None },
        Page { after: None, limit: 10_000 },
    );
    let listed = poll(pin!(listed)).expect("at once").expect("it reads");
    assert_eq!(listed.records.len() as u64, rig.store.stats().spent_keys);
    for n in keys - 60 * 20..keys {
        assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Spent), "key {n}");
    }
}
