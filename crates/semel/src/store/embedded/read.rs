//! Reading: from an id to its record, by the index, one positioned read, and a whole comparison.

use bytes::Bytes;
use semel_core::store::{Swap, Swapped};
use semel_core::{Record, RecordId, StoreError, codec};

use super::batch::{FRAME_HEADER, Frame, Kind, frame_len, parse_frame};
use super::index::{Place, tag};
use super::segment::segment_name;
use super::shared::{At, Shared};
use super::spent::TableError;

/// Most frames are shorter, so one read brings them whole.
const FIRST_READ: usize = 1024;
/// A reader may meet a segment that is being dropped; the index says then where else to look.
const TRIES: usize = 64;

/// What stands under an id.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// A record, in the log or (no place) in a table of spent keys.
    Here(Record, Option<At>),
    /// The log says that the key was forgotten.
    Deleted(At),
}

/// The bytes of one frame.
#[derive(Debug)]
pub(super) struct FrameBytes(Vec<u8>);

impl FrameBytes {
    pub(super) fn frame(&self) -> Option<Frame<'_>> {
        parse_frame(&self.0)
    }

    pub(super) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.0[FRAME_HEADER..]
    }

    pub(super) fn record(self, id: RecordId) -> Result<Record, StoreError> {
        let body = Bytes::from(self.0).slice(FRAME_HEADER..);
        codec::decode(&body).map_err(|source| StoreError::Undecodable { id, source })
    }
}

fn damaged(place: Place, what: &str) -> StoreError {
    let file = segment_name(place.segment());
    let at = place.offset();
    StoreError::Damaged {
        what: format!("{file} at byte {at}: {what}; stop and run `semel store check`"),
    }
}

impl From<TableError> for StoreError {
    fn from(error: TableError) -> Self {
        Self::Damaged { what: format!("{error}; stop and run `semel store check`") }
    }
}

impl Shared {
    /// The frame at `place`, checked; `None` when its segment is gone.
    pub(super) fn frame(&self, place: Place) -> Result<Option<FrameBytes>, StoreError> {
        let Some(segment) = self.segment(place.segment()) else { return Ok(None) };
        let read = |into: &mut [u8], at: u64| {
            segment.file.read_at(into, at).map_err(|error| damaged(place, &error.to_string()))
        };
        let offset = u64::from(place.offset());
        let mut bytes = vec![0; FIRST_READ];
        let got = read(&mut bytes, offset)?;
        bytes.truncate(got);
        let len = frame_len(&bytes).filter(|len| *len <= segment.capacity as usize);
        let len = len.ok_or_else(|| damaged(place, "no frame begins there"))?;
        if len > got {
            bytes.resize(len, 0);
            read(&mut bytes[got..], offset + got as u64)?;
        }
        bytes.truncate(len);
        // Without this a flipped bit in an id would make its key look new, and run again.
        if parse_frame(&bytes).is_none() {
            return Err(damaged(place, "the checksum of the frame does not match"));
        }
        Ok(Some(FrameBytes(bytes)))
    }

    /// The present record of `id` on disk.
    pub(super) fn find(&self, id: &RecordId) -> Result<Found, StoreError> {
        for _ in 0..TRIES {
            if let Some(found) = self.find_once(id)? {
                return Ok(found);
            }
        }
        Err(StoreError::Damaged {
            what: format!("the index names a dropped segment for {}: restart", id.short()),
        })
    }

    fn find_once(&self, id: &RecordId) -> Result<Option<Found>, StoreError> {
        for place in self.index.matches(tag(id)).iter() {
            let Some(bytes) = self.frame(place)? else { return Ok(None) };
            let frame = bytes.frame().map(|frame| (frame.id, frame.kind));
            if frame.is_none_or(|(found, _)| found != *id) {
                continue;
            }
            let at = At { place, len: bytes.len() };
            if frame.is_some_and(|(_, kind)| kind == Kind::Delete) {
                return Ok(Some(Found::Deleted(at)));
            }
            return Ok(Some(Found::Here(bytes.record(*id)?, Some(at))));
        }
        Ok(Some(match self.find_spent(id)? {
            Some(record) => Found::Here(record, None),
            None => Found::Absent,
        }))
    }

    /// What the tables of spent keys know of `id`, the newest first.
    pub(super) fn find_spent(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        for table in self.tables().iter().rev() {
            if let Some(record) = table.find(id)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The answer to a swap that expects no record where the log shows one: nearly every retry. What
    /// is shown here is on disk, and nothing would be written, so it waits neither for its turn nor
    /// for the sync of others. `None`: only the committer can tell.
    pub(super) fn conflict_at_sight(&self, swap: &Swap) -> Option<Swapped> {
        let plain = swap.expected.is_none()
            && swap.incarnation == self.incarnation
            && self.poison.get().is_none();
        if !plain || self.index.matches(tag(&swap.id)).first.is_none() {
            return None;
        }
        // The committer meets what is wrong with a frame, too, and says so.
        let Ok(Found::Here(record, _)) = self.find(&swap.id) else { return None };
        let at = self.clock.now();
        (at <= swap.deadline).then_some(Swapped::Conflict { current: Some(record), at })
    }

    pub(super) fn load(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        Ok(match self.find(id)? {
            Found::Here(record, _) => Some(record),
            Found::Absent | Found::Deleted(_) => None,
        })
    }
}
