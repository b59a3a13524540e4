//! The plain map that random histories are judged by.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::DEADLINE;
use super::faults::dropped_after;
use super::histories::{Deed, KEYS, Operation};
use super::rig::Rig;
use super::samples::{claim, done, id, in_flight, settle};
use super::{Harness, Loss, Lossy};
use crate::id::{Fence, Incarnation, RecordId, Version};
use crate::machine::{Event, Outcome, Resolution, Write, step};
use crate::policy::{OnLapse, Policy};
use crate::record::{Record, State};
use crate::store::{Filter, Page, Put, Store, StoreError, Swap, Swapped};
use crate::time::{Span, Timestamp};

/// How the store and the reference differ.
type Judgement<T = ()> = Result<T, String>;

/// A harness that is lent for one history.
struct Lent<'a, H>(&'a mut H);

impl<H: Harness> Harness for Lent<'_, H> {
    fn fresh(&mut self) -> crate::store::BoxFuture<'_, Arc<dyn Store>> {
        self.0.fresh()
    }

    fn reopen(&mut self) -> crate::store::BoxFuture<'_, Arc<dyn Store>> {
        self.0.reopen()
    }

    fn advance(&mut self, span: Span) {
        self.0.advance(span);
    }

    fn jump(&mut self, span: Span) {
        self.0.jump(span);
    }

    fn maintain(&mut self) -> crate::store::BoxFuture<'_, ()> {
        self.0.maintain()
    }

    fn bulk_delay(&self) -> Span {
        self.0.bulk_delay()
    }
}

/// A store under test and what it should hold.
pub(super) struct Reference<'a, H> {
    rig: Rig<Lent<'a, H>>,
    records: BTreeMap<RecordId, Record>,
    /// The versions that each key has had, the latest last.
    versions: BTreeMap<RecordId, Vec<Version>>,
    /// The latest time that the store has told.
    time: Timestamp,
}

impl<'a, H: Harness> Reference<'a, H> {
    /// Runs a history on a fresh store; on a difference, tells at which operation, and which.
    pub(super) async fn judge(
        harness: &'a mut H,
        operations: &[Operation],
    ) -> Result<(), (usize, String)> {
        let rig = Rig::new(Lent(harness)).await;
        let (records, versions) = (BTreeMap::new(), BTreeMap::new());
        let mut reference = Self { rig, records, versions, time: Timestamp::ZERO };
        for (at, operation) in operations.iter().enumerate() {
            reference.run(*operation).await.map_err(|difference| (at, difference))?;
        }
        let end = operations.len().saturating_sub(1);
        reference.look_at_all().await.map_err(|difference| (end, difference))
    }

    async fn run(&mut self, operation: Operation) -> Judgement {
        match operation {
            Operation::Act { key, deed } => self.act(id(key), deed).await,
            Operation::Lose { key, deed, loss } => self.lose(id(key), deed, loss).await,
            Operation::Drop { key, deed, polls } => self.drop_swap(id(key), deed, polls).await,
            Operation::Raw { key, back, delete } => self.raw(id(key), back, delete).await,
            Operation::Late { key } => self.late(id(key)).await,
            Operation::Stranger { key } => self.stranger(id(key)).await,
            Operation::Advance(span) => {
                self.rig.harness.advance(span);
                Ok(())
            }
            Operation::Sweep { limit } => self.sweep(limit).await,
            Operation::List { limit } => self.list(limit).await,
            Operation::Reopen if self.rig.store.capabilities().survives_process_crash => {
                self.rig.reopen().await;
                self.look_at_all().await
            }
            // What such a store does after a kill has its own cases.
            Operation::Reopen => self.look_at_all().await,
        }
    }

    fn tells(&mut self, at: Timestamp) -> Judgement<Timestamp> {
        if at < self.time {
            return Err(format!("time ran backwards, from {:?} to {at:?}", self.time));
        }
        self.time = at;
        Ok(at)
    }

    fn set(&mut self, id: RecordId, record: Option<Record>) {
        match record {
            Some(record) => {
                self.versions.entry(id).or_default().push(record.version());
                self.records.insert(id, record);
            }
            None => {
                self.records.remove(&id);
            }
        }
    }

    /// Loads the key and compares it.
    async fn look(&mut self, id: RecordId) -> Judgement<Timestamp> {
        let loaded = self.rig.store.load(id).await.map_err(|error| error.to_string())?;
        let at = self.tells(loaded.at)?;
        self.compare(id, loaded.record, at)?;
        Ok(at)
    }

    async fn look_at_all(&mut self) -> Judgement {
        for key in 0..KEYS {
            self.look(id(key)).await?;
        }
        Ok(())
    }

    /// What was found must be what should be there; or, in a store that expires in bulk, what a
    /// sweep would have made of it by now.
    fn compare(&mut self, id: RecordId, found: Option<Record>, at: Timestamp) -> Judgement {
        let mut due = self.records.get(&id).cloned();
        if due == found {
            return Ok(());
        }
        if self.rig.in_bulk() && shortened(due.as_ref(), found.as_ref()) {
            self.set(id, found);
            return Ok(());
        }
        while self.rig.in_bulk()
            && due.as_ref().is_some_and(|record| record.state != State::InFlight)
        {
            due = match step(due.as_ref(), &Event::Sweep, at, &Policy::default()).write {
                Write::Keep => break,
                Write::Put(record) => Some(record),
                Write::Delete => None,
            };
            if looks(due.as_ref()) == looks(found.as_ref()) {
                self.set(id, found);
                return Ok(());
            }
        }
        let expected = self.records.get(&id);
        Err(format!("of {id:?} at {at:?}: expected {expected:?}, found {found:?}"))
    }

    /// What the deed writes, if anything.
    async fn decide(&mut self, id: RecordId, deed: Deed) -> Judgement<Option<Put>> {
        let at = self.look(id).await?;
        let fence = self.records.get(&id).map_or(Fence(1), |record| record.fence);
        let rerun = matches!(deed, Deed::Claim { rerun: true, .. });
        let policy = Policy {
            on_lapse: if rerun { OnLapse::Rerun } else { OnLapse::Hold },
            retention: Span::from_secs(3600),
            memory: Span::from_secs(86_400),
            ..Policy::default()
        };
        let event = match deed {
            Deed::Claim { owner, .. } => claim(owner),
            Deed::Renew => Event::Renew(fence),
            Deed::Settle(n) => settle(fence, n),
            Deed::Release => Event::Settle(fence, Outcome::Released),
            Deed::Doubt => Event::Settle(fence, Outcome::InDoubt),
            Deed::Sweep => Event::Sweep,
            Deed::ResolveDone(n) => Event::Resolve(Resolution::Done(done(n, 30))),
            Deed::ResolveReleased => Event::Resolve(Resolution::Released),
            Deed::Void => Event::Void(None),
            Deed::Ack => Event::Ack,
            Deed::Erase => Event::Erase,
        };
        Ok(match step(self.records.get(&id), &event, at, &policy).write {
            Write::Keep => None,
            Write::Put(record) => Some(Put::Record(record)),
            Write::Delete => Some(Put::Delete),
        })
    }

    fn swap_of(&self, id: RecordId, write: Put) -> Swap {
        Swap {
            id,
            incarnation: self.rig.incarnation,
            expected: self.records.get(&id).map(Record::version),
            write,
            deadline: self.time.plus(DEADLINE),
        }
    }

    /// Sends a swap, works out what its answer must be, and compares.
    async fn send(&mut self, swap: Swap) -> Judgement {
        let (id, write) = (swap.id, swap.write.clone());
        let stands = self.records.get(&id).map(Record::version);
        let matches = stands == swap.expected;
        let expected = swap.expected;
        match self.rig.store.swap(swap).await {
            Ok(Swapped::Done { at }) if matches => {
                let at = self.tells(at)?;
                self.set(id, written(write, at));
                Ok(())
            }
            Ok(Swapped::Conflict { current, at }) => {
                let at = self.tells(at)?;
                if matches && current.as_ref().map(Record::version) == expected {
                    return Err(format!("a conflict, although {stands:?} was expected"));
                }
                self.compare(id, current, at)
            }
            other => Err(format!("{expected:?} against {stands:?}: {other:?}")),
        }
    }

    async fn act(&mut self, id: RecordId, deed: Deed) -> Judgement {
        let Some(write) = self.decide(id, deed).await? else { return Ok(()) };
        self.send(self.swap_of(id, write)).await?;
        self.look(id).await.map(drop)
    }

    async fn lose(&mut self, id: RecordId, deed: Deed, loss: Loss) -> Judgement {
        let Some(write) = self.decide(id, deed).await? else { return Ok(()) };
        let lossy = Lossy::new(self.rig.store.clone());
        lossy.lose_next(loss);
        let answer = lossy.swap(self.swap_of(id, write.clone())).await;
        if answer != Err(StoreError::Timeout) {
            return Err(format!("the write was due: {answer:?}"));
        }
        if loss == Loss::Answer {
            let found = self.rig.store.load(id).await.map_err(|error| error.to_string())?;
            let stamp = found.record.as_ref().map_or(found.at, |record| record.stamp);
            self.tells(stamp)?;
            self.set(id, written(write, stamp));
        }
        self.look(id).await.map(drop)
    }

    async fn drop_swap(&mut self, id: RecordId, deed: Deed, polls: usize) -> Judgement {
        let Some(write) = self.decide(id, deed).await? else { return Ok(()) };
        let old = self.records.get(&id).cloned();
        let dropped = dropped_after(self.rig.store.swap(self.swap_of(id, write.clone())), polls);
        let _ = dropped.await;
        // It may still land. A write of another version ends that: either it finds what the dropped
        // one left, or the dropped one will find it, and conflict.
        let fence = self.time.as_unix_ms() + 1_000_000;
        let barrier = Put::Record(match &old {
            Some(old) => Record { revision: old.revision + 100, ..old.clone() },
            None => in_flight(Fence(fence), 0),
        });
        match self.rig.store.swap(self.swap_of(id, barrier.clone())).await {
            Ok(Swapped::Done { at }) => {
                let at = self.tells(at)?;
                self.set(id, written(barrier, at));
            }
            Ok(Swapped::Conflict { current, at }) => {
                self.tells(at)?;
                let stamp = current.as_ref().map_or(at, |record| record.stamp);
                if current != written(write, stamp) {
                    return Err(format!("a dropped write left {current:?}"));
                }
                self.set(id, current);
            }
            Err(error) => return Err(error.to_string()),
        }
        self.look(id).await.map(drop)
    }

    async fn raw(&mut self, id: RecordId, back: usize, delete: bool) -> Judgement {
        self.look(id).await?;
        let versions = self.versions.get(&id).map_or(&[][..], Vec::as_slice);
        let latest = versions.last().copied();
        let expected = versions.iter().rev().nth(back).copied();
        let revision = latest.map_or(0, |version| version.revision + 1);
        let fence = latest.map_or(Fence(self.time.as_unix_ms()), |version| version.fence);
        let record = Record { revision, ..in_flight(fence, back as u64) };
        let write = if delete { Put::Delete } else { Put::Record(record) };
        let swap = Swap { expected, ..self.swap_of(id, write) };
        self.send(swap).await?;
        self.look(id).await.map(drop)
    }

    async fn late(&mut self, id: RecordId) -> Judgement {
        let at = self.look(id).await?;
        let write = Put::Record(in_flight(Fence(at.as_unix_ms()), 1));
        let deadline = at.minus(Span::from_ms(1));
        let late = Swap { deadline, ..self.swap_of(id, write) };
        let answer = self.rig.store.swap(late).await;
        if !matches!(answer, Err(StoreError::DeadlinePassed { .. })) {
            return Err(format!("a write past its deadline: {answer:?}"));
        }
        self.look(id).await.map(drop)
    }

    async fn stranger(&mut self, id: RecordId) -> Judgement {
        self.look(id).await?;
        let incarnation = Incarnation([0x55; 16]);
        let stranger = Swap { incarnation, ..self.swap_of(id, Put::Delete) };
        let answer = self.rig.store.swap(stranger).await;
        if !matches!(answer, Err(StoreError::WrongIncarnation { .. })) {
            return Err(format!("a write under another incarnation: {answer:?}"));
        }
        self.look(id).await.map(drop)
    }

    async fn sweep(&mut self, limit: usize) -> Judgement {
        self.look_at_all().await?;
        let (now, in_bulk) = (self.time, self.rig.in_bulk());
        let due = self.rig.store.due(now, limit).await.map_err(|error| error.to_string())?;
        let mut expected: Vec<Timestamp> = self
            .records
            .values()
            .filter(|record| !in_bulk || record.state == State::InFlight)
            .filter_map(Record::due)
            .filter(|due| *due <= now)
            .collect();
        expected.sort_unstable();
        expected.truncate(limit);
        let found: Vec<Timestamp> = due.iter().filter_map(|(_, record)| record.due()).collect();
        if found != expected {
            return Err(format!("due at {now:?}: expected {expected:?}, found {due:?}"));
        }
        for (id, record) in due {
            self.compare(id, Some(record), now)?;
            self.act(id, Deed::Sweep).await?;
        }
        self.rig.harness.maintain().await;
        self.look_at_all().await
    }

    async fn list(&mut self, limit: usize) -> Judgement {
        self.look_at_all().await?;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let listing = self.rig.store.list(Filter::default(), Page { after, limit }).await;
            let listing = listing.map_err(|error| error.to_string())?;
            found.extend(listing.records);
            if found.len() > KEYS as usize || listing.next.is_some_and(|next| Some(next) <= after) {
                return Err(format!("the listing does not end: {found:?}"));
            }
            after = listing.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = self.records.iter().map(|(id, r)| (*id, r.clone())).collect();
        let in_bulk = self.rig.in_bulk();
        let same = |(found, expected): (&(RecordId, Record), &(RecordId, Record))| {
            let short = in_bulk && found.0.0 == padded(&expected.0);
            found.1 == expected.1 && (found.0 == expected.0 || short)
        };
        if found.len() != expected.len() || !found.iter().zip(&expected).all(same) {
            return Err(format!("listed {found:?}, expected {expected:?}"));
        }
        Ok(())
    }
}

/// What a store that expires in bulk keeps of a record that it shortened by itself.
fn looks(record: Option<&Record>) -> Option<(State, Fence, Option<u16>)> {
    let record = record?;
    Some((record.state, record.fence, record.outcome.as_ref().and_then(|o| o.status)))
}

/// Whether a store that expires in bulk kept of a used-up record only that it is used up.
fn shortened(due: Option<&Record>, found: Option<&Record>) -> bool {
    let used_up = due.is_some_and(|record| matches!(record.state, State::Spent | State::Voided));
    used_up
        && looks(due) == looks(found)
        && due.map(Record::version) == found.map(Record::version)
        && due.map(Record::memory_end) <= found.map(Record::memory_end)
}

/// Such a store may keep the first half of an id and list it filled up with zeros.
fn padded(id: &RecordId) -> [u8; 32] {
    let mut padded = id.0;
    for byte in padded.iter_mut().skip(16) {
        *byte = 0;
    }
    padded
}

fn written(write: Put, at: Timestamp) -> Option<Record> {
    match write {
        Put::Record(record) => Some(Record { stamp: at, ..record }),
        Put::Delete => None,
    }
}
