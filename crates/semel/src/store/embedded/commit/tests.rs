use semel_core::Fence;
use semel_core::suite::samples::in_flight;

use super::*;
use crate::entropy::SystemEntropy;
use crate::store::embedded::EmbeddedOptions;
use crate::store::embedded::faults::FaultDisk;
use crate::store::embedded::recover::{Ground, create, open};
use crate::store::embedded::segment::segment_name;
use crate::time::ManualClock;

const UNREAD: RecordId = RecordId([1; 32]);
const KEPT: RecordId = RecordId([2; 32]);
const BROKEN: RecordId = RecordId([3; 32]);

fn log(disk: &FaultDisk) -> Log {
    let options = EmbeddedOptions {
        segment_bytes: 64 << 10,
        reply_cap: 2 << 10,
        batch_bytes: 16 << 10,
        margin_bytes: 64 << 10,
        ..EmbeddedOptions::default()
    };
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_750_000_000_000)));
    let ground = Ground { disk: disk.process(), clock, entropy: Arc::new(SystemEntropy) };
    create(&ground, &options, Timestamp::ZERO).expect("it is made");
    disk.kill();
    let ground = Ground { disk: disk.process(), ..ground };
    open(&ground, &options).expect("it opens").0
}

fn swap(log: &mut Log, id: RecordId, write: Put) -> Result<Swapped, StoreError> {
    let (incarnation, deadline) = (log.shared.incarnation, Timestamp::NEVER);
    let (reply, mut answer) = oneshot::channel();
    log.commit([(Swap { id, incarnation, expected: None, write, deadline }, reply)]);
    answer.try_recv().expect("it is answered")
}

fn claim(log: &mut Log, id: RecordId) -> Result<Swapped, StoreError> {
    swap(log, id, Put::Record(in_flight(Fence(7), 1)))
}

fn place(log: &Log, id: RecordId) -> Place {
    log.shared.index.matches(tag(&id)).first.expect("it is in the index")
}

/// A record that this Semel cannot read, two that it can, and one whose frame is damaged.
fn with_a_record_of_a_later_semel(disk: &FaultDisk) -> (Log, Vec<(RecordId, Place)>) {
    let mut log = log(disk);
    let (offset, len) = log.writer.push(Kind::Put, &UNREAD, b"\xfflater");
    let new = Ok(Put::Delete);
    let (class, end) = (Class::Ended, Timestamp::NEVER);
    log.staged.add(UNREAD, None, Change { old: None, new, class, end, offset, len });
    log.flush(Timestamp::from_unix_ms(1)).expect("it is written");
    for id in [KEPT, BROKEN] {
        assert!(matches!(claim(&mut log, id), Ok(Swapped::Done { .. })));
    }
    let broken = place(&log, BROKEN);
    assert!(disk.flip_bit(&segment_name(broken.segment()), u64::from(broken.offset()) + 60, 1));
    let frames = [UNREAD, KEPT, BROKEN].map(|id| (id, place(&log, id)));
    (log, frames.to_vec())
}

#[test]
fn carrying_that_stops_midway_leaves_nothing_to_the_next_batch() {
    let disk = FaultDisk::new(4 << 20);
    let (mut log, frames) = with_a_record_of_a_later_semel(&disk);
    let before = (log.active.end, log.reserving);
    let carried = log.carry(&frames);
    assert!(matches!(carried, Err(StoreError::Damaged { .. })), "{carried:?}");
    assert_eq!((log.active.end, log.reserving), before);
    assert!(matches!(claim(&mut log, UNREAD), Err(StoreError::Undecodable { .. })));
    assert!(matches!(claim(&mut log, RecordId([4; 32])), Ok(Swapped::Done { .. })));
    let kept = frames[1].1;
    assert_eq!(place(&log, KEPT), kept, "what was given up is not written by the way");
    assert_eq!(log.staged.reserving, 0);
}

#[test]
fn a_record_that_nobody_here_reads_is_never_absent_while_it_is_carried() {
    let disk = FaultDisk::new(4 << 20);
    let (mut log, frames) = with_a_record_of_a_later_semel(&disk);
    let (id, old) = frames[0];
    log.carry_one(id, old).expect("it is staged");
    assert!(matches!(claim(&mut log, UNREAD), Err(StoreError::Undecodable { .. })));
    assert_ne!(place(&log, UNREAD), old, "it was carried");
    assert!(matches!(claim(&mut log, UNREAD), Err(StoreError::Undecodable { .. })));
}

#[test]
fn a_batch_longer_than_a_segment_is_refused_and_makes_no_segments() {
    let disk = FaultDisk::new(4 << 20);
    let mut log = log(&disk);
    let body = vec![0; 70 << 10];
    let (offset, len) = log.writer.push(Kind::Put, &KEPT, &body);
    let new = Ok(Put::Record(in_flight(Fence(7), 1)));
    let (class, end) = (Class::Flight, Timestamp::NEVER);
    log.staged.add(KEPT, None, Change { old: None, new, class, end, offset, len });
    let names = disk.names();
    let flushed = log.flush(Timestamp::from_unix_ms(1));
    assert!(matches!(flushed, Err(StoreError::Full { .. })), "{flushed:?}");
    assert_eq!(disk.names(), names);
    assert!(matches!(claim(&mut log, KEPT), Ok(Swapped::Done { .. })));
}
