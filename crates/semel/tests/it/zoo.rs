//! Broken stores, each of which the store suite must catch; and the same store whole, which it must
//! pass. The whole one survives a kill, so every case is seen to pass and what it guards to fail.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};

use semel::store::StoreClock;
use semel::time::{ManualClock, WallClock};
use semel_core::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Put, Status, Swap, Swapped,
};
use semel_core::suite::{self, Harness};
use semel_core::{
    Fence, Incarnation, Record, RecordId, Span, State, Store, StoreError, StoredReply, Timestamp,
};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    IgnoresVersion,
    IgnoresFence,
    IgnoresRevision,
    IgnoresDeadline,
    RefusesLateButApplies,
    IgnoresIncarnation,
    KeepsCallersStamp,
    Evicts,
    AnswersFirst,
    ConflictWithoutRecord,
    ConflictWrites,
    DeleteIgnoresVersion,
    CutsReplies,
    LosesFlags,
    ForgetsDoubt,
    DeletesAfterJump,
    BindsAnySecret,
    BindsOverRecords,
    DueUnordered,
    DueMissesTheMoment,
    ListSkips,
    ListDoubles,
    FilterIgnoresState,
    ChecksThenWrites,
    HalfWrites,
    ForgetsOnReopen,
    ForgetsLastOnReopen,
    ForgetsSecretOnReopen,
    OtherLifeOnReopen,
}

/// What is "on disk".
#[derive(Debug)]
struct Disk {
    clock: StoreClock,
    incarnation: Incarnation,
    records: BTreeMap<RecordId, Record>,
    check: Option<[u8; 16]>,
    /// What stood before the last write.
    before_last: Option<(RecordId, Option<Record>)>,
    /// Acknowledged, and not yet there.
    later: Option<(RecordId, Option<Record>)>,
}

impl Disk {
    fn set(&mut self, id: RecordId, record: Option<Record>) {
        let before = match record {
            Some(record) => self.records.insert(id, record),
            None => self.records.remove(&id),
        };
        self.before_last = Some((id, before));
    }
}

#[derive(Debug)]
struct Plain {
    fault: Option<Fault>,
    disk: Arc<Mutex<Disk>>,
}

impl Plain {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The version as this store compares it.
    fn seen(&self, record: &Record) -> (Fence, u32) {
        let version = record.version();
        let fence = if self.is(Fault::IgnoresFence) { Fence(0) } else { version.fence };
        (fence, if self.is(Fault::IgnoresRevision) { 0 } else { version.revision })
    }

    fn matches(&self, current: Option<&Record>, swap: &Swap) -> bool {
        if self.is(Fault::IgnoresVersion) && current.is_some() == swap.expected.is_some()
            || self.is(Fault::DeleteIgnoresVersion) && swap.write == Put::Delete
        {
            return true;
        }
        let expected = swap.expected.map(|version| {
            let fence = if self.is(Fault::IgnoresFence) { Fence(0) } else { version.fence };
            (fence, if self.is(Fault::IgnoresRevision) { 0 } else { version.revision })
        });
        current.map(|record| self.seen(record)) == expected
    }

    /// The record as this store keeps it.
    fn kept(&self, record: &Record, at: Timestamp) -> Record {
        let mut kept = Record { stamp: at, ..record.clone() };
        if self.is(Fault::KeepsCallersStamp) {
            kept.stamp = record.stamp;
        }
        if self.is(Fault::LosesFlags) {
            kept.earlier_doubt = false;
        }
        if let Some(StoredReply::Sealed(sealed)) = kept.outcome.as_mut().map(|o| &mut o.reply)
            && self.is(Fault::CutsReplies)
        {
            sealed.bytes.truncate(65_536);
        }
        kept
    }

    /// What stands in the way of the swap, if anything.
    fn refuse(&self, swap: &Swap) -> Option<Result<Swapped, StoreError>> {
        let mut disk = self.disk();
        let reading = disk.clock.read();
        let (at, found) = (reading.at, disk.incarnation);
        if swap.incarnation != found && !self.is(Fault::IgnoresIncarnation) {
            let expected = swap.incarnation;
            return Some(Err(StoreError::WrongIncarnation { expected, found }));
        }
        if at > swap.deadline && !self.is(Fault::IgnoresDeadline) {
            let late_ms = at.since(swap.deadline).as_ms();
            if self.is(Fault::RefusesLateButApplies)
                && let Put::Record(record) = &swap.write
            {
                disk.set(swap.id, Some(self.kept(record, at)));
            }
            return Some(Err(StoreError::DeadlinePassed { late_ms }));
        }
        let current = disk.records.get(&swap.id).cloned();
        if !self.matches(current.as_ref(), swap) {
            if self.is(Fault::ConflictWrites)
                && let Put::Record(record) = &swap.write
            {
                disk.set(swap.id, Some(self.kept(record, at)));
            }
            let current = current.filter(|_| !self.is(Fault::ConflictWithoutRecord));
            return Some(Ok(Swapped::Conflict { current, at }));
        }
        let reason = reading.deletion_paused.filter(|_| swap.write == Put::Delete)?.to_owned();
        (!self.is(Fault::DeletesAfterJump)).then_some(Err(StoreError::ReadOnly { reason }))
    }

    async fn apply(&self, swap: Swap) -> Result<Swapped, StoreError> {
        if let Some(refusal) = self.refuse(&swap) {
            return refusal;
        }
        if self.is(Fault::HalfWrites) {
            self.disk().set(swap.id, None);
            tokio::task::yield_now().await;
        }
        if self.is(Fault::ChecksThenWrites) {
            tokio::task::yield_now().await;
        }
        self.write(&swap)
    }

    fn write(&self, swap: &Swap) -> Result<Swapped, StoreError> {
        let mut disk = self.disk();
        let at = disk.clock.read().at;
        // Unless it is broken, this store looks and writes under one guard.
        let whole = !self.is(Fault::ChecksThenWrites) && !self.is(Fault::HalfWrites);
        let current = disk.records.get(&swap.id).cloned();
        if whole && !self.matches(current.as_ref(), swap) {
            return Ok(Swapped::Conflict { current, at });
        }
        let record = match &swap.write {
            Put::Delete => None,
            Put::Record(record) => Some(self.kept(record, at)),
        };
        if self.is(Fault::AnswersFirst) {
            disk.later = Some((swap.id, record));
            return Ok(Swapped::Done { at });
        }
        disk.set(swap.id, record);
        if self.is(Fault::Evicts) && disk.records.len() > 1000 {
            disk.records.pop_first();
        }
        Ok(Swapped::Done { at })
    }

    /// Lets the moment pass in which an acknowledged write was not there.
    fn catch_up(&self) {
        let mut disk = self.disk();
        if let Some((id, record)) = disk.later.take() {
            disk.set(id, record);
        }
    }

    fn page(&self, filter: Filter, page: Page) -> Listing {
        let disk = self.disk();
        let mut listing = Listing::default();
        for (id, record) in &disk.records {
            let behind = match page.after {
                Some(after) if self.is(Fault::ListDoubles) => *id >= after,
                Some(after) => *id > after,
                None => true,
            };
            let loose = Filter { state: None, ..filter };
            let filter = if self.is(Fault::FilterIgnoresState) { loose } else { filter };
            if !behind || !filter.admits(record) {
                continue;
            }
            if listing.records.len() == page.limit {
                let last = listing.records.last().map(|(id, _)| *id);
                listing.next = if self.is(Fault::ListSkips) { Some(*id) } else { last };
                break;
            }
            listing.records.push((*id, record.clone()));
        }
        listing
    }

    fn due_by(&self, before: Timestamp, limit: usize) -> Vec<(RecordId, Record)> {
        let disk = self.disk();
        let mut due: Vec<_> = disk
            .records
            .iter()
            .filter_map(|(id, record)| Some((record.due()?, *id, record.clone())))
            .filter(|(due, _, _)| {
                *due < before || *due == before && !self.is(Fault::DueMissesTheMoment)
            })
            .collect();
        if !self.is(Fault::DueUnordered) {
            due.sort_by_key(|(due, id, _)| (*due, *id));
        }
        due.truncate(limit);
        due.into_iter().map(|(_, id, record)| (id, record)).collect()
    }
}

impl Store for Plain {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        Box::pin(async move {
            self.catch_up();
            self.apply(swap).await
        })
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(async move {
            let (record, at) = {
                let mut disk = self.disk();
                let at = disk.clock.read().at;
                if self.is(Fault::ForgetsDoubt) {
                    let old = at.minus(Span::from_secs(90 * 86_400));
                    disk.records.retain(|_, record| {
                        !matches!(record.state, State::InDoubt(_)) || record.stamp > old
                    });
                }
                (disk.records.get(&id).cloned(), at)
            };
            self.catch_up();
            Ok(Loaded { record, at })
        })
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>> {
        Box::pin(async move { Ok(self.due_by(before, limit)) })
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move { Ok(self.page(filter, page)) })
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        Box::pin(async move {
            let mut disk = self.disk();
            let reading = disk.clock.read();
            let (at, deletion_paused) = (reading.at, reading.deletion_paused);
            let birth = Timestamp::ZERO;
            Ok(Status { incarnation: disk.incarnation, birth, at, deletion_paused })
        })
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        Box::pin(async move {
            let mut disk = self.disk();
            let foreign = disk.check.is_none() && !disk.records.is_empty();
            Ok(match disk.check {
                Some(kept) if kept == check || self.is(Fault::BindsAnySecret) => Bound::Same,
                Some(_) => Bound::Other,
                None if foreign && !self.is(Fault::BindsOverRecords) => Bound::Other,
                None => {
                    disk.check = Some(check);
                    Bound::First
                }
            })
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "plain",
            survives_process_crash: true,
            survives_power_loss: false,
            survives_failover: false,
            expires_in_bulk: false,
        }
    }
}

/// Makes plain stores with one fault, or none.
struct Zoo {
    fault: Option<Fault>,
    clock: Arc<ManualClock>,
    disk: Arc<Mutex<Disk>>,
}

impl Zoo {
    fn new(fault: Option<Fault>) -> Self {
        let start = Timestamp::from_unix_ms(1_750_000_000_000);
        let clock = Arc::new(ManualClock::at(start));
        let disk = Arc::new(Mutex::new(Self::empty(&clock)));
        Self { fault, clock, disk }
    }

    fn empty(clock: &Arc<ManualClock>) -> Disk {
        Disk {
            clock: StoreClock::new(clock.clone(), Timestamp::ZERO),
            incarnation: Incarnation([1; 16]),
            records: BTreeMap::new(),
            check: None,
            before_last: None,
            later: None,
        }
    }

    fn open(&self) -> BoxFuture<'static, Arc<dyn Store>> {
        let store: Arc<dyn Store> = Arc::new(Plain { fault: self.fault, disk: self.disk.clone() });
        Box::pin(async move { store })
    }
}

impl Harness for Zoo {
    fn fresh(&mut self) -> BoxFuture<'_, Arc<dyn Store>> {
        self.disk = Arc::new(Mutex::new(Self::empty(&self.clock)));
        self.open()
    }

    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Store>> {
        {
            let mut disk = self.disk.lock().unwrap();
            match self.fault {
                Some(Fault::ForgetsOnReopen) => disk.records.clear(),
                Some(Fault::ForgetsLastOnReopen) => {
                    if let Some((id, before)) = disk.before_last.take() {
                        disk.set(id, before);
                    }
                }
                Some(Fault::ForgetsSecretOnReopen) => disk.check = None,
                Some(Fault::OtherLifeOnReopen) => disk.incarnation = Incarnation([2; 16]),
                _ => {}
            }
        }
        self.open()
    }

    fn advance(&mut self, span: Span) {
        self.clock.advance(span);
    }

    fn jump(&mut self, span: Span) {
        self.clock.set(self.clock.now().plus(span));
    }
}

mod whole {
    use super::Zoo;

    semel_core::store_suite!(Zoo::new(None));
}

macro_rules! caught {
    ($($name:ident: $fault:ident by $topic:ident::$($case:ident)+;)+) => {$(
        #[test]
        fn $name() {
            $(
                let case = || suite::run(suite::$topic::$case(Zoo::new(Some(Fault::$fault))));
                assert!(
                    catch_unwind(AssertUnwindSafe(case)).is_err(),
                    "`{}` passes a store that has the fault {:?}", stringify!($case), Fault::$fault
                );
            )+
        }
    )+};
}

caught! {
    one_that_ignores_the_version: IgnoresVersion
        by register::a_version_is_fence_and_revision a_conflict_changes_nothing;
    one_that_ignores_the_fence: IgnoresFence by register::a_version_is_fence_and_revision;
    one_that_ignores_the_revision: IgnoresRevision by register::a_version_is_fence_and_revision;
    one_that_ignores_the_deadline: IgnoresDeadline
        by register::a_write_past_its_deadline_is_not_applied;
    one_that_applies_what_it_refused: RefusesLateButApplies
        by register::a_write_past_its_deadline_is_not_applied;
    one_that_ignores_the_incarnation: IgnoresIncarnation
        by register::another_incarnation_is_refused_before_anything;
    one_that_keeps_the_callers_stamp: KeepsCallersStamp by register::the_stamp_is_the_stores_own;
    one_that_evicts: Evicts by register::nothing_is_evicted;
    one_that_answers_before_it_applies: AnswersFirst
        by register::an_answer_means_that_it_is_there;
    one_whose_conflict_is_empty: ConflictWithoutRecord by register::a_new_key_is_written_once;
    one_whose_conflict_writes: ConflictWrites by register::a_conflict_changes_nothing;
    one_that_deletes_any_version: DeleteIgnoresVersion
        by register::a_conflict_changes_nothing a_deleted_key_can_be_claimed_again;
    one_that_cuts_replies: CutsReplies by register::a_large_reply_comes_back_byte_for_byte;
    one_that_loses_a_flag: LosesFlags by register::every_shape_of_record_comes_back_as_it_was;
    one_that_deletes_after_a_jump: DeletesAfterJump
        by register::nothing_is_deleted_after_a_jump_of_the_clock;
    one_that_takes_any_secret: BindsAnySecret by register::the_secret_is_bound_once;
    one_that_binds_over_records: BindsOverRecords
        by register::records_without_a_bound_secret_belong_to_another;
    one_that_forgets_doubt: ForgetsDoubt by life::doubt_is_kept_without_limit;
    one_whose_due_is_unordered: DueUnordered by listing::due_is_ordered_and_complete;
    one_whose_due_misses_the_moment: DueMissesTheMoment by listing::due_is_ordered_and_complete;
    one_whose_pages_skip: ListSkips by listing::pages_come_in_the_order_of_ids
        pages_have_no_gap_or_double_while_writes_go_on;
    one_whose_pages_overlap: ListDoubles by listing::pages_come_in_the_order_of_ids
        pages_have_no_gap_or_double_while_writes_go_on;
    one_whose_filter_is_loose: FilterIgnoresState by listing::filters_admit_by_state_and_age;
    one_that_checks_and_then_writes: ChecksThenWrites
        by concurrency::of_many_racers_one_wins acknowledged_versions_form_a_chain;
    one_that_writes_by_halves: HalfWrites by faults::a_dropped_settle_is_whole_or_not_at_all;
    one_that_forgets_on_reopen: ForgetsOnReopen
        by reopening::what_was_acknowledged_is_there_after_a_kill a_key_goes_on_through_many_kills;
    one_that_forgets_the_last_write_on_reopen: ForgetsLastOnReopen
        by reopening::what_was_acknowledged_is_there_after_a_kill a_key_goes_on_through_many_kills;
    one_that_forgets_its_secret: ForgetsSecretOnReopen
        by reopening::what_was_acknowledged_is_there_after_a_kill;
    one_that_comes_back_as_another: OtherLifeOnReopen
        by reopening::what_was_acknowledged_is_there_after_a_kill;
}

/// The random histories find faults by themselves, too, and name their seed.
#[test]
fn random_histories_catch_faults_by_their_seed() {
    for fault in [Fault::IgnoresRevision, Fault::ConflictWrites, Fault::ListSkips] {
        let case = || {
            suite::run(suite::histories::random_histories_agree_with_the_reference(Zoo::new(
                Some(fault),
            )));
        };
        let panic = catch_unwind(AssertUnwindSafe(case)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.starts_with("seed "), "{message}");
        let steps = message.lines().filter(|line| line.starts_with("  ")).count();
        assert!((1..=20).contains(&steps), "{fault:?}: not shrunk: {message}");
    }
}
