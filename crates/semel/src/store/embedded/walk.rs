//! The walk over the segments at opening, and what it puts into memory.

use semel_core::{RecordId, Timestamp};

use super::batch::{BatchHeader, SECTOR};
use super::entry::{Class, Tally};
use super::error::OpenError;
use super::index::{Matches, Place};
use super::index_file::Summary;
use super::manifest::Manifest;
use super::recover::{fresh_segment, summary};
use super::segment::{
    FIRST_BATCH, Segment, batch_at, header_is_whole, number, read_all, scan, segment_name,
};
use super::shared::{At, Flight, Shared, held};

/// Where the log ends.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) active: Segment,
    pub(super) end: u32,
    /// The sequence of the next batch.
    pub(super) next: u64,
    /// Something unfinished stands behind the end.
    pub(super) torn: bool,
    /// The last batch with its offset, when it stands in the active segment.
    pub(super) last_batch: Option<(u32, Vec<u8>)>,
    /// The time of the first batch of the active segment.
    pub(super) first_time: Timestamp,
    /// The last batch marks a good end.
    pub(super) closed: bool,
    pub(super) reserving: u64,
    pub(super) segments_read: usize,
}

/// What one segment turned out to be.
#[derive(Debug)]
struct Piece {
    segment: Segment,
    summary: Summary,
    /// From its bytes; none when the index file told.
    read: Option<Read>,
}

#[derive(Debug)]
struct Read {
    ids: Vec<RecordId>,
    torn: bool,
    last_batch: Option<(u32, Vec<u8>)>,
    first_time: Timestamp,
    closed: bool,
}

pub(super) fn walk(
    shared: &Shared,
    manifest: &Manifest,
    names: &[String],
) -> Result<Ended, OpenError> {
    let mut numbers: Vec<_> = names.iter().filter_map(|n| number(n, "log-", ".seg")).collect();
    numbers.retain(|n| *n >= manifest.first_segment);
    numbers.sort_unstable();
    missing(manifest, &numbers)?;
    let mut next = manifest.first_sequence;
    // Where the run of batches stopped, for the message should a later batch be found.
    let mut stopped = (manifest.first_segment, FIRST_BATCH);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut empty: Vec<Segment> = Vec::new();
    for id in numbers {
        let piece = piece(shared, id, next, stopped)?;
        let nothing = piece.summary.next_sequence == piece.summary.first_sequence;
        if nothing && !pieces.is_empty() {
            reset(&piece)?;
            empty.push(piece.segment);
            continue;
        }
        next = piece.summary.next_sequence;
        stopped = (id, piece.summary.end);
        pieces.push(piece);
        // Segments are used in order: an empty one before a used one never took a batch.
        for skipped in empty.drain(..) {
            held(&shared.tallies).insert(skipped.id, Tally::default());
            shared.add_segment(skipped);
        }
    }
    fill(shared, pieces, empty, next)
}

fn missing(manifest: &Manifest, numbers: &[u32]) -> Result<(), OpenError> {
    let there = numbers.iter().copied().chain(numbers.is_empty().then_some(u32::MAX));
    for (wanted, number) in (manifest.first_segment..).zip(there) {
        if number != wanted {
            let file = segment_name(wanted);
            return Err(OpenError::Damaged { file, offset: 0, what: "a segment is missing" });
        }
    }
    Ok(())
}

fn piece(shared: &Shared, id: u32, expected: u64, stopped: (u32, u32)) -> Result<Piece, OpenError> {
    let name = segment_name(id);
    let file = shared.disk.open(&name).map_err(OpenError::io(name.as_str()))?;
    let capacity = file.len().map_err(OpenError::io(name.as_str()))?;
    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
    let segment = Segment { id, capacity, file };
    if let Some(summary) = summary(&*shared.disk, id, expected)
        && summary.end <= capacity
    {
        return Ok(Piece { segment, summary, read: None });
    }
    let bytes = read_all(&*segment.file).map_err(OpenError::io(name.as_str()))?;
    let found = scan(&bytes, id, expected);
    if found.beyond.is_some() {
        // The batch that is missing stands here, or, when this segment's first is already a later
        // one, where the segment before stopped.
        let starts_late = found.batches.is_empty()
            && batch_at(&bytes, id, FIRST_BATCH).is_some_and(|h| h.sequence > expected);
        let (file, offset) =
            if starts_late { (segment_name(stopped.0), stopped.1) } else { (name, found.end) };
        let what = "a batch is broken and later ones are whole";
        return Err(OpenError::Damaged { file, offset: u64::from(offset), what });
    }
    if !header_is_whole(&bytes, id) {
        return Err(OpenError::Damaged { file: name, offset: 0, what: "the segment's header" });
    }
    let last = found.batches.last();
    let read = Read {
        ids: Vec::new(),
        torn: bytes
            .get(found.end as usize..)
            .is_some_and(|rest| BatchHeader::resembles(rest, u64::from(id), found.next)),
        last_batch: last.map(|(at, header)| {
            // Of its padding something may be cut.
            let from = *at as usize;
            let mut batch = bytes[from..bytes.len().min(from + header.span())].to_vec();
            batch.resize(header.span(), 0);
            (*at, batch)
        }),
        first_time: found.batches.first().map_or(Timestamp::ZERO, |(_, h)| h.high_water),
        closed: last.is_some_and(|(_, header)| header.count == 0),
    };
    let (summary, ids) = Summary::of(id, &bytes, &found);
    Ok(Piece { segment, summary, read: Some(Read { ids, ..read }) })
}

/// Clears the place of the first batch of a segment that took none: a write that was torn there
/// must not stand beside one of the same number.
fn reset(piece: &Piece) -> Result<(), OpenError> {
    if piece.read.as_ref().is_some_and(|read| read.torn) {
        let file = &piece.segment.file;
        let cleared =
            file.write_at(&[0; SECTOR], u64::from(FIRST_BATCH)).and_then(|()| file.sync_data());
        cleared.map_err(OpenError::io(segment_name(piece.segment.id)))?;
    }
    Ok(())
}

/// Puts all segments into memory and decides which one goes on.
fn fill(
    shared: &Shared,
    mut pieces: Vec<Piece>,
    empty: Vec<Segment>,
    next: u64,
) -> Result<Ended, OpenError> {
    let keys: usize = pieces.iter().map(|piece| piece.summary.entries.len()).sum();
    shared.index.reserve(keys);
    {
        let mut supply = held(&shared.supply);
        let last = pieces.last().map_or(1, |piece| piece.segment.id);
        supply.next_segment = empty.last().map_or(last, |segment| segment.id) + 1;
        supply.ready.extend(empty);
        shared.note(&supply);
    }
    let mut reserving = 0;
    let mut segments_read = 0;
    // From the newest on: what an older segment says of a key that is known by then is superseded.
    for piece in pieces.iter_mut().rev() {
        shared.clock.believe(piece.summary.high_water);
        shared.add_segment(piece.segment.clone());
        segments_read += usize::from(piece.read.is_some());
        reserving += index_piece(shared, piece)?;
    }
    let last = pieces.pop();
    let (active, read, end) = match last {
        // What has an index file takes no more writes.
        Some(Piece { segment, summary, read: Some(read) }) => (segment, Some(read), summary.end),
        _ => {
            let segment = fresh_segment(shared)?;
            shared.add_segment(segment.clone());
            (segment, None, FIRST_BATCH)
        }
    };
    Ok(Ended {
        active,
        end,
        next,
        torn: read.as_ref().is_some_and(|read| read.torn),
        first_time: read.as_ref().map_or(Timestamp::ZERO, |read| read.first_time),
        closed: read.as_ref().is_some_and(|read| read.closed),
        last_batch: read.and_then(|read| read.last_batch),
        reserving,
        segments_read,
    })
}

/// Returns how many of its records reserve room.
fn index_piece(shared: &Shared, piece: &mut Piece) -> Result<u64, OpenError> {
    let width = shared.options.bucket_width;
    let segment = piece.segment.id;
    let mut tally = Tally::default();
    tally.used = u64::from(piece.summary.end);
    let mut reserving = 0;
    let ids = piece.read.as_mut().map(|read| std::mem::take(&mut read.ids));
    for (n, entry) in piece.summary.entries.iter().enumerate() {
        let place = Place::new(segment, entry.offset, entry.class == Class::Deleted);
        let known = ids.as_ref().and_then(|ids| ids.get(n).copied());
        let id = || known.map_or_else(|| id_at(shared, place), Ok);
        if let Some(matches) = shared.index.add(entry.tag, place) {
            if superseded(shared, &matches, id()?)? {
                continue;
            }
            // Another key with the same first eight bytes.
            shared.index.put(entry.tag, None, place);
        }
        if entry.class == Class::Flight {
            remember_flight(shared, id()?, At { place, len: entry.len })?;
        }
        reserving += u64::from(entry.class.reserves());
        tally.add(entry.len, entry.end, width);
    }
    held(&shared.tallies).insert(segment, tally);
    Ok(reserving)
}

/// Whether one of these places holds a record of the same key, which is then a later one.
fn superseded(shared: &Shared, matches: &Matches, id: RecordId) -> Result<bool, OpenError> {
    for later in matches.iter() {
        if id_at(shared, later)? == id {
            return Ok(true);
        }
    }
    Ok(false)
}

fn damaged(place: Place) -> OpenError {
    OpenError::Damaged {
        file: segment_name(place.segment()),
        offset: u64::from(place.offset()),
        what: "a frame does not read",
    }
}

fn id_at(shared: &Shared, place: Place) -> Result<RecordId, OpenError> {
    let bytes = shared.frame(place).ok().flatten().ok_or_else(|| damaged(place))?;
    bytes.frame().map(|frame| frame.id).ok_or_else(|| damaged(place))
}

fn remember_flight(shared: &Shared, id: RecordId, at: At) -> Result<(), OpenError> {
    let bytes = shared.frame(at.place).ok().flatten().ok_or_else(|| damaged(at.place))?;
    let record = bytes.record(id).map_err(|_| damaged(at.place))?;
    let due = record.due().unwrap_or(Timestamp::NEVER);
    held(&shared.flights).insert(id, Flight { version: record.version(), due, at });
    Ok(())
}
