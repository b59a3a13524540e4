//! Many at once on one key.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::client::Client;
use super::rig::Rig;
use super::samples::{claim, id, in_flight};
use super::{Harness, Seeded};
use crate::id::{Fence, Version};
use crate::machine::{Answer, Event, Outcome};
use crate::policy::{OnLapse, Policy};
use crate::record::{Record, State};
use crate::store::{Put, Swapped};
use crate::time::Span;

const RACERS: u64 = 64;

async fn race(client: &Client) -> Vec<(Answer, Option<Record>)> {
    let mut racers = JoinSet::new();
    for n in 0..RACERS {
        let client = client.clone();
        racers.spawn(async move {
            let acted = client.act(id(1), &claim(n)).await;
            (acted.answer, acted.record)
        });
    }
    racers.join_all().await
}

/// Of 64 claims of one new key exactly one executes; the others see it in flight.
pub async fn of_many_racers_one_wins<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let ended = race(&rig).await;
    let winners: Vec<_> = ended.iter().filter(|(answer, _)| *answer == Answer::Execute).collect();
    assert_eq!(winners.len(), 1, "{ended:?}");
    let losers = ended.iter().filter(|(answer, _)| *answer == Answer::InFlight).count();
    assert_eq!(losers as u64, RACERS - 1, "{ended:?}");
    let winner = winners.first().and_then(|(_, record)| record.as_ref());
    rig.expect(id(1), winner).await;
}

/// Of 64 claims of one lapsed key that may be run again exactly one takes over, one fence higher.
pub async fn one_racer_takes_over_a_lapsed_key<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let rerun = rig.with_policy(Policy { on_lapse: OnLapse::Rerun, ..Policy::default() });
    let first = rerun.execute(id(1), &claim(999)).await;
    rig.harness.advance(rig.policy.lease.plus(Span::from_ms(1)));
    let ended = race(&rerun).await;
    let winners: Vec<_> = ended
        .iter()
        .filter(|(answer, _)| *answer == Answer::Execute)
        .filter_map(|(_, record)| record.as_ref())
        .collect();
    assert_eq!(winners.len(), 1, "{ended:?}");
    assert!(winners.iter().all(|record| record.fence == first.fence.next()), "{winners:?}");
}

/// Claims and releases of 8 tasks: each granted fence is granted once.
pub async fn no_fence_is_granted_twice<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut tasks = JoinSet::new();
    for task in 0..8_u64 {
        let client: Client = rig.clone();
        tasks.spawn(async move {
            let mut granted = Vec::new();
            for n in 0..40 {
                let acted = client.act(id(1), &claim(task * 1000 + n)).await;
                if acted.answer != Answer::Execute {
                    tokio::task::yield_now().await;
                    continue;
                }
                let fence = acted.record.expect("a claim that executes is written").fence;
                granted.push(fence);
                let release = Event::Settle(fence, Outcome::Released);
                let settled = client.act(id(1), &release).await.answer;
                assert_eq!(
                    settled,
                    Answer::Settled { contradiction: false },
                    "under its own fence"
                );
            }
            granted
        });
    }
    let granted: Vec<Fence> = tasks.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<Fence> = granted.iter().copied().collect();
    assert_eq!(distinct.len(), granted.len(), "a fence was granted twice: {granted:?}");
    assert!(granted.len() >= 8, "only {} claims won: nothing was tried", granted.len());
}

/// 8 tasks, 100 writes each, 5 keys: the acknowledged versions of each key follow one another
/// without gap or double, their stamps never fall, and the last one stands.
pub async fn acknowledged_versions_form_a_chain<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let client: Client = rig.clone();
        tasks.spawn(async move { write_at_random(&client, task).await });
    }
    let mut written: Vec<(u64, Record)> = tasks.join_all().await.into_iter().flatten().collect();
    written.sort_by_key(|(key, record)| (*key, record.version()));
    assert_eq!(written.len(), 800, "each write was acknowledged once");
    for key in 0..5 {
        let chain: Vec<&Record> =
            written.iter().filter(|(of, _)| *of == key).map(|(_, record)| record).collect();
        for (revision, record) in (0..).zip(&chain) {
            let version = Version { fence: Fence(key), revision };
            assert_eq!(record.version(), version, "of key {key}: a version twice, or left out");
        }
        assert!(chain.is_sorted_by_key(|record| record.stamp), "stamps fell: {chain:?}");
        rig.expect(id(key), chain.last().copied()).await;
    }
}

async fn write_at_random(client: &Client, task: u64) -> Vec<(u64, Record)> {
    let mut seeded = Seeded::new(task);
    let mut acknowledged = Vec::new();
    for _ in 0..100 {
        let key = seeded.below(5);
        let mut current = if seeded.once_in(2) { client.load(id(key)).await } else { None };
        loop {
            let revision = current.as_ref().map_or(0, |record| record.revision + 1);
            let next = Record { revision, ..in_flight(Fence(key), task) };
            let next = Record { state: State::InFlight, lease: Span::from_secs(3600), ..next };
            let expected = current.as_ref().map(Record::version);
            match client.swap(id(key), expected, Put::Record(next.clone())).await {
                Ok(Swapped::Done { at }) => {
                    acknowledged.push((key, Record { stamp: at, ..next }));
                    break;
                }
                Ok(Swapped::Conflict { current: found, .. }) => {
                    assert!(found.is_some(), "nothing is ever deleted here");
                    current = found;
                }
                Err(error) => panic!("the store must write: {error}"),
            }
        }
    }
    acknowledged
}
