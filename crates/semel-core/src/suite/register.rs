//! The store as a plain register: versions, stamps, deadlines, incarnations, bytes.

use super::client::DEADLINE;
use super::rig::Rig;
use super::samples::{done, id, in_flight, shapes};
use super::{Harness, Seeded};
use crate::id::{Fence, Incarnation, RecordId, Version};
use crate::record::{Record, State};
use crate::store::{Bound, Filter, Page, Put, StoreError, Swap, Swapped};
use crate::time::{Span, Timestamp};

/// Against no record a swap writes; a second one gets the record that stands there.
pub async fn a_new_key_is_written_once<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let first = rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    match rig.swap(id(1), None, Put::Record(in_flight(Fence(2), 2))).await {
        Ok(Swapped::Conflict { current, at }) => {
            assert_eq!(current.as_ref(), Some(&first), "a conflict carries what stands there");
            assert!(at >= first.stamp, "and the store's time");
        }
        other => panic!("a record stands there, so this must be a conflict: {other:?}"),
    }
    rig.expect(id(1), Some(&first)).await;
}

/// What was acknowledged is found by the very next look, by every way of looking.
pub async fn an_answer_means_that_it_is_there<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut record = rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    for revision in 1..50 {
        rig.expect(id(1), Some(&record)).await;
        record = rig.put(id(1), Some(&record), &Record { revision, ..record.clone() }).await;
    }
    let page = Page { after: None, limit: 10 };
    let listed = rig.store.list(Filter::default(), page).await.expect("an open store lists");
    assert_eq!(listed.records, vec![(id(1), record.clone())]);
    let due = rig.store.due(Timestamp::NEVER, 10).await.expect("an open store lists what is due");
    assert_eq!(due, vec![(id(1), record)]);
}

/// The stamp is set by the store's clock at the write, whatever the record said.
pub async fn the_stamp_is_the_stores_own<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let before = rig.now().await;
    let mut last: Option<Record> = None;
    for (revision, said) in [before.plus(Span::from_secs(9999)), Timestamp::ZERO].iter().enumerate()
    {
        let revision = u32::try_from(revision).unwrap_or(u32::MAX);
        let sent = Record { stamp: *said, revision, ..in_flight(Fence(1), 1) };
        let written = rig.put(id(1), last.as_ref(), &sent).await;
        let low = before.plus(Span::from_secs(60 * u64::from(revision)));
        assert!(written.stamp >= low, "stamped {:?} before its time {low:?}", written.stamp);
        assert!(written.stamp < low.plus(Span::from_secs(60)), "ahead: {:?}", written.stamp);
        rig.expect(id(1), Some(&written)).await;
        last = Some(written);
        rig.harness.advance(Span::from_secs(60));
    }
}

/// Another fence or another revision is another version; only the very one that stands is replaced.
pub async fn a_version_is_fence_and_revision<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let record = rig.put(id(1), None, &Record { revision: 5, ..in_flight(Fence(7), 1) }).await;
    let next = Record { revision: 6, ..record.clone() };
    for (fence, revision) in [(6, 5), (8, 5), (7, 4), (7, 6), (5, 7), (0, 0)] {
        let version = Version { fence: Fence(fence), revision };
        let answer = rig.swap(id(1), Some(version), Put::Record(next.clone())).await;
        assert!(
            matches!(&answer, Ok(Swapped::Conflict { current, .. }) if current.as_ref() == Some(&record)),
            "{version:?} does not stand: {answer:?}"
        );
    }
    rig.put(id(1), Some(&record), &next).await;
}

/// A conflict leaves what stood there, for writes and for deletes, with and without a record.
pub async fn a_conflict_changes_nothing<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let old = rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    let new = rig.put(id(1), Some(&old), &Record { revision: 1, ..old.clone() }).await;
    for (expected, write) in [
        (Some(old.version()), Put::Record(Record { revision: 2, ..old.clone() })),
        (Some(old.version()), Put::Delete),
        (None, Put::Record(in_flight(Fence(9), 9))),
        (None, Put::Delete),
    ] {
        let answer = rig.swap(id(1), expected, write).await;
        assert!(matches!(answer, Ok(Swapped::Conflict { .. })), "{answer:?}");
        rig.expect(id(1), Some(&new)).await;
    }
    let answer = rig.swap(id(2), Some(old.version()), Put::Record(new)).await;
    assert!(matches!(answer, Ok(Swapped::Conflict { current: None, .. })), "{answer:?}");
    rig.expect(id(2), None).await;
}

/// A deleted key is as new, and no version of its earlier life matches any more.
pub async fn a_deleted_key_can_be_claimed_again<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let old = rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    let answer = rig.swap(id(1), Some(old.version()), Put::Delete).await;
    assert!(matches!(answer, Ok(Swapped::Done { .. })), "{answer:?}");
    rig.expect(id(1), None).await;
    let answer = rig.swap(id(1), Some(old.version()), Put::Record(old.clone())).await;
    assert!(matches!(answer, Ok(Swapped::Conflict { current: None, .. })), "{answer:?}");
    let new = rig.put(id(1), None, &in_flight(Fence(2), 2)).await;
    let answer = rig.swap(id(1), Some(old.version()), Put::Delete).await;
    assert!(matches!(answer, Ok(Swapped::Conflict { .. })), "{answer:?}");
    rig.expect(id(1), Some(&new)).await;
}

/// After its deadline a write is refused and is not applied later either; at it, it is not late.
pub async fn a_write_past_its_deadline_is_not_applied<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let record = rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    let deadline = rig.now().await.plus(Span::from_secs(1));
    rig.harness.advance(Span::from_secs(2));
    let (incarnation, stands) = (rig.incarnation, Some(record.version()));
    let next = Put::Record(Record { revision: 1, ..record.clone() });
    for (id, expected, write) in [
        (id(1), stands, next),
        (id(1), stands, Put::Delete),
        (id(2), None, Put::Record(record.clone())),
    ] {
        let late = Swap { id, incarnation, expected, write, deadline };
        let answer = rig.store.swap(late).await;
        assert!(
            matches!(answer, Err(StoreError::DeadlinePassed { late_ms }) if late_ms >= 1000),
            "a second late: {answer:?}"
        );
    }
    rig.harness.advance(Span::from_secs(2));
    rig.expect(id(1), Some(&record)).await;
    rig.expect(id(2), None).await;
    let deadline = rig.now().await.plus(DEADLINE);
    let write = Put::Record(record);
    let just = Swap { id: id(2), incarnation, expected: None, write, deadline };
    let answer = rig.store.swap(just).await;
    assert!(matches!(answer, Ok(Swapped::Done { .. })), "before its deadline: {answer:?}");
}

/// A writer who believes in another life of the store writes nothing, and learns so before it learns
/// anything else.
pub async fn another_incarnation_is_refused_before_anything<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let record = rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    let deadline = rig.now().await;
    rig.harness.advance(Span::from_secs(1));
    let [mut other, found] = [rig.incarnation.0, rig.incarnation.0];
    for byte in &mut other {
        *byte ^= 0xff;
    }
    for (id, expected, write) in [
        (id(1), Some(record.version()), Put::Delete),
        (id(1), None, Put::Record(in_flight(Fence(2), 2))),
        (id(2), None, Put::Record(in_flight(Fence(2), 2))),
    ] {
        let incarnation = Incarnation(other);
        let answer = rig.store.swap(Swap { id, incarnation, expected, write, deadline }).await;
        let refused =
            StoreError::WrongIncarnation { expected: incarnation, found: Incarnation(found) };
        assert_eq!(answer, Err(refused));
    }
    rig.expect(id(1), Some(&record)).await;
    rig.expect(id(2), None).await;
}

/// Keys that differ in one bit are different keys.
pub async fn keys_do_not_touch_each_other<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut written = Vec::new();
    for bit in 0..256_usize {
        let mut bytes = id(1).0;
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        let (key, n) = (RecordId(bytes), bit as u64);
        written.push((key, rig.put(key, None, &in_flight(Fence(n), n)).await));
    }
    rig.expect(id(1), None).await;
    for (key, record) in &written {
        rig.expect(*key, Some(record)).await;
    }
}

/// Two thousand live keys later the first is still there.
pub async fn nothing_is_evicted<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut written = Vec::new();
    for n in 0..2000 {
        let record = Record { lease: Span::from_secs(3600), ..in_flight(Fence(n), n) };
        written.push(rig.put(id(n), None, &record).await);
    }
    for (n, record) in (0..).zip(&written) {
        rig.expect(id(n), Some(record)).await;
    }
}

/// A reply of a mebibyte comes back byte for byte: by load, in a conflict, and in a listing.
pub async fn a_large_reply_comes_back_byte_for_byte<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let claimed = rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    let outcome = Some(done(1, 1024 * 1024));
    let settled = Record { state: State::Completed, revision: 1, outcome, ..claimed.clone() };
    let settled = rig.put(id(1), Some(&claimed), &settled).await;
    // No assert_eq: it would print megabytes.
    assert!(rig.load(id(1)).await.as_ref() == Some(&settled), "load changed the reply");
    let conflict = rig.swap(id(1), None, Put::Delete).await;
    assert!(
        matches!(conflict, Ok(Swapped::Conflict { current: Some(found), .. }) if found == settled),
        "a conflict changed the reply"
    );
    let page = Page { after: None, limit: 1 };
    let listing = rig.store.list(Filter::default(), page).await.expect("an open store lists");
    assert!(listing.records == vec![(id(1), settled)], "a listing changed the reply");
}

/// Every state with every optional field comes back as it was written.
pub async fn every_shape_of_record_comes_back_as_it_was<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut written = Vec::new();
    for (n, shape) in (0..).zip(shapes(rig.now().await)) {
        written.push((id(n), rig.put(id(n), None, &shape).await));
    }
    for (id, record) in &written {
        rig.expect(*id, Some(record)).await;
    }
    // One key through all shapes: no field of the former record shines through.
    let mut last: Option<Record> = None;
    let mut seeded = Seeded::new(1);
    for (n, (_, shape)) in (0..).zip(&written) {
        let shape = Record { fence: Fence(n), revision: seeded.below(9) as u32, ..shape.clone() };
        let now = rig.put(id(u64::MAX), last.as_ref(), &shape).await;
        rig.expect(id(u64::MAX), Some(&now)).await;
        last = Some(now);
    }
}

/// The first check value is kept; the same is known again; another is refused, and changes nothing.
pub async fn the_secret_is_bound_once<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    for (check, bound) in [
        ([1; 16], Bound::First),
        ([1; 16], Bound::Same),
        ([2; 16], Bound::Other),
        ([1; 16], Bound::Same),
    ] {
        assert_eq!(rig.store.bind(check).await, Ok(bound));
    }
}

/// A store with records and no check value was written under a secret that nobody knows.
pub async fn records_without_a_bound_secret_belong_to_another<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    rig.put(id(1), None, &in_flight(Fence(1), 1)).await;
    assert_eq!(rig.store.bind([1; 16]).await, Ok(Bound::Other));
}

/// The time goes with the clock, never back; the incarnation stays; the two reads agree.
pub async fn time_and_incarnation_stand_firm<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let mut last = rig.now().await;
    for _ in 0..10 {
        rig.harness.advance(Span::from_secs(10));
        let status = rig.store.status().await.expect("an open store has a status");
        assert_eq!(status.incarnation, rig.incarnation);
        assert_eq!(status.deletion_paused, None, "nothing is wrong with the clock");
        assert!(status.at >= last.plus(Span::from_secs(10)), "{:?} after {last:?}", status.at);
        let loaded = rig.store.load(id(1)).await.expect("an open store reads");
        assert!(loaded.at >= status.at, "a load tells the time, too");
        last = loaded.at;
    }
    assert!(!rig.store.capabilities().name.is_empty(), "a backend has a name");
}

/// A clock that leaps by two years makes every key look forgettable. None is deleted, by nobody.
pub async fn nothing_is_deleted_after_a_jump_of_the_clock<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let release = Record { state: State::Released, ..in_flight(Fence(1), 1) };
    let released = rig.put(id(1), None, &release).await;
    rig.harness.jump(Span::from_secs(2 * 365 * 86_400));
    let status = rig.store.status().await.expect("an open store has a status");
    assert!(status.deletion_paused.is_some(), "the store must notice: {status:?}");
    let answer = rig.swap(id(1), Some(released.version()), Put::Delete).await;
    assert!(matches!(answer, Err(StoreError::ReadOnly { .. })), "{answer:?}");
    rig.harness.maintain().await;
    rig.expect(id(1), Some(&released)).await;
    rig.put(id(2), None, &in_flight(Fence(1), 1)).await;
}
