//! Full disks, failed syncs, damaged reads, and doors that stay shut.

use super::rig::*;
use semel::store::embedded::{EmbeddedOptions, EmbeddedStore, OpenError};
use semel_core::machine::{Answer, Event, Outcome};
use semel_core::{State, StoreError, Timestamp};

/// Claims until the store is full; returns the keys that were claimed.
fn fill(rig: &mut Rig) -> Vec<u64> {
    let mut claimed = Vec::new();
    for n in 0..10_000 {
        match rig.act(id(n), &claim(1)) {
            Ok(answer) => {
                assert_eq!(answer, Answer::Execute);
                claimed.push(n);
            }
            Err(StoreError::Full { .. }) => return claimed,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk never ran full");
}

#[test]
fn a_full_disk_refuses_claims_and_keeps_room_for_every_settle() {
    let mut rig = Rig::with(small(), 600 << 10);
    let claimed = fill(&mut rig);
    assert!(claimed.len() > 20, "{}", claimed.len());
    assert_eq!(rig.load(id(claimed.len() as u64)), None, "what was refused is not there");
    for n in &claimed {
        rig.clock.advance(semel_core::Span::from_ms(1));
        let settled = rig.settle(id(*n), rig.options.reply_cap as usize);
        assert_eq!(settled, Ok(Answer::Settled { contradiction: false }), "key {n} is stranded");
    }
    rig.kill();
    for n in &claimed {
        assert_eq!(rig.load(id(*n)).map(|r| r.state), Some(State::Completed));
    }
}

/// Room beyond the segments in supply is counted, not held: another process can take it.
#[test]
fn a_settle_whose_room_somebody_else_took_is_refused_and_lands_when_space_returns() {
    let mut rig = Rig::with(small(), 600 << 10);
    let claimed = fill(&mut rig);
    rig.disk.set_capacity(rig.disk.used());
    let largest = rig.options.reply_cap as usize;
    let mut refused = Vec::new();
    for n in &claimed {
        rig.clock.advance(semel_core::Span::from_ms(1));
        match rig.settle(id(*n), largest) {
            Ok(answer) => assert_eq!(answer, Answer::Settled { contradiction: false }),
            Err(StoreError::Full { .. }) => refused.push(*n),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!refused.is_empty() && refused.len() < claimed.len(), "{}", refused.len());
    rig.kill();
    for n in &claimed {
        let state = if refused.contains(n) { State::InFlight } else { State::Completed };
        assert_eq!(rig.load(id(*n)).map(|r| r.state), Some(state), "key {n}");
    }
    rig.disk.set_capacity(600 << 10);
    for n in &refused {
        let settled = rig.settle(id(*n), largest);
        assert_eq!(settled, Ok(Answer::Settled { contradiction: false }), "key {n}");
    }
    rig.kill();
    for n in &claimed {
        assert_eq!(rig.load(id(*n)).map(|r| r.state), Some(State::Completed));
    }
}

#[test]
fn on_a_full_disk_a_lapsed_claim_is_declared_in_doubt_and_still_settles() {
    let mut rig = Rig::with(small(), 600 << 10);
    let claimed = fill(&mut rig);
    rig.clock.advance(HOUR);
    for n in &claimed {
        assert_eq!(rig.act(id(*n), &Event::Sweep), Ok(Answer::Swept), "key {n}");
    }
    rig.kill();
    for n in &claimed {
        let settled = rig.settle(id(*n), rig.options.reply_cap as usize);
        assert_eq!(settled, Ok(Answer::Settled { contradiction: false }), "key {n} is stranded");
    }
}

#[test]
fn a_full_disk_heals_when_space_returns() {
    let mut rig = Rig::with(small(), 600 << 10);
    let claimed = fill(&mut rig);
    let next = id(claimed.len() as u64);
    assert!(matches!(rig.act(next, &claim(1)), Err(StoreError::Full { .. })));
    rig.disk.set_capacity(4 << 20);
    assert_eq!(rig.act(next, &claim(1)), Ok(Answer::Execute));
}

#[test]
fn a_full_disk_heals_when_what_it_holds_has_ended() {
    let mut rig = Rig::with(small(), 600 << 10);
    let claimed = fill(&mut rig);
    for n in &claimed {
        rig.settle(id(*n), 2000).expect("it settles");
    }
    let next = id(claimed.len() as u64);
    rig.clock.advance(DAY.plus(HOUR));
    rig.maintain();
    rig.maintain();
    assert_eq!(rig.act(next, &claim(1)), Ok(Answer::Execute));
}

#[test]
fn a_failed_write_for_want_of_space_applies_nothing_and_the_log_goes_on() {
    let mut rig = Rig::new();
    rig.disk.fail_write(0, std::io::ErrorKind::StorageFull);
    assert!(matches!(rig.act(id(1), &claim(1)), Err(StoreError::Full { .. })));
    assert_eq!(rig.load(id(1)), None);
    rig.complete(id(2), 100);
    rig.kill();
    assert_eq!(rig.load(id(1)), None);
    assert!(rig.load(id(2)).is_some());
}

#[test]
fn a_failed_sync_poisons_the_log_though_the_next_would_succeed() {
    let mut rig = Rig::new();
    rig.complete(id(1), 100);
    rig.disk.fail_sync(0);
    let failed = rig.act(id(2), &claim(1));
    assert!(matches!(failed, Err(StoreError::Poisoned { .. })));
    assert!(failed.is_err_and(|error| error.may_have_applied()));
    let syncs = rig.disk.counts().syncs;
    assert!(matches!(rig.act(id(3), &claim(1)), Err(StoreError::Poisoned { .. })));
    assert_eq!(rig.disk.counts().syncs, syncs, "no second sync is believed, so none is tried");
    assert!(rig.load(id(1)).is_some(), "what is on disk is still read");
    assert!(rig.driver.maintain().is_err());
    rig.kill();
    rig.complete(id(3), 100);
}

#[test]
fn what_a_failed_sync_left_unwritten_is_synced_before_it_is_believed() {
    let mut rig = Rig::new();
    rig.disk.fail_sync(0);
    assert!(rig.act(id(2), &claim(1)).is_err());
    // The machine lives, so the next process reads the batch from the page cache.
    rig.kill();
    let seen = rig.load(id(2));
    assert!(seen.is_some());
    rig.power_loss(1);
    assert_eq!(rig.load(id(2)), seen, "what was shown was on disk");
}

#[test]
fn a_flipped_bit_in_a_record_is_an_error_and_never_a_new_key() {
    let mut rig = Rig::new();
    rig.complete(id(1), 400);
    let name = "log-00000001.seg";
    let bytes = rig.disk.bytes(name).expect("it is there");
    let end = bytes.iter().rposition(|b| *b != 0).expect("it holds something") as u64;
    for byte in (end - 600..=end).step_by(3) {
        rig.disk.flip_bit(name, byte, 5);
        let read = rig.try_load(id(1));
        let padding = bytes[byte as usize..=end as usize].iter().all(|b| *b == 0);
        match read {
            Ok(Some(_)) if padding => {}
            Ok(Some(record)) => assert_eq!(record.state, State::Completed, "byte {byte}"),
            Ok(None) => panic!("byte {byte}: the key looks new"),
            Err(StoreError::Damaged { .. } | StoreError::Undecodable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        rig.disk.flip_bit(name, byte, 5);
    }
}

#[test]
fn a_second_process_is_refused_by_the_directory() {
    let rig = Rig::new();
    let second = rig.try_open();
    assert!(matches!(&second, Err(OpenError::AlreadyOpen { .. })));
    assert!(second.is_err_and(|error| error.to_string().contains("the simulated disk")));
}

#[test]
fn a_second_store_in_one_directory_is_refused_and_the_first_gives_it_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    let options = EmbeddedOptions { segment_bytes: 8 << 20, ..EmbeddedOptions::default() };
    let open = || EmbeddedStore::open(&path, options.clone());
    assert!(matches!(open(), Err(OpenError::Missing { .. })));
    let first = EmbeddedStore::create(&path, options.clone(), Timestamp::ZERO).expect("made");
    assert!(matches!(open(), Err(OpenError::AlreadyOpen { .. })));
    drop(first);
    let again = EmbeddedStore::create(&path, options.clone(), Timestamp::ZERO);
    assert!(matches!(again, Err(OpenError::Exists { .. })));
    assert!(open().is_ok());
}

#[test]
fn an_unknown_format_is_refused() {
    let rig = Rig::new();
    rig.disk.kill();
    rig.disk.flip_bit("STORE", 8, 4);
    match rig.try_open() {
        Err(OpenError::UnknownFormat { found, known, .. }) => assert_eq!((found, known), (17, 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_file_is_told_from_a_new_store() {
    let mut rig = Rig::new();
    for n in 0..100 {
        rig.complete(id(n), 1500);
    }
    rig.maintain();
    rig.disk.kill();
    let names = rig.disk.names();
    let segments: Vec<_> = names.iter().filter(|n| n.ends_with(".seg")).collect();
    assert!(segments.len() > 3);
    assert!(rig.disk.lose_file("log-00000002.seg"));
    match rig.try_open() {
        Err(OpenError::Damaged { file, what, .. }) => {
            assert_eq!((file.as_str(), what), ("log-00000002.seg", "a segment is missing"));
        }
        other => panic!("{other:?}"),
    }
    assert!(rig.disk.lose_file("STORE"));
    rig.disk.kill();
    assert!(matches!(rig.try_open(), Err(OpenError::NotAStore { .. })));
}

#[test]
fn the_incarnation_survives_a_restart() {
    let mut rig = Rig::new();
    let before = rig.request(id(1), None, semel_core::store::Put::Delete).incarnation;
    rig.power_loss(2);
    assert_eq!(rig.request(id(1), None, semel_core::store::Put::Delete).incarnation, before);
}

#[test]
fn a_release_and_a_doubt_survive_as_what_they_are() {
    let mut rig = Rig::new();
    for (n, outcome, state) in
        [(1, Outcome::Released, "released"), (2, Outcome::InDoubt, "in-doubt")]
    {
        assert_eq!(rig.act(id(n), &claim(1)), Ok(Answer::Execute));
        let fence = rig.fence(id(n));
        rig.act(id(n), &Event::Settle(fence, outcome)).expect("it settles");
        rig.kill();
        assert_eq!(rig.load(id(n)).map(|r| r.state.name()), Some(state));
    }
}
