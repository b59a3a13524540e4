//! Finding damage and setting it aside, by choice.

use super::rig::*;
use semel::store::embedded::{Choice, Damage, Ground, OpenError, Report, check_on, repair_on};
use semel_core::machine::Answer;
use semel_core::store::Put;
use semel_core::{Store, Timestamp};
use std::pin::pin;
use std::sync::Arc;

fn ground(rig: &Rig) -> Ground {
    Ground { disk: rig.disk.process(), clock: rig.clock.clone(), entropy: Arc::new(Other) }
}

/// Another entropy than the one that made the store.
#[derive(Debug)]
struct Other;

impl semel::entropy::Entropy for Other {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0x77);
    }
}

fn check(rig: &Rig) -> Report {
    check_on(&*rig.disk.process()).expect("it can be read")
}

fn repair(rig: &Rig, choice: Choice) -> Report {
    repair_on(&ground(rig), choice).expect("it can be repaired")
}

fn install(rig: &mut Rig) {
    let (store, driver) = rig.try_open().expect("it opens");
    (rig.store, rig.driver) = (store, driver);
}

/// Some keys over several segments, with index files, and the process gone.
fn stopped(keys: u64) -> Rig {
    let mut rig = Rig::new();
    for n in 0..keys {
        rig.complete(id(n), 700);
    }
    rig.maintain();
    rig.close_and_open();
    rig.disk.kill();
    rig
}

/// Where the record of a key is found in the log: its sealed reply is all 0x5a.
fn byte_of(rig: &Rig, file: &str, nth: usize) -> u64 {
    let bytes = rig.disk.bytes(file).expect("it is there");
    let runs = bytes
        .windows(64)
        .enumerate()
        .filter(|(at, w)| w.iter().all(|b| *b == 0x5a) && (*at == 0 || bytes[at - 1] != 0x5a));
    runs.map(|(at, _)| at as u64 + 32).nth(nth).expect("so many records")
}

#[test]
fn a_sound_store_has_no_damage_and_repair_leaves_it_alone() {
    let mut rig = stopped(200);
    let report = check(&rig);
    assert_eq!(report.damage, []);
    assert_eq!(report.records, 400, "each key was written twice");
    let files: Vec<_> = rig.disk.names().into_iter().map(|n| rig.disk.bytes(&n)).collect();
    assert_eq!(repair(&rig, Choice::BeginAnew).damage, []);
    let after: Vec<_> = rig.disk.names().into_iter().map(|n| rig.disk.bytes(&n)).collect();
    assert_eq!(files, after);
    install(&mut rig);
    assert!(rig.load(id(7)).is_some());
}

#[test]
fn damage_in_the_middle_is_located_set_aside_and_all_else_kept() {
    let mut rig = stopped(20);
    let file = "log-00000001.seg";
    let before = rig.disk.bytes(file).expect("it is there");
    let byte = byte_of(&rig, file, 5);
    rig.disk.flip_bit(file, byte, 1);
    let refused = rig.try_open();
    let Err(OpenError::Damaged { offset, .. }) = refused else { panic!("{refused:?}") };
    let report = check(&rig);
    let [Damage { file: found, offset: at, bytes, .. }] = &report.damage[..] else {
        panic!("{report:?}")
    };
    assert_eq!((found.as_str(), *at), (file, offset));
    assert!((offset..offset + bytes).contains(&byte));
    let report = repair(&rig, Choice::Quarantine);
    let [aside] = &report.quarantined[..] else { panic!("{report:?}") };
    let mut copied = rig.disk.bytes(aside).expect("it is there");
    copied[(byte - offset) as usize] ^= 2;
    assert_eq!(copied, before[offset as usize..][..copied.len()], "the bytes themselves are kept");
    install(&mut rig);
    for n in (0..20).filter(|n| *n != 5) {
        assert_eq!(rig.act(id(n), &claim(2)), Ok(Answer::Replay), "key {n}");
    }
    // Its settle is lost, its claim is not: it is not new.
    assert_eq!(rig.act(id(5), &claim(2)), Ok(Answer::InFlight));
    assert_eq!(check_after_kill(&rig).damage, []);
}

fn check_after_kill(rig: &Rig) -> Report {
    rig.disk.kill();
    check(rig)
}

#[test]
fn whole_records_of_a_damaged_batch_are_kept() {
    let mut rig = Rig::new();
    rig.complete(id(0), 700);
    let record = rig.load(id(0)).expect("it is there");
    {
        let requests: Vec<_> =
            (1..9).map(|n| rig.request(id(n), None, Put::Record(record.clone()))).collect();
        let store = &rig.store;
        let mut swaps: Vec<_> = requests.into_iter().map(|swap| store.swap(swap)).collect();
        for swap in &mut swaps {
            assert!(poll(swap.as_mut()).is_none());
        }
        rig.driver.step();
    }
    rig.close_and_open();
    rig.disk.kill();
    let file = "log-00000001.seg";
    let byte = byte_of(&rig, file, 4);
    rig.disk.flip_bit(file, byte, 1);
    assert_eq!(repair(&rig, Choice::Quarantine).kept, 7);
    install(&mut rig);
    let lost: Vec<_> = (0..9).filter(|n| rig.load(id(*n)).is_none()).collect();
    assert_eq!(lost, [4]);
}

#[test]
fn check_finds_damage_that_opening_leaves_to_the_index_file() {
    let mut rig = stopped(200);
    let byte = byte_of(&rig, "log-00000002.seg", 3);
    rig.disk.flip_bit("log-00000002.seg", byte, 1);
    assert!(rig.try_open().is_ok(), "a full segment is opened by its index file");
    let report = check_after_kill(&rig);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].file, "log-00000002.seg");
    repair(&rig, Choice::Quarantine);
    install(&mut rig);
    let replayed = (0..200).filter(|n| rig.act(id(*n), &claim(2)) == Ok(Answer::Replay)).count();
    assert_eq!(replayed, 199);
}

#[test]
fn the_last_batch_of_a_full_segment_is_missed_by_the_next_one() {
    let mut rig = stopped(200);
    let file = "log-00000002.seg";
    let bytes = rig.disk.bytes(file).expect("it is there");
    let end = bytes.iter().rposition(|b| *b != 0).expect("it holds something") as u64;
    rig.disk.flip_bit(file, end, 1);
    rig.disk.lose_file("log-00000002.idx");
    let refused = rig.try_open();
    let Err(OpenError::Damaged { file: found, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(found, file);
    let report = repair(&rig, Choice::Quarantine);
    assert_eq!(report.damage.len(), 1, "{report:?}");
    install(&mut rig);
    let there = (0..200).filter(|n| rig.load(id(*n)).is_some()).count();
    assert!(there >= 199, "{there}");
    assert_eq!(check_after_kill(&rig).damage, []);
}

#[test]
fn a_lost_segment_is_reported_and_the_rest_can_be_kept() {
    let mut rig = stopped(200);
    rig.disk.lose_file("log-00000002.seg");
    let report = repair(&rig, Choice::Quarantine);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].file, "log-00000002.seg");
    install(&mut rig);
    let there = (0..200).filter(|n| rig.load(id(*n)).is_some()).count();
    assert!((100..200).contains(&there), "{there}");
    rig.complete(id(1000), 100);
    assert_eq!(check_after_kill(&rig).damage, []);
}

#[test]
fn a_segment_without_a_whole_batch_is_set_aside_wherever_it_stands() {
    for zeroed in [1, 2] {
        let mut rig = stopped(200);
        let file = format!("log-{zeroed:08}.seg");
        let len = rig.disk.bytes(&file).expect("it is there").len() as u64;
        assert!(rig.disk.wipe(&file));
        rig.disk.lose_file(&format!("log-{zeroed:08}.idx"));
        assert!(matches!(rig.try_open(), Err(OpenError::Damaged { .. })));
        rig.disk.kill();
        let found: Vec<_> = check(&rig).damage.into_iter().map(|d| (d.file, d.offset)).collect();
        assert_eq!(found, [(file.clone(), 0), (file.clone(), 4096)], "segment {zeroed}");
        rig.disk.kill();
        let report = repair(&rig, Choice::Quarantine);
        let [aside] = &report.quarantined[..] else { panic!("{report:?}") };
        assert_eq!(rig.disk.bytes(aside).map(|b| b.len() as u64), Some(len - 4096));
        install(&mut rig);
        let there = (0..200).filter(|n| rig.load(id(*n)).is_some()).count();
        assert!((100..200).contains(&there), "{there}");
        rig.complete(id(1000), 100);
        assert_eq!(check_after_kill(&rig).damage, []);
    }
}

/// Found by fuzzing: the repair looked for the lost batches behind the end of the file, and panicked.
#[test]
fn a_segment_that_is_cut_short_is_set_aside_however_short_it_is() {
    for len in [0, 1, 511, 512, 4095, 4096, 4097, 9000, 20_000] {
        let mut rig = stopped(200);
        for ending in ["seg", "idx"] {
            let file = rig.disk.process().open(&format!("log-00000001.{ending}"));
            file.and_then(|file| file.truncate(len)).expect("it is cut");
        }
        assert!(matches!(rig.try_open(), Err(OpenError::Damaged { .. })), "cut to {len}");
        rig.disk.kill();
        assert!(!repair(&rig, Choice::Quarantine).damage.is_empty(), "cut to {len}");
        install(&mut rig);
        let there = (0..200).filter(|n| rig.load(id(*n)).is_some()).count();
        assert!((100..200).contains(&there), "cut to {len}: {there}");
        rig.complete(id(1000), 100);
        assert_eq!(check_after_kill(&rig).damage, [], "cut to {len}");
    }
}

/// Found by fuzzing: what was left of the file was counted from its new end, below zero.
#[test]
fn a_last_segment_that_is_cut_short_opens_with_what_is_left_or_is_refused_and_goes_on() {
    let mut opened = 0;
    for len in (0..4096).step_by(255).chain((4096..12_000).step_by(100)) {
        let mut rig = Rig::new();
        for n in 0..6 {
            rig.complete(id(n), 300);
        }
        rig.disk.kill();
        let file = rig.disk.process().open("log-00000001.seg");
        file.and_then(|file| file.truncate(len)).expect("it is cut");
        let Ok((store, driver)) = rig.try_open() else { continue };
        (rig.store, rig.driver) = (store, driver);
        rig.complete(id(1000), 100);
        rig.kill();
        assert!(rig.load(id(1000)).is_some(), "cut to {len}");
        opened += 1;
    }
    assert!(opened > 20, "{opened}");
}

#[test]
fn a_damaged_table_of_spent_keys_is_refused_and_can_be_set_aside() {
    let mut rig = stopped(200);
    install(&mut rig);
    rig.clock.advance(DAY.plus(HOUR));
    rig.maintain();
    rig.disk.kill();
    let table = rig.disk.names().into_iter().find(|n| n.ends_with(".tbl")).expect("a table");
    rig.disk.flip_bit(&table, 30, 1);
    assert_eq!(check(&rig).damage.len(), 1);
    rig.disk.kill();
    let len = rig.disk.bytes(&table).expect("it is there").len() as u64;
    rig.disk.flip_bit(&table, len - 20, 1);
    assert!(matches!(rig.try_open(), Err(OpenError::Damaged { .. })));
    let report = repair(&rig, Choice::Quarantine);
    assert_eq!(report.quarantined, [format!("quarantine-{table}")]);
    install(&mut rig);
    assert_eq!(rig.load(id(3)), None, "what was in it is lost, and was said to be");
}

#[test]
fn a_repair_may_begin_another_life_of_the_store() {
    let mut rig = stopped(20);
    let status = |rig: &Rig| poll(pin!(rig.store.status())).expect("at once").expect("open");
    let before = {
        install(&mut rig);
        let before = status(&rig);
        rig.disk.kill();
        before
    };
    assert_eq!(before.birth, Timestamp::ZERO);
    let byte = byte_of(&rig, "log-00000001.seg", 5);
    rig.disk.flip_bit("log-00000001.seg", byte, 1);
    repair(&rig, Choice::BeginAnew);
    install(&mut rig);
    let after = status(&rig);
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!(after.birth, rig.now());
}
