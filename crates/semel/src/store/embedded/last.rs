//! The last batch, kept aside while it is written a second time.
//!
//! At opening the last batch is written once more: the sync that it waited for may have failed, and then nothing
//! that is read says whether it is on disk. Most often it was acknowledged, though, and a write that the power
//! cuts in its midst may tear what was whole. So it is first kept in a file of its own, from which a torn one
//! is put back.
//!
//! ```text
//! 8 magic · 4 offset in the segment · 4 CRC-32 of those four bytes · the batch
//! ```
//!
//! Must never put back anything but the last batch of its segment: a copy is worth nothing once another batch
//! was begun, and every opening drops it before one can be. Nor is it put over a batch that is whole.

use std::io;

use super::batch::{BatchHeader, u32_at, u64_at};
use super::disk::Disk;
use super::segment::{read_all, segment_name};

const NAME: &str = "LAST";
pub(super) const ASIDE: &str = "LAST.tmp";
const MAGIC: &[u8; 8] = b"SemelLst";
const HEADER: usize = 16;

/// A whole batch, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LastBatch {
    segment: u32,
    offset: u32,
    bytes: Vec<u8>,
}

impl LastBatch {
    pub(super) fn new(segment: u32, offset: u32, bytes: &[u8]) -> Self {
        Self { segment, offset, bytes: bytes.to_vec() }
    }

    /// What is kept; `None` also where keeping it was cut off: then its place was not touched.
    pub(super) fn kept(disk: &dyn Disk) -> io::Result<Option<Self>> {
        match disk.open(NAME).and_then(|file| read_all(&*file)) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let offset = bytes.get(8..12)?;
        if bytes.get(..8)? != MAGIC || u32_at(bytes, 12)? != crc32fast::hash(offset) {
            return None;
        }
        let batch = bytes.get(HEADER..)?;
        let segment = u64_at(batch, 8)?;
        let header = BatchHeader::parse(batch, segment)?;
        header.payload(batch)?;
        let bytes = batch.get(..header.span())?.to_vec();
        Some(Self { segment: u32::try_from(segment).ok()?, offset: u32_at(offset, 0)?, bytes })
    }

    /// Keeps it, durably. In a new file each time: an earlier one may be all that there is of the batch, and
    /// may itself not be on disk.
    pub(super) fn keep(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = disk.create(ASIDE)?;
        let offset = self.offset.to_le_bytes();
        let crc = crc32fast::hash(&offset).to_le_bytes();
        file.write_at(&[&MAGIC[..], &offset, &crc, &self.bytes].concat(), 0)?;
        file.sync_data()?;
        disk.rename(ASIDE, NAME)?;
        disk.sync_dir()
    }

    /// Drops what is kept, durably: no other batch may be begun before.
    pub(super) fn drop_kept(disk: &dyn Disk) -> io::Result<()> {
        match disk.remove(NAME) {
            Ok(()) => disk.sync_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes it to its place, if no whole batch is there.
    pub(super) fn put_back(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = match disk.open(&segment_name(self.segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.is_torn_in(&read_all(&*file)?) {
            file.write_at(&self.bytes, u64::from(self.offset))?;
            file.sync_data()?;
        }
        Ok(())
    }

    /// The same in the bytes of segment `id`, for whoever only looks.
    pub(super) fn overlay(&self, id: u32, bytes: &mut [u8]) {
        if self.segment == id && self.is_torn_in(bytes) {
            bytes[self.place()].copy_from_slice(&self.bytes);
        }
    }

    fn place(&self) -> std::ops::Range<usize> {
        let offset = self.offset as usize;
        offset..offset + self.bytes.len()
    }

    /// Whether there is room for it in the bytes of its segment, and no whole batch in its place.
    fn is_torn_in(&self, bytes: &[u8]) -> bool {
        let Some(rest) = bytes.get(self.offset as usize..) else { return false };
        let there = BatchHeader::parse(rest, u64::from(self.segment));
        rest.len() >= self.bytes.len() && there.is_none_or(|header| header.payload(rest).is_none())
    }
}

#[cfg(test)]
mod tests {
    use semel_core::{RecordId, Timestamp};

    use super::*;
    use crate::store::embedded::batch::{BatchWriter, Kind};
    use crate::store::embedded::faults::FaultDisk;
    use crate::store::embedded::segment::FIRST_BATCH;

    fn batch(body: u8) -> Vec<u8> {
        let mut writer = BatchWriter::new();
        writer.push(Kind::Put, &RecordId([1; 32]), &[body; 600]);
        writer.seal(1, 5, Timestamp::ZERO).to_vec()
    }

    /// A version that does not know the file may have cut the torn batch and written another in its place.
    #[test]
    fn a_torn_batch_is_put_back_and_a_whole_one_is_left() {
        let (ours, other) = (batch(1), batch(2));
        let mut torn = ours.clone();
        torn[512..].fill(0xa5);
        for (there, expected) in [(&torn, &ours), (&ours, &ours), (&other, &other)] {
            let disk = FaultDisk::new(1 << 20).process();
            let file = disk.create(&segment_name(1)).unwrap();
            file.write_at(there, u64::from(FIRST_BATCH)).unwrap();
            LastBatch::new(1, FIRST_BATCH, &ours).keep(&*disk).unwrap();
            let kept = LastBatch::kept(&*disk).unwrap().unwrap();
            let mut seen = read_all(&*file).unwrap();
            kept.overlay(1, &mut seen);
            kept.put_back(&*disk).unwrap();
            assert!(seen == read_all(&*file).unwrap(), "a look sees what an opening makes");
            assert!(seen[FIRST_BATCH as usize..] == expected[..]);
        }
    }
}
