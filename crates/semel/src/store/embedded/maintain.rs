//! Maintenance: everything that need not be done before an answer. It runs beside the committer and
//! asks it (through [`Hand`]) only for what must be in order with the writes.
//!
//! A segment leaves in this order, so that a crash at any point leaves each key known once or twice,
//! never not at all:
//! 1. What must stay (in flight, in doubt, not yet at its end) is written once more at the log's end.
//! 2. What is used up goes into a new table of spent keys; synced, and its name as well.
//! 3. `STORE` names the table and the next segment as the first. This is the commit point.
//! 4. The table is shown to readers, then the keys leave the index, then the segment is let go.
//!
//! Segments leave strictly from the oldest on. So no older write of a key can outlive a newer one,
//! and a key that was forgotten cannot come back.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use semel_core::machine::{Event, Write, step};
use semel_core::{Policy, Record, RecordId, Span, State, StoreError, Timestamp};

use super::batch::Kind;
use super::entry::{Class, Entry, record_end};
use super::index::Place;
use super::index_file::Summary;
use super::segment::{FIRST_BATCH, Segment, batch_at, index_name, read_all, scan, spent_name};
use super::shared::{Shared, held};
use super::spent::{SpentEntry, TableWriter};
use super::supply::is_full;

/// What only the committer may do.
pub(super) trait Hand {
    fn carry(&mut self, frames: Vec<(RecordId, Place)>) -> Result<(), StoreError>;
    fn forget(&mut self, gone: Vec<Leaves>) -> Result<(), StoreError>;
    /// Begins a new segment if the present one is in use.
    fn rotate(&mut self) -> Result<(), StoreError>;
}

/// The frame of a key that leaves the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaves {
    pub(super) tag: u64,
    pub(super) place: Place,
    pub(super) class: Class,
}

/// What one round of maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintained {
    /// Index files written.
    pub indexed: usize,
    /// Segments let go.
    pub retired: usize,
    /// Records written once more because they outlive their segment.
    pub carried: usize,
    /// Keys that are from now on only known as used up.
    pub distilled: usize,
    /// Keys forgotten.
    pub forgotten: usize,
    /// Tables of spent keys merged or dropped.
    pub tables: usize,
}

/// Segments that leave in one round, which share one table of spent keys.
const RUN: usize = 16;
/// Frames per request to the committer: it does not keep its callers waiting.
const CARRY: usize = 64;
const FORGET: usize = 256;
/// The mark on disk may lag so far behind; every batch carries a newer one anyhow.
const MARK_LAG: Span = Span::from_secs(600);

#[derive(Debug)]
pub(super) struct Maintenance {
    pub(super) shared: Arc<Shared>,
    indexed: BTreeSet<u32>,
    /// Bytes in the segment of that number that are at their end and were carried all the same.
    stuck: (u32, u64),
    done: Maintained,
}

fn failed(what: &str, error: &io::Error) -> StoreError {
    if is_full(error) {
        return StoreError::Full { what: format!("{what}: {error}") };
    }
    StoreError::Unavailable { reason: format!("{what}: {error}") }
}

/// What becomes of one key when its segment leaves.
enum Verdict {
    Carry,
    Spent(SpentEntry),
    Gone,
}

/// What a segment's leaving comes to.
#[derive(Default)]
struct Plan {
    carry: Vec<(RecordId, Place)>,
    spent: Vec<SpentEntry>,
    leaves: Vec<Leaves>,
    /// Bytes of what is carried though it is at its end.
    stuck: u64,
}

impl Maintenance {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, indexed: BTreeSet::new(), stuck: (0, 0), done: Maintained::default() }
    }

    /// One round.
    pub(super) fn run(&mut self, hand: &mut dyn Hand) -> Result<Maintained, StoreError> {
        self.done = Maintained::default();
        self.shared.check_poison()?;
        match self.shared.stock() {
            Err(error) if !is_full(&error) => return Err(failed("stocking segments", &error)),
            Err(_) | Ok(()) => {}
        }
        self.index_sealed()?;
        let reading = self.shared.clock.read();
        if reading.deletion_paused.is_none() {
            let now = reading.at;
            self.rotate_stale(now, hand)?;
            while self.retire(now, hand)? {}
            self.done.tables = self.shared.tend_tables(now)?;
        }
        self.keep_mark()?;
        Ok(self.done)
    }

    /// Writes the index files of segments that have none.
    fn index_sealed(&mut self) -> Result<(), StoreError> {
        for segment in self.shared.sealed() {
            if self.indexed.contains(&segment.id) {
                continue;
            }
            if Summary::read(&*self.shared.disk, segment.id).is_none() {
                self.index_one(&segment).map_err(|error| failed("an index file", &error))?;
                self.done.indexed += 1;
            }
            self.indexed.insert(segment.id);
        }
        Ok(())
    }

    /// The sequence of the first batch of a segment; of the next one's, if it took none.
    fn first_sequence(&self, id: u32, bytes: &[u8]) -> io::Result<u64> {
        if let Some(first) = batch_at(bytes, id, FIRST_BATCH) {
            return Ok(first.sequence);
        }
        let (first_segment, first_sequence) = {
            let manifest = held(&self.shared.manifest);
            (manifest.first_segment, manifest.first_sequence)
        };
        if id == first_segment {
            return Ok(first_sequence);
        }
        let before = Summary::read(&*self.shared.disk, id - 1);
        let before = before.ok_or_else(|| io::Error::other("an index file is gone"))?;
        Ok(before.next_sequence)
    }

    fn index_one(&self, segment: &Segment) -> io::Result<()> {
        let bytes = read_all(&*segment.file)?;
        let found = scan(&bytes, segment.id, self.first_sequence(segment.id, &bytes)?);
        let (summary, _) = Summary::of(segment.id, &bytes, &found);
        let used = held(&self.shared.tallies).get(&segment.id).map_or(0, |tally| tally.used);
        if u64::from(summary.end) < used {
            // Opening would believe the index file; it must not hide what is damaged.
            return Err(io::Error::other("a full segment does not read to its end"));
        }
        summary.write(&*self.shared.disk)?;
        let unused = u64::from(segment.room(summary.end));
        if unused > self.shared.options.longest_batch() {
            segment.file.truncate(u64::from(summary.end))?;
            segment.file.sync_data()?;
        }
        Ok(())
    }

    fn active(&self) -> u32 {
        self.shared.active.load(Ordering::Acquire)
    }

    fn stuck_in(&self, segment: u32) -> u64 {
        if self.stuck.0 == segment { self.stuck.1 } else { 0 }
    }

    /// An idle log still has to let its oldest records go, and only a segment that takes no more
    /// writes can leave. What would only be carried once more is no reason to.
    fn rotate_stale(&self, now: Timestamp, hand: &mut dyn Hand) -> Result<(), StoreError> {
        let width = self.shared.options.bucket_width;
        let active = self.active();
        let stuck = self.stuck_in(active);
        let stale = {
            let tallies = held(&self.shared.tallies);
            let ended = tallies.get(&active).map_or(0, |tally| tally.ended(now, width));
            let live = tallies.get(&active).map_or(0, |tally| tally.live_after(now, width));
            ended > stuck && ended >= live
        };
        if stale { hand.rotate() } else { Ok(()) }
    }

    /// How many of the oldest segments may leave now.
    fn leaving(&self, now: Timestamp) -> Vec<Arc<Segment>> {
        let width = self.shared.options.bucket_width;
        let tallies = held(&self.shared.tallies);
        let used: u64 = tallies.values().map(|tally| tally.used).sum();
        let ended: u64 = tallies.values().map(|tally| tally.ended(now, width)).sum();
        // Half of the log is at its end, but something long-lived stands in front of it.
        let blocked = ended * 2 >= used;
        let soon = now.plus(width.times(2));
        let mut leaving = Vec::new();
        for segment in self.shared.sealed() {
            let Some(tally) = tallies.get(&segment.id) else { break };
            let live = tally.live_after(now, width);
            let nearly = live - tally.live_after(soon, width);
            let mostly =
                tally.ended(now, width) > 0 && live * 2 <= tally.used && nearly * 20 <= tally.used;
            let first = leaving.is_empty();
            if !(live == 0 || mostly || (blocked && first)) || !self.indexed.contains(&segment.id) {
                break;
            }
            leaving.push(segment);
            if leaving.len() == RUN {
                break;
            }
        }
        leaving
    }

    /// Lets the oldest segments go; false when none may.
    fn retire(&mut self, now: Timestamp, hand: &mut dyn Hand) -> Result<bool, StoreError> {
        self.index_sealed()?;
        let leaving = self.leaving(now);
        let Some(last) = leaving.last().map(|segment| segment.id) else { return Ok(false) };
        let mut plan = Plan::default();
        let mut first_sequence = 0;
        for segment in &leaving {
            let summary = Summary::read(&*self.shared.disk, segment.id).ok_or_else(|| {
                // Read as whole when it was written: make it anew in the next round.
                StoreError::Unavailable { reason: format!("{} is gone", index_name(segment.id)) }
            });
            let summary = summary.inspect_err(|_| {
                self.indexed.remove(&segment.id);
            })?;
            first_sequence = summary.next_sequence;
            self.plan(segment.id, &summary.entries, now, &mut plan)?;
        }
        for chunk in plan.carry.chunks(CARRY) {
            hand.carry(chunk.to_vec())?;
        }
        let active = self.active();
        self.stuck = (active, self.stuck_in(active) + plan.stuck);
        self.done.carried += plan.carry.len();
        self.done.distilled += plan.spent.len();
        self.done.forgotten += plan.leaves.len() - plan.spent.len();
        self.name_the_rest(last, first_sequence, plan.spent)?;
        for chunk in plan.leaves.chunks(FORGET) {
            hand.forget(chunk.to_vec())?;
        }
        let wholes: Vec<_> = leaving.iter().map(|s| (s.id, s.capacity)).collect();
        drop(leaving);
        for (id, capacity) in wholes {
            self.let_go(id, capacity).map_err(|error| failed("removing a segment", &error))?;
        }
        Ok(true)
    }

    fn plan(
        &self,
        segment: u32,
        entries: &[Entry],
        now: Timestamp,
        plan: &mut Plan,
    ) -> Result<(), StoreError> {
        for entry in entries {
            let place = Place::new(segment, entry.offset, entry.class == Class::Deleted);
            if !self.shared.index.holds(entry.tag, place) {
                continue;
            }
            let Some(bytes) = self.shared.frame(place)? else { continue };
            let Some((id, kind)) = bytes.frame().map(|frame| (frame.id, frame.kind)) else {
                continue;
            };
            let verdict = match kind {
                // The word that a key was forgotten must outlive what it contradicts.
                Kind::Delete if self.shared.find_spent(&id)?.is_some() => Verdict::Carry,
                Kind::Delete | Kind::Gap => Verdict::Gone,
                Kind::Put => match bytes.record(id) {
                    Ok(record) => judge(&id, &record, now),
                    Err(_) => Verdict::Carry,
                },
            };
            let leaves = Leaves { tag: entry.tag, place, class: entry.class };
            match verdict {
                Verdict::Carry => {
                    plan.carry.push((id, place));
                    plan.stuck += if entry.end <= now { u64::from(entry.len) } else { 0 };
                }
                Verdict::Spent(entry_) => {
                    plan.spent.push(entry_);
                    plan.leaves.push(leaves);
                }
                Verdict::Gone => plan.leaves.push(leaves),
            }
        }
        Ok(())
    }

    /// Writes the table and makes `STORE` name it, and the segment behind `last` as the first.
    fn name_the_rest(
        &self,
        last: u32,
        first_sequence: u64,
        mut spent: Vec<SpentEntry>,
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        let io = |error: io::Error| failed("a table of spent keys", &error);
        let mut manifest = held(&shared.manifest);
        let mut next = manifest.clone();
        next.first_segment = last + 1;
        next.first_sequence = first_sequence;
        next.high_water = shared.clock.high_water();
        let table = if spent.is_empty() {
            None
        } else {
            spent.sort_unstable();
            let number = next.next_table;
            let mut writer = TableWriter::new(&*shared.disk, number, spent.len()).map_err(io)?;
            let written = spent.iter().try_for_each(|entry| writer.push(entry));
            let table = written.and_then(|()| writer.finish()).and_then(|table| {
                shared.disk.sync_dir()?;
                Ok(table)
            });
            let table = table.inspect_err(|_| {
                // Not named yet, so nobody misses it.
                let _ = shared.disk.remove(&spent_name(number));
            });
            next.tables.push(number);
            next.next_table += 1;
            Some(table.map_err(io)?)
        };
        next.write(&*shared.disk).map_err(|error| failed("STORE", &error))?;
        *manifest = next;
        drop(manifest);
        if let Some(table) = table {
            let mut tables = shared.tables().to_vec();
            tables.push(Arc::new(table));
            shared.set_tables(tables);
        }
        Ok(())
    }

    /// Gives a segment's space back. A reader who still holds it keeps it from being recycled.
    fn let_go(&mut self, id: u32, capacity: u32) -> io::Result<()> {
        let dropped = self.shared.drop_segment(id);
        held(&self.shared.tallies).remove(&id);
        self.indexed.remove(&id);
        self.done.retired += 1;
        let unread = dropped.and_then(Arc::into_inner);
        let len = unread.as_ref().and_then(|segment| segment.file.len().ok());
        let whole = capacity == self.shared.options.segment_bytes
            && len == Some(u64::from(self.shared.options.segment_bytes));
        self.shared.recycle(id, whole)?;
        match self.shared.disk.remove(&index_name(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) | Ok(()) => self.shared.disk.sync_dir(),
        }
    }

    fn keep_mark(&self) -> Result<(), StoreError> {
        let mut manifest = held(&self.shared.manifest);
        let mark = self.shared.clock.high_water();
        if mark.since(manifest.high_water) > MARK_LAG {
            let mut next = manifest.clone();
            next.high_water = mark;
            next.write(&*self.shared.disk).map_err(|error| failed("STORE", &error))?;
            *manifest = next;
        }
        Ok(())
    }
}

/// Applies the machine's sweep until nothing more is due, and says where the key goes.
fn judge(id: &RecordId, record: &Record, now: Timestamp) -> Verdict {
    if matches!(record.state, State::InFlight | State::InDoubt(_)) || record_end(record) > now {
        return Verdict::Carry;
    }
    let mut record = record.clone();
    loop {
        match step(Some(&record), &Event::Sweep, now, &Policy::default()).write {
            Write::Delete => return Verdict::Gone,
            Write::Put(next) => record = Record { stamp: now, ..next },
            Write::Keep => break,
        }
    }
    SpentEntry::of(id, &record).map_or(Verdict::Carry, Verdict::Spent)
}
