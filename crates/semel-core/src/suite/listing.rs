//! Listings: pages, filters, what is due.

use std::collections::BTreeMap;

use super::Harness;
use super::rig::Rig;
use super::samples::{STATES, claim, done, id, in_flight, settle};
use crate::id::{Fence, RecordId};
use crate::machine::{Event, Outcome};
use crate::record::{Record, State};
use crate::store::{Filter, Page};
use crate::time::{Span, Timestamp};

const NO_FILTER: Filter = Filter { state: None, before: None };
const HOUR: Span = Span::from_secs(3600);

async fn pages<H: Harness>(rig: &Rig<H>, filter: Filter, limit: usize) -> Vec<(RecordId, Record)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = Page { after, limit };
        let listing = rig.store.list(filter, page).await.expect("an open store lists");
        assert!(listing.records.len() <= limit, "a page of {limit}: {}", listing.records.len());
        all.extend(listing.records);
        let Some(next) = listing.next else { return all };
        assert!(after.is_none_or(|after| after < next), "pages go on");
        after = Some(next);
    }
}

/// All records, in the order of their ids, whatever the size of the pages.
pub async fn pages_come_in_the_order_of_ids<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    assert_eq!(pages(&rig, NO_FILTER, 10).await, Vec::new(), "of an empty store");
    let mut written = BTreeMap::new();
    for n in 0..60 {
        written.insert(id(n), rig.put(id(n), None, &in_flight(Fence(n), n)).await);
    }
    let written: Vec<_> = written.into_iter().collect();
    for limit in [1, 7, 59, 60, 61, 1000] {
        assert_eq!(pages(&rig, NO_FILTER, limit).await, written, "in pages of {limit}");
    }
}

/// A record that stands during the whole listing is listed once, whatever is written beside it.
pub async fn pages_have_no_gap_or_double_while_writes_go_on<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut standing = BTreeMap::new();
    for n in 0..100 {
        standing.insert(id(n), rig.put(id(n), None, &in_flight(Fence(n), n)).await);
    }
    let mut ids = Vec::new();
    let (mut after, mut new) = (None, 1000);
    loop {
        let listing = rig.store.list(NO_FILTER, Page { after, limit: 9 }).await;
        let listing = listing.expect("an open store lists");
        ids.extend(listing.records.iter().map(|(id, _)| *id));
        let Some(next) = listing.next else { break };
        after = Some(next);
        for _ in 0..5 {
            rig.put(id(new), None, &in_flight(Fence(new), new)).await;
            new += 1;
        }
        // Write to each standing key, too: a listing by age would move them.
        for (id, record) in &mut standing {
            let next = Record { revision: record.revision + 1, ..record.clone() };
            *record = rig.put(*id, Some(record), &next).await;
        }
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "in order, none twice");
    for id in standing.keys() {
        assert!(ids.binary_search(id).is_ok(), "{id} stood all the time and was not listed");
    }
}

/// Each filter lets through exactly what [`Filter::admits`] says.
pub async fn filters_admit_by_state_and_age<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let mut written = BTreeMap::new();
    let mut middle = Timestamp::ZERO;
    for n in 0..42_usize {
        let state = STATES.get(n % STATES.len()).copied().unwrap_or(State::InFlight);
        if n == 21 {
            rig.harness.advance(Span::from_secs(1));
            middle = rig.now().await;
        }
        let n = n as u64;
        let outcome = matches!(state, State::Completed | State::Spent).then(|| done(n, 10));
        let record =
            Record { state, outcome, lease: HOUR, lapsed_at: middle, ..in_flight(Fence(n), n) };
        written.insert(id(n), rig.put(id(n), None, &record).await);
    }
    let states = STATES.into_iter().map(Some).chain([None]);
    for state in states {
        for before in [None, Some(Timestamp::ZERO), Some(middle), Some(Timestamp::NEVER)] {
            let filter = Filter { state, before };
            let expected: Vec<_> = written
                .iter()
                .filter(|(_, record)| filter.admits(record))
                .map(|(id, record)| (*id, record.clone()))
                .collect();
            assert_eq!(pages(&rig, filter, 4).await, expected, "{filter:?}");
        }
    }
}

/// Earliest first, complete up to the moment asked for, that moment included.
pub async fn due_is_ordered_and_complete<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut written = BTreeMap::new();
    for n in 0..80_u64 {
        // A stride that is coprime to the number of keys: leases of 1 s to 80 s, in no order.
        let lease = Span::from_secs(1 + n * 37 % 80);
        let record = rig.put(id(n), None, &Record { lease, ..in_flight(Fence(n), n) }).await;
        written.insert(record.due(), (id(n), record));
    }
    let doubt = State::InDoubt(crate::record::Doubt::Declared);
    rig.put(id(900), None, &Record { state: doubt, ..in_flight(Fence(1), 1) }).await;
    let written: Vec<_> = written.into_values().collect();
    for count in [0, 1, 40, 79, 80] {
        let Some(last) = written.get(..count) else { continue };
        let before = match last.last() {
            Some((_, record)) => record.due().expect("in flight is due"),
            None => Timestamp::ZERO,
        };
        let due = rig.store.due(before, 1000).await.expect("an open store lists what is due");
        assert_eq!(due, last, "all up to {before:?}");
        let due = rig.store.due(Timestamp::NEVER, count).await;
        assert_eq!(due.expect("an open store lists what is due"), last, "the first {count}");
    }
}

/// A renewal moves a key in `due`, a settle and a doubt take it from there (or to its retention).
pub async fn due_follows_each_write<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let first = rig.execute(id(1), &claim(1)).await;
    let second = rig.execute(id(2), &claim(2)).await;
    let third = rig.execute(id(3), &claim(3)).await;
    rig.harness.advance(Span::from_secs(5));
    let renewed = rig.act(id(1), &Event::Renew(first.fence)).await.record.expect("renewed");
    rig.act(id(2), &settle(second.fence, 2)).await;
    rig.act(id(3), &Event::Settle(third.fence, Outcome::InDoubt)).await;
    let now = rig.now().await;
    let soon = rig.store.due(now.plus(rig.policy.lease).plus(Span::from_ms(1)), 10).await;
    assert_eq!(soon.expect("an open store lists what is due"), vec![(id(1), renewed)]);
    if !rig.in_bulk() {
        let later = rig.store.due(now.plus(rig.policy.retention), 10).await;
        let ids: Vec<_> = later.expect("due").into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, vec![id(1), id(2)], "a completed key is due at the end of its retention");
    }
}
