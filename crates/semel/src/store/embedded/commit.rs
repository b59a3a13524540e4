//! The committer: judges writes in order, puts all that wait into one batch, syncs once, and only
//! then shows and answers them.
//!
//! Synchronous and without threads: [`super::driver`] decides when it runs.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use semel_core::codec::{self, OVERHEAD_MAX};
use semel_core::store::{Put, Swap, Swapped};
use semel_core::{RecordId, Span, StoreError, Timestamp};
use tokio::sync::oneshot;

use super::batch::{BATCH_HEADER, BatchWriter, FRAME_HEADER, Kind, SECTOR};
use super::entry::{Class, Tally, record_end};
use super::index::{Place, tag};
use super::maintain::Leaves;
use super::segment::{FIRST_BATCH, Segment};
use super::shared::{At, Flight, Shared, held};
use super::staged::{Change, Current, Old, Staged};
use super::supply::is_full;
use crate::store::clock::Reading;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The segment that takes writes.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Where the next batch goes.
    pub(super) end: u32,
    /// The time bucket of its first batch.
    pub(super) bucket: u64,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) shared: Arc<Shared>,
    pub(super) active: Active,
    /// Of the next batch.
    pub(super) sequence: u64,
    /// Records on disk for whose settle room is set aside.
    pub(super) reserving: u64,
    /// The last batch said that the log was closed in good order.
    pub(super) closed: bool,
    pub(super) writer: BatchWriter,
    pub(super) staged: Staged,
    /// What supply and file system held when this batch first asked.
    pub(super) free_bytes: OnceLock<u64>,
}

impl Log {
    /// Applies `swaps` in order and answers them all.
    pub(super) fn commit(&mut self, swaps: impl IntoIterator<Item = (Swap, Reply<Swapped>)>) {
        let mut answers = Vec::new();
        let mut time = self.shared.clock.read();
        for (swap, reply) in swaps {
            if self.writer.span() >= self.shared.options.batch_bytes as usize {
                self.finish(time.at, &mut answers);
                time = self.shared.clock.read();
            }
            answers.push((reply, self.swap(swap, &time)));
        }
        self.finish(time.at, &mut answers);
    }

    /// Makes the batch durable, then answers. An answer that told of a write in the batch is only
    /// true if the batch is.
    fn finish(
        &mut self,
        now: Timestamp,
        answers: &mut Vec<(Reply<Swapped>, Result<Swapped, StoreError>)>,
    ) {
        let flushed = self.flush(now);
        for (reply, answer) in answers.drain(..) {
            // The caller may be gone; the write stands all the same.
            let _ = reply.send(match (&flushed, answer) {
                (Err(error), Ok(_)) => Err(error.clone()),
                (_, answer) => answer,
            });
        }
    }

    fn swap(&mut self, swap: Swap, time: &Reading) -> Result<Swapped, StoreError> {
        let now = time.at;
        self.shared.check_poison()?;
        let found = self.shared.incarnation;
        if swap.incarnation != found {
            return Err(StoreError::WrongIncarnation { expected: swap.incarnation, found });
        }
        if now > swap.deadline {
            return Err(StoreError::DeadlinePassed { late_ms: now.since(swap.deadline).as_ms() });
        }
        let current = self.staged.current(&self.shared, &swap.id, swap.expected)?;
        if current.version != swap.expected {
            return Ok(Swapped::Conflict { current: current.record, at: now });
        }
        if let Put::Record(mut record) = swap.write {
            record.stamp = now;
            self.stage(swap.id, &current, Put::Record(record))?;
        } else if let Some(reason) = time.deletion_paused {
            let reason = format!("deletion is paused: {reason}");
            return Err(StoreError::ReadOnly { reason });
        } else if current.version.is_some() {
            self.stage(swap.id, &current, Put::Delete)?;
        }
        Ok(Swapped::Done { at: now })
    }

    fn stage(&mut self, id: RecordId, current: &Current, new: Put) -> Result<(), StoreError> {
        let (kind, class, end, body) = match &new {
            Put::Record(record) => {
                (Kind::Put, Class::of(record), record_end(record), codec::encode(record))
            }
            Put::Delete => (Kind::Delete, Class::Deleted, Timestamp::ZERO, Vec::new()),
        };
        self.admit(current.class, class, FRAME_HEADER + body.len())?;
        let (offset, len) = self.writer.push(kind, &id, &body);
        let change = Change { old: current.old, new: Ok(new), class, end, offset, len };
        self.staged.add(id, current.class, change);
        Ok(())
    }

    /// Refuses what would eat into the room that is set aside for settles. A settle itself, and the
    /// write that declares its record in doubt, were paid for by their claim.
    fn admit(&self, was: Option<Class>, will: Class, len: usize) -> Result<(), StoreError> {
        let options = &self.shared.options;
        let longest = options.longest_frame();
        if len > longest {
            return Err(StoreError::Full {
                what: format!("one frame holds {longest} bytes at most"),
            });
        }
        let reserved = was.is_some_and(Class::reserves);
        let within = len <= FRAME_HEADER + OVERHEAD_MAX + options.reply_cap as usize;
        if reserved && within && will != Class::Flight {
            return Ok(());
        }
        self.room(will.reserves() && !reserved, len)
    }

    /// Whether there is room for a frame of `len` bytes beside all that is set aside, and for what a
    /// new claim sets aside in its turn.
    fn room(&self, claim: bool, len: usize) -> Result<(), StoreError> {
        let options = &self.shared.options;
        let reserving = self.reserving as i64 + self.staged.reserving + i64::from(claim);
        let set_aside = u64::try_from(reserving).unwrap_or(0) * options.claim_reserve();
        let batch = self.writer.span() + len + BATCH_HEADER + SECTOR;
        let margin = if claim { options.margin_bytes } else { 0 };
        let needed = set_aside + batch as u64 + margin;
        let left = u64::from(self.active.segment.room(self.active.end));
        let left = left.saturating_sub(options.longest_batch());
        if needed <= left + self.shared.free_bytes(false) || needed <= left + self.free_bytes() {
            return Ok(());
        }
        Err(StoreError::Full { what: format!("the disk of {}", self.shared.disk.place()) })
    }

    /// What supply and file system hold together, asked once a batch: only the committer takes of the
    /// supply, between batches, and what others write meanwhile would overtake any answer.
    fn free_bytes(&self) -> u64 {
        *self.free_bytes.get_or_init(|| self.shared.free_bytes(true))
    }

    fn bucket(&self, now: Timestamp) -> u64 {
        now.as_unix_ms() / self.shared.options.bucket_width.as_ms()
    }

    /// Writes and syncs the batch, then shows it.
    pub(super) fn flush(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.free_bytes.take();
        if self.writer.is_empty() {
            return Ok(());
        }
        let written = self.write(now);
        let changes = self.staged.drain();
        self.writer.clear();
        let start = written?;
        self.closed = false;
        self.show(start, changes);
        Ok(())
    }

    /// Returns where the batch begins.
    fn write(&mut self, now: Timestamp) -> Result<u32, StoreError> {
        self.shared.check_poison()?;
        let span = self.writer.span() as u32;
        let used = self.active.end > FIRST_BATCH;
        let bucket = self.bucket(now);
        let over = used && bucket > self.active.bucket;
        if over {
            self.rotate()?;
        }
        // More than once only where a segment in store is left from smaller settings.
        let longest = self.shared.options.segment_bytes - FIRST_BATCH;
        while span > self.active.segment.room(self.active.end) {
            if span > longest {
                let what = format!("{span} bytes in one write, and a segment takes {longest}");
                return Err(StoreError::Full { what });
            }
            self.rotate()?;
        }
        if self.active.end == FIRST_BATCH {
            self.active.bucket = bucket;
        }
        let (start, file) = (self.active.end, Arc::clone(&self.active.segment.file));
        let high_water = self.shared.clock.high_water();
        let id = u64::from(self.active.segment.id);
        let bytes = self.writer.seal(id, self.sequence, high_water);
        if let Err(error) = file.write_at(bytes, u64::from(start)) {
            // The half-written batch must not become whole by itself later.
            let wiped = file.write_at(&[0; SECTOR], u64::from(start));
            if is_full(&error) && wiped.is_ok() {
                return Err(StoreError::Full { what: error.to_string() });
            }
            return Err(self.shared.poison(format!("a write failed: {error}")));
        }
        if let Err(error) = file.sync_data() {
            return Err(self.shared.poison(format!("a sync failed: {error}")));
        }
        self.shared.synced.store(self.sequence, Ordering::Release);
        self.sequence += 1;
        self.active.end += span;
        Ok(start)
    }

    /// Moves on to the next segment.
    pub(super) fn rotate(&mut self) -> Result<(), StoreError> {
        let next = self.shared.take_segment().map_err(|error| {
            if is_full(&error) {
                StoreError::Full { what: error.to_string() }
            } else {
                self.shared.poison(format!("a new segment could not be made: {error}"))
            }
        })?;
        held(&self.shared.tallies).insert(next.id, Tally::default());
        let segment = self.shared.add_segment(next);
        self.shared.active.store(segment.id, Ordering::Release);
        self.active = Active { segment, end: FIRST_BATCH, bucket: 0 };
        self.shared.bell.ring();
        Ok(())
    }

    /// Shows the changes of a batch that is on disk since now.
    fn show(&mut self, start: u32, changes: Vec<(RecordId, Change)>) {
        let shared = Arc::clone(&self.shared);
        let width = shared.options.bucket_width;
        let segment = self.active.segment.id;
        let mut flights = held(&shared.flights);
        let mut tallies = held(&shared.tallies);
        tallies.entry(segment).or_default().used = u64::from(self.active.end);
        for (id, change) in changes {
            let place = Place::new(segment, start + change.offset, change.class == Class::Deleted);
            let at = At { place, len: change.len };
            if change.old.is_none() && change.class != Class::Deleted {
                shared.begun.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(old) = change.old {
                self.reserving -= u64::from(old.class.reserves());
                release(&mut tallies, &old, width);
            }
            self.reserving += u64::from(change.class.reserves());
            tallies.entry(segment).or_default().add(change.len, change.end, width);
            match &change.new {
                Ok(Put::Record(record)) if change.class == Class::Flight => {
                    let due = record.due().unwrap_or(Timestamp::NEVER);
                    flights.insert(id, Flight { version: record.version(), due, at });
                }
                Ok(Put::Record(_) | Put::Delete) | Err(_) => flights.remove(&id),
            }
            shared.index.put(tag(&id), change.old.map(|old| old.at.place), place);
        }
    }

    /// Writes frames that must outlive their segment once more, unless their key has changed since.
    /// In as many batches as it takes: a segment holds only so much.
    pub(super) fn carry(&mut self, frames: &[(RecordId, Place)]) -> Result<(), StoreError> {
        let staged = frames.iter().try_for_each(|(id, place)| self.carry_one(*id, *place));
        let carried = staged.and_then(|()| self.flush(self.shared.clock.now()));
        if carried.is_err() {
            // The next batch is of others: it must neither write these frames nor be judged by them.
            self.writer.clear();
            self.staged.drain();
            self.free_bytes.take();
        }
        carried
    }

    fn carry_one(&mut self, id: RecordId, place: Place) -> Result<(), StoreError> {
        if self.staged.has(&id) || !self.shared.index.holds(tag(&id), place) {
            return Ok(());
        }
        let Some(bytes) = self.shared.frame(place)? else { return Ok(()) };
        let at = At { place, len: bytes.len() };
        if place.deleted() {
            let old = Old { at, class: Class::Deleted, end: Timestamp::ZERO };
            return self.push_copy(id, &old, Ok(Put::Delete), &[]);
        }
        let body = bytes.body().to_vec();
        match bytes.record(id) {
            Ok(record) => self.push_copy(id, &Old::of(&record, at), Ok(Put::Record(record)), &body),
            // Written by a later Semel: carried as it is, for ever, and read by nobody here.
            Err(unread) => {
                let old = Old { at, class: Class::Ended, end: Timestamp::NEVER };
                self.push_copy(id, &old, Err(unread), &body)
            }
        }
    }

    fn push_copy(
        &mut self,
        id: RecordId,
        old: &Old,
        new: Result<Put, StoreError>,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let len = FRAME_HEADER + body.len();
        let most = self.shared.options.batch_bytes as usize;
        if !self.writer.is_empty() && self.writer.span_with(len) > most {
            self.flush(self.shared.clock.now())?;
        }
        self.room(false, len)?;
        let kind = if old.class == Class::Deleted { Kind::Delete } else { Kind::Put };
        let (offset, len) = self.writer.push(kind, &id, body);
        let change = Change { old: Some(*old), new, class: old.class, end: old.end, offset, len };
        self.staged.add(id, Some(old.class), change);
        Ok(())
    }

    /// Takes keys out of the index that a table knows now, or nobody, and gives back what was set
    /// aside for them. One that has been written again since then stays.
    pub(super) fn forget(&mut self, gone: &[Leaves]) {
        for Leaves { tag, place, class } in gone {
            if self.shared.index.remove(*tag, *place) {
                self.reserving -= u64::from(class.reserves());
            }
        }
    }

    /// Marks a good end: an empty batch, so that damage to the last real one is told from a torn
    /// write.
    pub(super) fn close(&mut self) {
        let room = self.active.segment.room(self.active.end) >= SECTOR as u32;
        if self.closed
            || !room
            || self.active.end == FIRST_BATCH
            || self.shared.poison.get().is_some()
        {
            return;
        }
        let now = self.shared.clock.now();
        self.writer.clear();
        self.closed = self.write(now).is_ok();
    }
}

/// Takes a replaced frame off its segment's account.
fn release(tallies: &mut std::collections::BTreeMap<u32, Tally>, old: &Old, width: Span) {
    if let Some(tally) = tallies.get_mut(&old.at.place.segment()) {
        tally.take(old.at.len, old.end, width);
    }
}

#[cfg(test)]
mod tests;
