//! The store in memory: for tests, for one process, "until restart".
//!
//! One guard around two ordered maps: a swap is some hundred nanoseconds, so callers hardly ever
//! meet. It must never evict what is live: where there is no room, a new key is refused before
//! anything runs, and a claim sets aside the room that its settle may need.
//!
//! While the clock looks wrong ([`Status::deletion_paused`]) the store itself refuses
//! [`Put::Delete`] with [`StoreError::ReadOnly`], whoever asks: a wrong clock is what makes a sweep
//! believe that a key may be forgotten.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semel_core::codec::OVERHEAD_MAX;
use semel_core::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Put, Status, Swap, Swapped,
};
use semel_core::{Incarnation, Record, RecordId, State, Store, StoreError, StoredReply, Timestamp};

use super::clock::StoreClock;
use crate::entropy::{Entropy, random};
use crate::time::WallClock;

/// What a claim sets aside for its reply unless [`MemoryStore::with_reply_cap`] says otherwise.
pub const REPLY_CAP_DEFAULT: usize = 1024 * 1024;

/// Beside the record: its id in both maps, its due time, and the maps' own nodes (half full).
const INDEX_BYTES: usize = 256;

/// A store that lives and dies with its process.
#[derive(Debug)]
pub struct MemoryStore {
    incarnation: Incarnation,
    capacity: usize,
    reply_cap: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: StoreClock,
    records: BTreeMap<RecordId, Box<Record>>,
    /// What a sweep will find, earliest first. Holds exactly the records with a due time.
    due: BTreeSet<(Timestamp, RecordId)>,
    /// Bytes used and set aside.
    charged: usize,
    check: Option<[u8; 16]>,
}

impl MemoryStore {
    /// An empty store without bound. `entropy` names its incarnation.
    #[must_use]
    pub fn new(clock: Arc<dyn WallClock>, entropy: &dyn Entropy) -> Self {
        Self {
            incarnation: Incarnation(random(entropy)),
            capacity: usize::MAX,
            reply_cap: REPLY_CAP_DEFAULT,
            inner: Mutex::new(Inner {
                clock: StoreClock::new(clock, Timestamp::ZERO),
                records: BTreeMap::new(),
                due: BTreeSet::new(),
                charged: 0,
                check: None,
            }),
        }
    }

    /// Refuses new claims with [`StoreError::Full`] once `bytes` are used or set aside. Writes to
    /// keys that are in flight, in doubt or settled are never refused for want of room.
    #[must_use]
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// Bytes that each claim sets aside for its sealed reply: the longest that any route keeps.
    /// A longer one is still taken, beyond the capacity, since its operation has already run.
    #[must_use]
    pub fn with_reply_cap(mut self, bytes: usize) -> Self {
        self.reply_cap = bytes;
        self
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics between two changes of the maps, so a poisoned guard protects whole data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, swap: Swap) -> Result<Swapped, StoreError> {
        if swap.incarnation != self.incarnation {
            let (expected, found) = (swap.incarnation, self.incarnation);
            return Err(StoreError::WrongIncarnation { expected, found });
        }
        let mut inner = self.inner();
        let reading = inner.clock.read();
        let at = reading.at;
        if at > swap.deadline {
            return Err(StoreError::DeadlinePassed { late_ms: at.since(swap.deadline).as_ms() });
        }
        let current = inner.records.get(&swap.id);
        if current.map(|record| record.version()) != swap.expected {
            return Ok(Swapped::Conflict { current: current.map(|record| (**record).clone()), at });
        }
        match (swap.write, reading.deletion_paused) {
            (Put::Delete, Some(reason)) => {
                let reason = format!("deletion is paused: {reason}");
                return Err(StoreError::ReadOnly { reason });
            }
            (Put::Delete, None) => inner.remove(swap.id, self.reply_cap),
            (Put::Record(record), _) => {
                let charge = room(&record, self.reply_cap);
                let held = current.map_or(0, |record| room(record, self.reply_cap));
                let fits = inner.charged - held + charge <= self.capacity;
                if is_claim(current.map(|record| record.state), record.state) && !fits {
                    return Err(StoreError::Full {
                        what: format!("memory: {} of {} bytes", inner.charged, self.capacity),
                    });
                }
                inner.charged = inner.charged - held + charge;
                inner.set(swap.id, Record { stamp: at, ..record });
            }
        }
        Ok(Swapped::Done { at })
    }
}

/// Whether the write may be refused for want of room: nothing has run under it yet.
fn is_claim(before: Option<State>, after: State) -> bool {
    match before {
        None => true,
        Some(State::Released) => after == State::InFlight,
        Some(
            State::InFlight | State::InDoubt(_) | State::Completed | State::Spent | State::Voided,
        ) => false,
    }
}

/// Bytes that the record uses, or may come to use when its executor settles it.
fn room(record: &Record, reply_cap: usize) -> usize {
    let reply = match (record.state, record.outcome.as_ref().map(|outcome| &outcome.reply)) {
        (State::InFlight | State::InDoubt(_), _) | (_, Some(StoredReply::Unknown)) => reply_cap,
        (_, Some(StoredReply::Sealed(sealed))) => sealed.bytes.len(),
        (_, Some(StoredReply::NotKept | StoredReply::Gone) | None) => 0,
    };
    OVERHEAD_MAX + INDEX_BYTES + reply
}

impl Inner {
    /// One search for the record, and none in `due` where it does not move: this is the hot path.
    fn set(&mut self, id: RecordId, record: Record) {
        let due = record.due();
        let before = match self.records.entry(id) {
            Entry::Vacant(free) => {
                free.insert(Box::new(record));
                None
            }
            Entry::Occupied(mut kept) => {
                let before = kept.get().due();
                **kept.get_mut() = record;
                before
            }
        };
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, id));
        }
        if let Some(due) = due {
            self.due.insert((due, id));
        }
    }

    fn remove(&mut self, id: RecordId, reply_cap: usize) {
        let Some(record) = self.records.remove(&id) else { return };
        if let Some(due) = record.due() {
            self.due.remove(&(due, id));
        }
        self.charged -= room(&record, reply_cap);
    }

    fn page(&self, filter: Filter, page: Page) -> Listing {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = page.after.map_or(Unbounded, Excluded);
        let mut listing = Listing::default();
        for (id, record) in self.records.range((start, Unbounded)) {
            if !filter.admits(record) {
                continue;
            }
            if listing.records.len() >= page.limit {
                listing.next = listing.records.last().map(|(id, _)| *id).or(page.after);
                break;
            }
            listing.records.push((*id, (**record).clone()));
        }
        listing
    }
}

impl Store for MemoryStore {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        Box::pin(async move { self.apply(swap) })
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(async move {
            let mut inner = self.inner();
            let at = inner.clock.read().at;
            Ok(Loaded { record: inner.records.get(&id).map(|record| (**record).clone()), at })
        })
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>> {
        Box::pin(async move {
            let inner = self.inner();
            let due = inner.due.iter().take_while(|(due, _)| *due <= before).take(limit);
            let found = due.filter_map(|(_, id)| Some((*id, (**inner.records.get(id)?).clone())));
            Ok(found.collect())
        })
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move { Ok(self.inner().page(filter, page)) })
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        Box::pin(async move {
            let reading = self.inner().clock.read();
            Ok(Status {
                incarnation: self.incarnation,
                birth: Timestamp::ZERO,
                at: reading.at,
                deletion_paused: reading.deletion_paused,
            })
        })
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        Box::pin(async move {
            let mut inner = self.inner();
            Ok(match inner.check {
                Some(kept) if kept == check => Bound::Same,
                Some(_) => Bound::Other,
                // Records of an unknown secret: all of their keys would look new under this one.
                None if !inner.records.is_empty() => Bound::Other,
                None => {
                    inner.check = Some(check);
                    Bound::First
                }
            })
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "memory",
            survives_process_crash: false,
            survives_power_loss: false,
            survives_failover: false,
            expires_in_bulk: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use semel_core::machine::{Claim, Event, Outcome, Write, step};
    use semel_core::{
        Digest, Effect, Fence, Fingerprint, Owner, Policy, Sealed, SealedUnder, Settled, Span,
    };

    use super::*;
    use crate::entropy::SystemEntropy;
    use crate::time::ManualClock;

    const START: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);
    const REPLY: usize = 1000;

    fn store(keys: usize) -> (Arc<ManualClock>, MemoryStore) {
        let clock = Arc::new(ManualClock::at(START));
        let each = OVERHEAD_MAX + INDEX_BYTES + REPLY;
        let store = MemoryStore::new(clock.clone(), &SystemEntropy)
            .with_reply_cap(REPLY)
            .with_capacity(keys * each);
        (clock, store)
    }

    fn id(n: u8) -> RecordId {
        RecordId([n; 32])
    }

    /// Reads, decides, writes.
    fn act(store: &MemoryStore, id: RecordId, event: &Event) -> Result<Swapped, StoreError> {
        let (current, at) = {
            let mut inner = store.inner();
            let at = inner.clock.read().at;
            (inner.records.get(&id).map(|record| (**record).clone()), at)
        };
        let write = match step(current.as_ref(), event, at, &Policy::default()).write {
            Write::Put(record) => Put::Record(record),
            Write::Delete => Put::Delete,
            Write::Keep => panic!("{event:?} writes nothing to {current:?}"),
        };
        store.apply(Swap {
            id,
            incarnation: store.incarnation,
            expected: current.map(|record| record.version()),
            write,
            deadline: at.plus(Span::from_secs(1)),
        })
    }

    fn claim() -> Event {
        let fingerprint = Fingerprint::default();
        Event::Claim(Claim { owner: Owner([1; 16]), fingerprint, key_time: None })
    }

    fn settle(bytes: usize) -> Event {
        let sealed = Sealed { under: SealedUnder::Caller, bytes: vec![0; bytes].into() };
        let done = Settled {
            digest: Some(Digest([0; 16])),
            status: Some(200),
            effect: Effect::Done,
            reply: StoredReply::Sealed(sealed),
        };
        Event::Settle(Fence(START.as_unix_ms()), Outcome::Done(done))
    }

    #[test]
    fn a_full_store_refuses_new_keys_and_strands_no_settle() {
        let (_, store) = store(2);
        for n in [1, 2] {
            assert!(act(&store, id(n), &claim()).is_ok());
        }
        let full = act(&store, id(3), &claim());
        assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
        assert!(act(&store, id(1), &settle(REPLY)).is_ok(), "its room was set aside");
        let full = act(&store, id(3), &claim());
        assert!(matches!(full, Err(StoreError::Full { .. })), "the reply fills the room: {full:?}");
        assert!(act(&store, id(2), &settle(2 * REPLY)).is_ok(), "what has run is always settled");
    }

    #[test]
    fn a_settle_gives_back_the_room_that_its_reply_did_not_need() {
        let (_, store) = store(2);
        for n in [1, 2] {
            assert!(act(&store, id(n), &claim()).is_ok());
            assert!(act(&store, id(n), &settle(0)).is_ok());
        }
        assert!(act(&store, id(3), &claim()).is_ok());
    }

    #[test]
    fn a_deleted_key_gives_back_all_its_room() {
        let (clock, store) = store(1);
        assert!(act(&store, id(1), &claim()).is_ok());
        let released = Event::Settle(Fence(START.as_unix_ms()), Outcome::Released);
        assert!(act(&store, id(1), &released).is_ok());
        clock.advance(Policy::default().retention);
        assert!(act(&store, id(1), &Event::Sweep).is_ok());
        let inner = store.inner();
        assert_eq!((inner.charged, inner.records.len(), inner.due.len()), (0, 0, 0));
    }

    #[test]
    fn a_released_key_is_claimed_again_only_where_there_is_room() {
        let (_, store) = store(2);
        for n in [1, 2] {
            assert!(act(&store, id(n), &claim()).is_ok());
        }
        let released = Event::Settle(Fence(START.as_unix_ms()), Outcome::Released);
        assert!(act(&store, id(1), &released).is_ok());
        store.inner().charged += REPLY; // somebody else took the room
        let full = act(&store, id(1), &claim());
        assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
    }

    #[test]
    fn nothing_is_deleted_while_the_clock_looks_wrong() {
        let (clock, store) = store(1);
        assert!(act(&store, id(1), &claim()).is_ok());
        let released = Event::Settle(Fence(START.as_unix_ms()), Outcome::Released);
        assert!(act(&store, id(1), &released).is_ok());
        clock.set(START.plus(Policy::default().retention));
        let refused = act(&store, id(1), &Event::Sweep);
        assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
        assert!(act(&store, id(1), &claim()).is_ok(), "all else goes on");
    }
}
