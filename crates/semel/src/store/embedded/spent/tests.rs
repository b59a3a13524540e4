use super::entry::ENTRY;
use super::*;
use crate::store::embedded::faults::FaultDisk;
use semel_core::machine::{Event, Write, step};
use semel_core::{
    Digest, Effect, Fence, OnLapse, Owner, Policy, Record, RecordId, Settled, Span, State,
    StoredReply, Timestamp,
};

fn spent(n: u64) -> Record {
    let since = Timestamp::from_unix_ms(1_750_000_000_000 + n);
    Record {
        state: State::Spent,
        fence: Fence(since.as_unix_ms()),
        revision: 2,
        stamp: since,
        fingerprint: None,
        owner: Owner([9; 16]),
        attempt: 1,
        executed_fence: Some(Fence(since.as_unix_ms())),
        earlier_doubt: false,
        on_lapse: OnLapse::Hold,
        lease: Span::from_secs(10),
        ceiling: Span::from_secs(900),
        began: None,
        lapsed_at: since,
        since: None,
        retention: Span::from_secs(86_400),
        memory: Span::from_secs(30 * 86_400),
        grace: Span::from_secs(70),
        keep_until: Timestamp::ZERO,
        route: None,
        outcome: Some(Settled {
            digest: Some(Digest([1; 16])),
            status: Some(201),
            effect: Effect::Done,
            reply: StoredReply::Gone,
        }),
    }
}

fn id(n: u64) -> RecordId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..16].copy_from_slice(&n.to_be_bytes());
    RecordId(id)
}

fn table(disk: &FaultDisk, count: u64) -> SpentTable {
    let mut entries: Vec<_> =
        (0..count).filter_map(|n| SpentEntry::of(&id(n), &spent(n))).collect();
    entries.sort_unstable();
    let process = disk.process();
    let mut writer = TableWriter::new(&*process, 1, entries.len()).expect("it is made");
    for entry in &entries {
        writer.push(entry).expect("there is room");
    }
    drop(writer.finish().expect("it is written"));
    SpentTable::open(&*process, 1).expect("it opens")
}

#[test]
fn a_spent_table_gives_back_every_key_and_no_other() {
    let disk = FaultDisk::new(1 << 24);
    let table = table(&disk, 1000);
    for n in 0..1000 {
        let found = table.find(&id(n)).expect("it reads").expect("it is there");
        let record = spent(n);
        assert_eq!(found.version(), record.version());
        assert_eq!((found.state, found.effect()), (State::Spent, Effect::Done));
        assert_eq!(found.outcome.as_ref().and_then(|o| o.status), Some(201));
        assert!(found.memory_end() >= record.memory_end(), "forgotten too early");
        assert!(found.memory_end() < record.memory_end().plus(Span::from_secs(3600)));
    }
    for n in 1000..3000 {
        assert_eq!(table.find(&id(n)).expect("it reads"), None);
    }
}

#[test]
fn a_spent_key_takes_at_most_32_bytes_on_disk_and_two_in_memory() {
    let disk = FaultDisk::new(1 << 24);
    let table = table(&disk, 20_000);
    assert_eq!(table.disk_bytes(), disk.used());
    assert!(disk.used() <= 32 * 20_000, "{} bytes", disk.used());
    assert!(table.memory_bytes() <= 2 * 20_000, "{} bytes", table.memory_bytes());
}

#[test]
fn any_damage_to_a_table_is_noticed() {
    let disk = FaultDisk::new(1 << 24);
    let whole = table(&disk, 200);
    let len = disk.used();
    drop(whole);
    for byte in 0..len {
        assert!(disk.flip_bit(&disk.names()[0], byte, 3));
        let noticed = match SpentTable::open(&*disk.process(), 1) {
            Err(_) => true,
            Ok(table) => (0..table.blocks()).any(|block| table.block(block).is_err()),
        };
        assert!(noticed, "byte {byte} of {len} was changed unseen");
        assert!(disk.flip_bit(&disk.names()[0], byte, 3));
    }
}

#[test]
fn what_an_entry_cannot_hold_stays_a_record() {
    let ok = || spent(1);
    assert_eq!(ENTRY, 29);
    assert!(SpentEntry::of(&id(1), &ok()).is_some());
    for record in [
        Record { fence: Fence(1 << 48), ..ok() },
        Record { state: State::Completed, ..ok() },
        Record { state: State::InFlight, ..ok() },
    ] {
        assert_eq!(SpentEntry::of(&id(1), &record), None);
    }
}

#[test]
fn what_an_entry_clamps_is_known_longer_and_is_no_earlier_version() {
    let many = |revision| Record { revision, ..spent(1) };
    let back = |record: &Record| SpentEntry::of(&id(1), record).expect("it fits").record();
    assert_eq!(back(&many(254)).revision, 254);
    for revision in [255, 256, 100_000] {
        let version = back(&many(revision)).version();
        assert_eq!(version.fence, many(revision).fence);
        assert!(version.revision > revision);
    }
    let long = Record { memory: Span::from_secs(1914 * 366 * 86_400), ..spent(1) };
    assert_eq!(back(&long).memory_end(), Timestamp::NEVER);
}

#[test]
fn memory_for_ever_stays_for_ever_and_a_swept_record_is_told_from_a_void_one() {
    let forever = Record { memory: Span::FOREVER, ..spent(1) };
    let entry = SpentEntry::of(&id(1), &forever).expect("it fits");
    assert_eq!(entry.memory_end(), Timestamp::NEVER);
    assert_eq!(entry.record().memory_end(), Timestamp::NEVER);
    let void = Record { state: State::Voided, outcome: None, ..spent(1) };
    let back = SpentEntry::of(&id(1), &void).expect("it fits").record();
    assert_eq!((back.state, back.outcome.clone()), (State::Voided, None));
    let later = Timestamp::from_unix_ms(u64::MAX / 2);
    assert_eq!(step(Some(&back), &Event::Sweep, later, &Policy::default()).write, Write::Delete);
}
