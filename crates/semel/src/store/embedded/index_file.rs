//! The index file of a segment that takes no more writes: what opening would else have to find out
//! by reading the segment.
//!
//! ```text
//! 8 magic · 4 segment · 4 end · 8 first sequence · 8 next sequence · 8 high-water mark · 4 entries · 4 zero
//! entry: 8 tag · 4 offset · 4 length · 8 end · 1 class, in the order of offsets
//! 4 CRC-32 of all before
//! ```

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use semel_core::{RecordId, Timestamp, codec};

use super::batch::{BATCH_HEADER, Kind, frames, u32_at, u64_at};
use super::disk::Disk;
use super::entry::{Class, Entry, record_end};
use super::index::tag;
use super::segment::{Scan, index_name, read_all};

const MAGIC: &[u8; 8] = b"SemelIdx";
const HEADER: usize = 48;
const ENTRY: usize = 25;
const ASIDE: &str = "index.tmp";

/// What a segment holds, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) segment: u32,
    /// Where its last batch ends.
    pub(super) end: u32,
    pub(super) first_sequence: u64,
    pub(super) next_sequence: u64,
    pub(super) high_water: Timestamp,
    /// The last frame of each key in it.
    pub(super) entries: Vec<Entry>,
}

impl Summary {
    /// From the bytes of a segment and what [`super::segment::scan`] found in them. The ids are in
    /// the order of the entries.
    pub(super) fn of(segment: u32, bytes: &[u8], scan: &Scan) -> (Self, Vec<RecordId>) {
        let mut last: HashMap<RecordId, Entry> = HashMap::new();
        let mut high_water = Timestamp::ZERO;
        for (at, header) in &scan.batches {
            high_water = high_water.max(header.high_water);
            let start = *at as usize + BATCH_HEADER;
            let payload = &bytes[start..start + header.length as usize];
            for (offset, frame) in frames(payload).flatten() {
                let offset = at + BATCH_HEADER as u32 + offset;
                if let Some(entry) = entry(&frame.id, frame.kind, frame.body, offset, frame.len) {
                    last.insert(frame.id, entry);
                }
            }
        }
        let mut pairs: Vec<_> = last.into_iter().collect();
        pairs.sort_unstable_by_key(|(_, entry)| entry.offset);
        let (ids, entries) = pairs.into_iter().unzip();
        let first_sequence = scan.batches.first().map_or(scan.next, |(_, h)| h.sequence);
        let next_sequence = scan.next;
        let end = scan.end;
        (Self { segment, end, first_sequence, next_sequence, high_water, entries }, ids)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + ENTRY * self.entries.len() + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.next_sequence.to_le_bytes());
        out.extend_from_slice(&self.high_water.as_unix_ms().to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.resize(HEADER, 0);
        for entry in &self.entries {
            out.extend_from_slice(&entry.tag.to_le_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.len.to_le_bytes());
            out.extend_from_slice(&entry.end.as_unix_ms().to_le_bytes());
            out.push(entry.class.byte());
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], segment: u32) -> Option<Self> {
        let end = bytes.len().checked_sub(4)?;
        let count = u32_at(bytes, 40)? as usize;
        let whole = bytes.get(..8)? == MAGIC
            && u32_at(bytes, 8)? == segment
            && end == HEADER + ENTRY * count
            && u32_at(bytes, end)? == crc32fast::hash(&bytes[..end]);
        if !whole {
            return None;
        }
        let entry = |bytes: &[u8]| {
            Some(Entry {
                tag: u64_at(bytes, 0)?,
                offset: u32_at(bytes, 8)?,
                len: u32_at(bytes, 12)?,
                end: Timestamp::from_unix_ms(u64_at(bytes, 16)?),
                class: Class::from_byte(bytes[24])?,
            })
        };
        Some(Self {
            segment,
            end: u32_at(bytes, 12)?,
            first_sequence: u64_at(bytes, 16)?,
            next_sequence: u64_at(bytes, 24)?,
            high_water: Timestamp::from_unix_ms(u64_at(bytes, 32)?),
            entries: bytes[HEADER..end].chunks_exact(ENTRY).map(entry).collect::<Option<_>>()?,
        })
    }

    /// Writes the file, durably.
    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = disk.create(ASIDE)?;
        file.write_at(&self.encode(), 0)?;
        file.sync_data()?;
        disk.rename(ASIDE, &index_name(self.segment))?;
        disk.sync_dir()
    }

    /// Reads the file; `None` when there is none or it is not whole: the segment itself is the truth.
    pub(super) fn read(disk: &dyn Disk, segment: u32) -> Option<Self> {
        let file = disk.open(&index_name(segment)).ok()?;
        Self::decode(&read_all(&*file).ok()?, segment)
    }
}

fn entry(id: &RecordId, kind: Kind, body: &[u8], offset: u32, len: u32) -> Option<Entry> {
    let (class, end) = match kind {
        Kind::Gap => return None,
        Kind::Delete => (Class::Deleted, Timestamp::ZERO),
        Kind::Put => match codec::decode(&Bytes::copy_from_slice(body)) {
            Ok(record) => (Class::of(&record), record_end(&record)),
            // Its bytes are what was written, so a later Semel wrote them: kept for it, for ever.
            Err(_) => (Class::Ended, Timestamp::NEVER),
        },
    };
    Some(Entry { tag: tag(id), offset, len, class, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_reads_back_and_any_flipped_bit_is_noticed() {
        let entry = Entry {
            tag: 1,
            offset: 2,
            len: 3,
            class: Class::Doubt,
            end: Timestamp::from_unix_ms(4),
        };
        let summary = Summary {
            segment: 7,
            end: 8192,
            first_sequence: 3,
            next_sequence: 9,
            high_water: Timestamp::from_unix_ms(5),
            entries: vec![entry; 3],
        };
        let bytes = summary.encode();
        assert_eq!(Summary::decode(&bytes, 7), Some(summary));
        assert_eq!(Summary::decode(&bytes, 8), None);
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Summary::decode(&bytes, 7), None, "bit {bit} was flipped unseen");
        }
    }
}
