//! A plain durable store: one write at a time, each synced by itself. It is the reference that the
//! record log is measured against, and the cage of those flaws that sit in a store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use semel::core::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Put, Status, Swap, Swapped,
};
use semel::core::{
    Incarnation, Record, RecordId, Settled, Span, State, Store, StoreError, StoredReply, Timestamp,
};
use semel::store::StoreClock;
use semel::time::WallClock;

use crate::rng::Rng;
use crate::zoo::Flaw;

/// A flawed store loses so many acknowledged writes in a crash.
const FORGOTTEN: usize = 8;
/// A flawed store forgets what ended so long ago.
const EARLY: Span = Span::from_secs(3);

/// What outlives a crash.
#[derive(Debug)]
pub struct Platter {
    incarnation: Incarnation,
    rng: Mutex<Rng>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<RecordId, Record>,
    check: Option<[u8; 16]>,
    high_water: Timestamp,
    /// A write that is under way to the disk.
    staged: Option<(RecordId, Option<Record>)>,
    /// What the latest writes replaced, for flaws that go back to it.
    replaced: Vec<(RecordId, Option<Record>)>,
}

impl Kept {
    fn put(&mut self, id: RecordId, record: Option<Record>) {
        let old = match record {
            Some(record) => self.records.insert(id, record),
            None => self.records.remove(&id),
        };
        self.replaced.push((id, old));
    }
}

impl Platter {
    /// An empty one.
    #[must_use]
    pub fn new(incarnation: Incarnation, rng: Rng) -> Self {
        Self { incarnation, rng: Mutex::new(rng), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, most: u64) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).between(1, most)
    }
}

/// The store's process.
#[derive(Debug)]
pub struct PlainStore {
    platter: Arc<Platter>,
    clock: Mutex<StoreClock>,
    /// Swaps wait here for their turn, in order.
    turn: tokio::sync::Mutex<()>,
    open: AtomicBool,
    flaw: Option<Flaw>,
}

fn down() -> StoreError {
    StoreError::Unavailable { reason: "the store's process is gone".into() }
}

impl PlainStore {
    /// Opens what the platter holds.
    #[must_use]
    pub fn open(platter: Arc<Platter>, clock: Arc<dyn WallClock>, flaw: Option<Flaw>) -> Self {
        let clock = Mutex::new(StoreClock::new(clock, platter.kept().high_water));
        let turn = tokio::sync::Mutex::new(());
        Self { platter, clock, turn, open: AtomicBool::new(true), flaw }
    }

    /// The process dies. A write under way is on the disk or not, and nobody was told which.
    pub fn crash(&self) {
        self.open.store(false, Ordering::SeqCst);
        let survived = self.platter.draw(2) == 1;
        let mut kept = self.platter.kept();
        if let Some((id, record)) = kept.staged.take()
            && survived
        {
            kept.put(id, record);
        }
        let forgets = match self.flaw {
            Some(Flaw::ForgetsAcknowledged) => FORGOTTEN,
            Some(Flaw::AnswersBeforeDurable) => 3,
            _ => 0,
        };
        for _ in 0..forgets {
            match kept.replaced.pop() {
                Some((id, Some(old))) => drop(kept.records.insert(id, old)),
                Some((id, None)) => drop(kept.records.remove(&id)),
                None => {}
            }
        }
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.open.load(Ordering::SeqCst) { Ok(()) } else { Err(down()) }
    }

    fn now(&self) -> (Timestamp, Option<&'static str>) {
        let reading = self.clock.lock().unwrap_or_else(PoisonError::into_inner).read();
        let mut kept = self.platter.kept();
        kept.high_water = kept.high_water.max(reading.at);
        (reading.at, reading.deletion_paused)
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// What a caller is shown of a record.
    fn shown(&self, id: RecordId, at: Timestamp) -> Option<Record> {
        let kept = self.platter.kept();
        let record = kept.records.get(&id).cloned();
        match (self.flaw, record) {
            (Some(Flaw::ForgetsEarly), Some(record)) => {
                let ended = matches!(record.state, State::Completed | State::Spent);
                (!ended || at < record.since().plus(EARLY)).then_some(record)
            }
            (Some(Flaw::DropsReplies), Some(record))
                if record.state == State::Completed && at >= record.since().plus(EARLY) =>
            {
                let gone = |o: Settled| Settled { reply: StoredReply::Gone, ..o };
                let outcome = record.outcome.clone().map(gone);
                Some(Record { state: State::Spent, outcome, ..record })
            }
            (Some(Flaw::ReadsStale), Some(record)) if self.platter.draw(2) == 1 => {
                let before = kept.replaced.iter().rev().find(|(replaced, _)| *replaced == id);
                before.and_then(|(_, old)| old.clone()).or(Some(record))
            }
            (_, record) => record,
        }
    }

    fn matches(&self, current: Option<&Record>, swap: &Swap) -> bool {
        let version = current.map(Record::version);
        match self.flaw {
            Some(Flaw::IgnoresVersions) => true,
            Some(Flaw::ForgetsEarly) if swap.expected.is_none() => {
                self.shown(swap.id, self.now().0).is_none()
            }
            Some(Flaw::DropsFences) => {
                version.map(|v| v.revision) == swap.expected.map(|v| v.revision)
            }
            _ => version == swap.expected,
        }
    }

    async fn apply(&self, swap: Swap) -> Result<Swapped, StoreError> {
        let _turn = self.turn.lock().await;
        self.alive()?;
        let incarnation = self.platter.incarnation;
        if swap.incarnation != incarnation {
            let expected = swap.incarnation;
            return Err(StoreError::WrongIncarnation { expected, found: incarnation });
        }
        let (at, paused) = self.now();
        if at > swap.deadline && !self.has(Flaw::IgnoresDeadlines) {
            return Err(StoreError::DeadlinePassed { late_ms: at.since(swap.deadline).as_ms() });
        }
        let current = self.platter.kept().records.get(&swap.id).cloned();
        if !self.matches(current.as_ref(), &swap) {
            return Ok(Swapped::Conflict { current: self.shown(swap.id, at), at });
        }
        let record = match swap.write {
            Put::Record(record) => Some(Record { stamp: at, ..record }),
            Put::Delete => None,
        };
        if let (None, Some(reason)) = (&record, paused) {
            return Err(StoreError::ReadOnly { reason: reason.into() });
        }
        let voids = record.as_ref().is_some_and(|record| record.state == State::Voided);
        if voids && self.has(Flaw::DropsVoids) {
            return Ok(Swapped::Done { at });
        }
        if self.has(Flaw::AnswersBeforeDurable) {
            self.platter.kept().put(swap.id, record);
            return Ok(Swapped::Done { at });
        }
        self.platter.kept().staged = Some((swap.id, record));
        tokio::time::sleep(Duration::from_millis(self.platter.draw(4))).await;
        self.alive()?;
        let mut kept = self.platter.kept();
        if let Some((id, record)) = kept.staged.take() {
            kept.put(id, record);
        }
        Ok(Swapped::Done { at })
    }

    fn due_now(&self, before: Timestamp, limit: usize) -> Vec<(RecordId, Record)> {
        if self.has(Flaw::NeverDue) {
            return Vec::new();
        }
        let kept = self.platter.kept();
        let due = |record: &Record| record.due().filter(|due| *due <= before);
        let mut found: Vec<_> =
            kept.records.iter().filter_map(|(id, r)| Some((due(r)?, *id, r.clone()))).collect();
        found.sort_by_key(|(due, id, _)| (*due, *id));
        found.into_iter().take(limit).map(|(_, id, record)| (id, record)).collect()
    }

    fn page(&self, filter: Filter, page: Page) -> Listing {
        let kept = self.platter.kept();
        let mut listing = Listing::default();
        for (id, record) in
            kept.records.iter().filter(|(id, _)| page.after.is_none_or(|a| **id > a))
        {
            if !filter.admits(record) {
                continue;
            }
            if listing.records.len() >= page.limit {
                listing.next = listing.records.last().map(|(id, _)| *id).or(page.after);
                break;
            }
            listing.records.push((*id, record.clone()));
        }
        listing
    }
}

impl Store for PlainStore {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        Box::pin(self.apply(swap))
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(async move {
            self.alive()?;
            let (at, _) = self.now();
            Ok(Loaded { record: self.shown(id, at), at })
        })
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>> {
        Box::pin(async move {
            self.alive()?;
            Ok(self.due_now(before, limit))
        })
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move {
            self.alive()?;
            Ok(self.page(filter, page))
        })
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        Box::pin(async move {
            self.alive()?;
            let (at, deletion_paused) = self.now();
            let incarnation = self.platter.incarnation;
            Ok(Status { incarnation, birth: Timestamp::ZERO, at, deletion_paused })
        })
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        Box::pin(async move {
            self.alive()?;
            let mut kept = self.platter.kept();
            Ok(match kept.check {
                Some(same) if same == check => Bound::Same,
                Some(_) => Bound::Other,
                None if !kept.records.is_empty() => Bound::Other,
                None => {
                    kept.check = Some(check);
                    Bound::First
                }
            })
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "plain",
            survives_process_crash: true,
            survives_power_loss: true,
            survives_failover: false,
            expires_in_bulk: false,
        }
    }
}
