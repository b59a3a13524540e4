//! What is left after the process was killed.
//!
//! A backend that does not survive the end of its process must come back as *another life*: with
//! another incarnation, so that no writer takes the empty store for its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Harness;
use super::client::Client;
use super::rig::Rig;
use super::samples::{claim, id, in_flight, settle, shapes};
use crate::id::{Fence, Incarnation, RecordId};
use crate::machine::{Answer, Event, Outcome};
use crate::record::Record;
use crate::store::{Bound, Put, StoreError, Swapped};
use crate::time::{Span, Timestamp};

fn survives<H: Harness>(rig: &Rig<H>) -> bool {
    rig.store.capabilities().survives_process_crash
}

/// An empty store must not be taken for the one that was lost.
async fn is_another_life<H: Harness>(rig: &Rig<H>, old: Incarnation) {
    assert_ne!(
        rig.incarnation, old,
        "an empty store must not bear the incarnation of the lost one"
    );
    let believer = Client { incarnation: old, ..(**rig).clone() };
    let answer = believer.swap(id(1), None, Put::Record(in_flight(Fence(1), 1))).await;
    assert!(matches!(answer, Err(StoreError::WrongIncarnation { .. })), "{answer:?}");
}

/// Records of every shape, the incarnation, the secret's check value, the time, what is due.
pub async fn what_was_acknowledged_is_there_after_a_kill<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let (incarnation, check) = (rig.incarnation, [7; 16]);
    assert_eq!(rig.store.bind(check).await, Ok(Bound::First));
    let mut written = BTreeMap::new();
    for (n, shape) in (0..).zip(shapes(rig.now().await)) {
        written.insert(id(n), rig.put(id(n), None, &shape).await);
    }
    let deleted = rig.put(id(9000), None, &in_flight(Fence(1), 1)).await;
    let answer = rig.swap(id(9000), Some(deleted.version()), Put::Delete).await;
    assert!(matches!(answer, Ok(Swapped::Done { .. })), "{answer:?}");
    let due = rig.store.due(Timestamp::NEVER, 10_000).await.expect("an open store lists");
    let time = rig.now().await;
    rig.reopen().await;
    if !survives(&rig) {
        return is_another_life(&rig, incarnation).await;
    }
    assert_eq!(rig.incarnation, incarnation, "it is the same life of the store");
    for (id, record) in &written {
        rig.expect(*id, Some(record)).await;
    }
    rig.expect(id(9000), None).await;
    assert!(rig.now().await >= time, "time never runs backwards");
    assert_eq!(rig.store.bind([8; 16]).await, Ok(Bound::Other));
    assert_eq!(rig.store.bind(check).await, Ok(Bound::Same));
    let due_now = rig.store.due(Timestamp::NEVER, 10_000).await.expect("an open store lists");
    assert_eq!(by_id(due_now), by_id(due));
    for (id, record) in &written {
        let next = Record { revision: record.revision + 1, ..record.clone() };
        rig.put(*id, Some(record), &next).await;
    }
}

fn by_id(records: Vec<(RecordId, Record)>) -> BTreeMap<RecordId, Record> {
    records.into_iter().collect()
}

/// The last acknowledged record of each key.
type Acknowledged = Arc<Mutex<BTreeMap<u64, Record>>>;

/// Writes to one key, again and again, until it is cut off.
async fn write_on(client: &Client, key: u64, acknowledged: &Acknowledged, writes: &Semaphore) {
    let mut last = client.load(id(key)).await;
    loop {
        let revision = last.as_ref().map_or(0, |record| record.revision + 1);
        let lease = Span::from_secs(3600);
        let next = Record { revision, lease, ..in_flight(Fence(key), key) };
        let written = client.put(id(key), last.as_ref(), &next).await;
        acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(key, written.clone());
        writes.add_permits(1);
        last = Some(written);
        // A store whose futures are ready at once gives the kill no other place.
        tokio::task::yield_now().await;
    }
}

/// Eight writers are cut off in the middle; each key holds the last acknowledged version or one that
/// was sent after it.
pub async fn a_kill_under_load_loses_nothing_acknowledged<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let incarnation = rig.incarnation;
    let acknowledged = Acknowledged::default();
    for round in 0..5 {
        let (mut writers, writes) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
        for key in 0..8 {
            let (client, acknowledged) = ((*rig).clone(), Arc::clone(&acknowledged));
            let writes = Arc::clone(&writes);
            writers.spawn(async move { write_on(&client, key, &acknowledged, &writes).await });
        }
        let enough = writes.acquire_many(50 + round * 13).await;
        assert!(enough.is_ok(), "nobody closes the semaphore");
        writers.shutdown().await;
        rig.reopen().await;
        if !survives(&rig) {
            return is_another_life(&rig, incarnation).await;
        }
        let acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (key, last) in acknowledged {
            let found = rig.load(id(key)).await;
            let found = found.unwrap_or_else(|| panic!("key {key} is gone; it was {last:?}"));
            assert!(found.version() >= last.version(), "key {key} fell back to {found:?}");
            if found.version() == last.version() {
                assert_eq!(found, last, "key {key} changed");
            }
        }
    }
}

/// Claim, kill, settle, kill, replay; and a key in doubt; through ten kills.
pub async fn a_key_goes_on_through_many_kills<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let incarnation = rig.incarnation;
    let claimed = rig.execute(id(0), &claim(0)).await;
    let doubt = Event::Settle(claimed.fence, Outcome::InDoubt);
    let in_doubt = rig.act(id(0), &doubt).await.record;
    for n in 1..=5 {
        let claimed = rig.execute(id(n), &claim(n)).await;
        rig.reopen().await;
        if !survives(&rig) {
            return is_another_life(&rig, incarnation).await;
        }
        assert_eq!(rig.act(id(n), &claim(1000)).await.answer, Answer::InFlight);
        let settled = rig.act(id(n), &settle(claimed.fence, n)).await;
        assert_eq!(settled.answer, Answer::Settled { contradiction: false });
        rig.reopen().await;
        for earlier in 1..=n {
            assert_eq!(rig.act(id(earlier), &claim(1000)).await.answer, Answer::Replay);
        }
        rig.expect(id(n), settled.record.as_ref()).await;
        rig.expect(id(0), in_doubt.as_ref()).await;
    }
}
