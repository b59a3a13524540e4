//! Swap, load, due, list, bind: what every store does, and what this one's batches add.

use std::pin::pin;

use super::rig::*;
use semel_core::machine::{Answer, Event, Outcome};
use semel_core::store::{Bound, Filter, Page, Put, Swap, Swapped};
use semel_core::{Record, Span, State, Store, StoreError};

#[test]
fn a_settled_key_replays_after_every_kind_of_restart() {
    let mut rig = Rig::new();
    rig.complete(id(1), 700);
    let record = rig.load(id(1)).expect("it is there");
    for restart in [Rig::kill, Rig::close_and_open, |rig: &mut Rig| rig.power_loss(3)] {
        restart(&mut rig);
        assert_eq!(rig.load(id(1)), Some(record.clone()));
        assert_eq!(rig.act(id(1), &claim(2)), Ok(Answer::Replay));
    }
}

#[test]
fn nothing_is_seen_or_answered_before_it_is_on_disk() {
    let mut rig = Rig::new();
    let record = first_claim(&rig);
    let swap = rig.request(id(1), None, Put::Record(record));
    {
        let mut asked = pin!(rig.store.swap(swap));
        assert!(poll(asked.as_mut()).is_none(), "no answer before the sync");
        assert_eq!(
            poll(pin!(rig.store.load(id(1)))).expect("at once").expect("reads").record,
            None
        );
        let due = rig.store.due(rig.now().plus(HOUR), 10);
        assert_eq!(poll(pin!(due)).expect("at once"), Ok(Vec::new()));
        rig.driver.step();
        assert!(matches!(poll(asked), Some(Ok(Swapped::Done { .. }))));
    }
    assert!(rig.load(id(1)).is_some());
    assert_eq!(rig.disk.unsynced(), [], "what was answered is synced");
}

fn first_claim(rig: &Rig) -> Record {
    let decided = semel_core::machine::step(None, &claim(1), rig.now(), &rig.policy);
    match decided.write {
        semel_core::machine::Write::Put(record) => record,
        other => panic!("a claim is written: {other:?}"),
    }
}

#[test]
fn all_that_waits_goes_into_one_batch_with_one_sync() {
    let mut rig = Rig::new();
    let record = first_claim(&rig);
    let before = rig.disk.counts();
    {
        let asked: Vec<_> =
            (0..20).map(|n| rig.request(id(n), None, Put::Record(record.clone()))).collect();
        let store = &rig.store;
        let mut swaps: Vec<_> = asked.into_iter().map(|swap| store.swap(swap)).collect();
        for swap in &mut swaps {
            assert!(poll(swap.as_mut()).is_none());
        }
        assert_eq!(rig.driver.step(), 20);
        for swap in &mut swaps {
            assert!(matches!(poll(swap.as_mut()), Some(Ok(Swapped::Done { .. }))));
        }
    }
    let after = rig.disk.counts();
    assert_eq!((after.syncs - before.syncs, after.dir_syncs - before.dir_syncs), (1, 0));
}

#[test]
fn a_claim_of_a_key_that_is_on_disk_waits_for_no_batch() {
    let mut rig = Rig::new();
    let record = first_claim(&rig);
    rig.complete(id(1), 700);
    let kept = rig.load(id(1));
    let before = rig.disk.counts();
    let (used, new) = [1, 2].map(|n| rig.request(id(n), None, Put::Record(record.clone()))).into();
    let late = Swap { deadline: rig.now().minus(Span::from_ms(1)), ..used.clone() };
    let mut claims = rig.store.swap(new);
    assert!(poll(claims.as_mut()).is_none(), "a new key waits for its sync");
    match poll(pin!(rig.store.swap(used))) {
        Some(Ok(Swapped::Conflict { current, .. })) => assert_eq!(current, kept),
        other => panic!("what is on disk was there to be told: {other:?}"),
    }
    let mut late = rig.store.swap(late);
    assert!(poll(late.as_mut()).is_none(), "what is wrong with a swap says the committer");
    assert_eq!(rig.disk.counts().syncs, before.syncs);
    rig.driver.step();
    assert!(matches!(poll(late.as_mut()), Some(Err(StoreError::DeadlinePassed { .. }))));
    assert!(matches!(poll(claims.as_mut()), Some(Ok(Swapped::Done { .. }))));
}

#[test]
fn two_writes_to_one_id_in_a_batch_are_judged_in_order() {
    let mut rig = Rig::new();
    let record = first_claim(&rig);
    let swap = rig.request(id(1), None, Put::Record(record));
    {
        let mut first = pin!(rig.store.swap(swap.clone()));
        let mut second = pin!(rig.store.swap(swap));
        assert!(poll(first.as_mut()).is_none() && poll(second.as_mut()).is_none());
        rig.driver.step();
        assert!(matches!(poll(first), Some(Ok(Swapped::Done { .. }))));
        let Some(Ok(Swapped::Conflict { current: Some(current), at })) = poll(second) else {
            panic!("the second sees the first")
        };
        assert_eq!(current.stamp, at);
    }
    assert_eq!(rig.load(id(1)).map(|r| r.revision), Some(0));
}

#[test]
fn a_conflict_with_a_write_that_never_reached_the_disk_is_no_conflict() {
    let mut rig = Rig::new();
    let record = first_claim(&rig);
    let swap = rig.request(id(1), None, Put::Record(record));
    rig.disk.fail_sync(0);
    {
        let mut first = pin!(rig.store.swap(swap.clone()));
        let mut second = pin!(rig.store.swap(swap));
        assert!(poll(first.as_mut()).is_none() && poll(second.as_mut()).is_none());
        rig.driver.step();
        for answer in [poll(first), poll(second)] {
            assert!(matches!(answer, Some(Err(StoreError::Poisoned { .. }))));
        }
    }
}

#[test]
fn a_dropped_caller_does_not_undo_its_write() {
    let mut rig = Rig::new();
    let record = first_claim(&rig);
    {
        let mut asked = Box::pin(rig.store.swap(rig.request(id(1), None, Put::Record(record))));
        assert!(poll(asked.as_mut()).is_none());
    }
    rig.driver.step();
    assert!(rig.load(id(1)).is_some());
}

#[test]
fn another_incarnation_and_a_late_write_are_refused_in_that_order() {
    let mut rig = Rig::new();
    let record = first_claim(&rig);
    let mut swap = rig.request(id(1), None, Put::Record(record));
    rig.clock.advance(Span::from_secs(6));
    let late = rig.swap(swap.clone());
    assert_eq!(late, Err(StoreError::DeadlinePassed { late_ms: 1000 }));
    swap.incarnation.0[0] ^= 1;
    assert!(matches!(rig.swap(swap), Err(StoreError::WrongIncarnation { .. })));
    assert_eq!(rig.load(id(1)), None);
}

#[test]
fn due_gives_records_in_flight_by_the_end_of_their_lease_also_after_a_restart() {
    let mut rig = Rig::new();
    for n in [3, 1, 2] {
        assert_eq!(rig.act(id(n), &claim(1)), Ok(Answer::Execute));
        rig.clock.advance(Span::from_secs(1));
    }
    rig.complete(id(4), 10);
    for _ in 0..2 {
        let due = |span| {
            let due = poll(pin!(rig.store.due(START.plus(span), 10))).expect("at once");
            due.expect("it reads").into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(due(Span::from_secs(10)), []);
        assert_eq!(due(Span::from_ms(10_001)), [id(3)]);
        assert_eq!(due(HOUR), [id(3), id(1), id(2)]);
        rig.kill();
    }
}

#[test]
fn list_is_in_the_order_of_ids_page_by_page() {
    let mut rig = Rig::new();
    for n in 0..50 {
        assert_eq!(rig.act(id(n), &claim(1)), Ok(Answer::Execute));
        if n % 5 == 0 {
            rig.settle(id(n), 10).expect("it settles");
        }
    }
    for (state, count) in [(None, 50), (Some(State::InFlight), 40), (Some(State::Completed), 10)] {
        let filter = Filter { state, before: None };
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = Page { after, limit: 7 };
            let listing =
                poll(pin!(rig.store.list(filter, page))).expect("at once").expect("reads");
            assert!(listing.records.len() <= 7);
            seen.extend(listing.records.into_iter().map(|(id, _)| id));
            after = listing.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), count);
        assert!(seen.is_sorted(), "in the order of ids");
    }
}

#[test]
fn a_secret_is_bound_once_and_never_beside_records() {
    let mut rig = Rig::new();
    let bind = |rig: &mut Rig, check| {
        let mut asked = pin!(rig.store.bind(check));
        assert!(poll(asked.as_mut()).is_none());
        rig.driver.step();
        poll(asked).expect("answered").expect("bound")
    };
    assert_eq!(bind(&mut rig, [1; 16]), Bound::First);
    rig.power_loss(1);
    assert_eq!(bind(&mut rig, [1; 16]), Bound::Same);
    assert_eq!(bind(&mut rig, [2; 16]), Bound::Other);

    let mut unbound = Rig::new();
    unbound.complete(id(1), 10);
    assert_eq!(bind(&mut unbound, [1; 16]), Bound::Other, "its records have another secret");
}

#[test]
fn a_deleted_key_stays_deleted_after_a_restart() {
    let mut rig = Rig::new();
    assert_eq!(rig.act(id(1), &claim(1)), Ok(Answer::Execute));
    let fence = rig.fence(id(1));
    let released = rig.act(id(1), &Event::Settle(fence, Outcome::Released));
    assert_eq!(released, Ok(Answer::Settled { contradiction: false }));
    rig.clock.advance(DAY);
    assert_eq!(rig.act(id(1), &Event::Sweep), Ok(Answer::Swept));
    assert_eq!(rig.load(id(1)), None);
    rig.kill();
    assert_eq!(rig.load(id(1)), None);
    assert_eq!(rig.act(id(1), &claim(2)), Ok(Answer::Execute));
    rig.kill();
    assert_eq!(rig.load(id(1)).map(|r| r.state), Some(State::InFlight));
}
