//! Segment files: names, header, pre-writing, and the reading of what a crash left.
//!
//! The log is one sequence of batches over segments in ascending order; batches are numbered without
//! gaps across them. So there is exactly one place where a torn write can be: behind the last batch.
//! Anything else that does not read is damage.

use std::io;
use std::sync::Arc;

use super::batch::{BATCH_HEADER, BatchHeader, SECTOR, u32_at, u64_at};
use super::disk::{Disk, DiskFile};

/// Where the first batch stands: the header has a page to itself.
pub(super) const FIRST_BATCH: u32 = 4096;
const MAGIC: &[u8; 8] = b"SemelSeg";

pub(super) fn segment_name(id: u32) -> String {
    format!("log-{id:08}.seg")
}

pub(super) fn index_name(id: u32) -> String {
    format!("log-{id:08}.idx")
}

pub(super) fn spent_name(id: u32) -> String {
    format!("spent-{id:08}.tbl")
}

pub(super) fn spare_name(id: u32) -> String {
    format!("spare-{id:08}.seg")
}

/// The number in a name of that form.
pub(super) fn number(name: &str, prefix: &str, suffix: &str) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    (digits.len() == 8).then(|| digits.parse().ok())?
}

/// One file of the log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) id: u32,
    pub(super) capacity: u32,
    pub(super) file: Arc<dyn DiskFile>,
}

impl Segment {
    /// Bytes left behind `end`. A file that somebody cut has none, and the next segment is taken.
    pub(super) const fn room(&self, end: u32) -> u32 {
        self.capacity.saturating_sub(end)
    }
}

/// Makes a file of `len` written zeros under `name`, durable but for its name.
pub(super) fn prewrite(disk: &dyn Disk, name: &str, len: u32) -> io::Result<()> {
    let made = disk.create(name).and_then(|file| {
        file.fill(u64::from(len))?;
        file.sync_data()
    });
    if made.is_err() {
        // What little was written is in the way of others that wait for room.
        let _ = disk.remove(name);
    }
    made
}

/// Turns the pre-written file `spare` into the segment `id`, durably.
pub(super) fn christen(disk: &dyn Disk, spare: &str, id: u32) -> io::Result<Segment> {
    let file = disk.open(spare)?;
    file.write_at(&header(id), 0)?;
    file.sync_data()?;
    disk.rename(spare, &segment_name(id))?;
    disk.sync_dir()?;
    let capacity = u32::try_from(file.len()?).unwrap_or(u32::MAX);
    Ok(Segment { id, capacity, file })
}

pub(super) fn header(id: u32) -> [u8; SECTOR] {
    let mut out = [0; SECTOR];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&u64::from(id).to_le_bytes());
    let crc = crc32fast::hash(&out[..16]);
    out[16..20].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Whether `bytes` begin with the header of segment `id`.
pub(super) fn header_is_whole(bytes: &[u8], id: u32) -> bool {
    bytes.get(..8) == Some(MAGIC)
        && u64_at(bytes, 8) == Some(u64::from(id))
        && u32_at(bytes, 16) == bytes.get(..16).map(crc32fast::hash)
}

/// All bytes of a file.
pub(super) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The batches in their order, with their offsets.
    pub(super) batches: Vec<(u32, BatchHeader)>,
    /// Where the unbroken run of batches ends.
    pub(super) end: u32,
    /// The next sequence that was expected there.
    pub(super) next: u64,
    /// A batch behind the end that was begun after the one that is missing there: proof that the
    /// missing one had been acknowledged.
    pub(super) beyond: Option<u32>,
}

/// Reads the batches of segment `id` in `bytes`, the first of which should be number `expected`.
///
/// A batch is only begun once the one before it is durable. So a whole *header* with a later
/// sequence than the missing batch's proves damage, even where its own payload was torn.
pub(super) fn scan(bytes: &[u8], id: u32, expected: u64) -> Scan {
    scan_from(bytes, id, FIRST_BATCH, expected)
}

/// The same from the offset `from` on.
pub(super) fn scan_from(bytes: &[u8], id: u32, from: u32, expected: u64) -> Scan {
    let mut scan = Scan { end: from, next: expected, ..Scan::default() };
    while let Some(header) = batch_at(bytes, id, scan.end)
        && header.sequence == scan.next
    {
        let at = scan.end as usize;
        let Some(payload) = header.payload(&bytes[at..]) else { break };
        let Some(next) = next_sequence(&header, payload) else { break };
        scan.batches.push((scan.end, header));
        scan.end += header.span() as u32;
        scan.next = next;
    }
    scan.beyond = next_batch(bytes, id, scan.end, scan.next);
    scan
}

/// The number of the batch after this one: one more, or what a gap says.
fn next_sequence(header: &BatchHeader, payload: &[u8]) -> Option<u64> {
    let mut next = header.sequence + 1;
    for frame in super::batch::frames(payload) {
        let (_, frame) = frame?;
        if frame.kind == super::batch::Kind::Gap {
            next = u64_at(frame.body, 0)?;
        }
    }
    Some(next)
}

pub(super) fn batch_at(bytes: &[u8], id: u32, at: u32) -> Option<BatchHeader> {
    BatchHeader::parse(bytes.get(at as usize..)?, u64::from(id))
}

/// The first batch from `from` on whose sequence is later than `than`.
pub(super) fn next_batch(bytes: &[u8], id: u32, from: u32, than: u64) -> Option<u32> {
    let mut at = (from as usize).next_multiple_of(SECTOR);
    while at + BATCH_HEADER <= bytes.len() {
        if batch_at(bytes, id, at as u32).is_some_and(|header| header.sequence > than) {
            return Some(at as u32);
        }
        at += SECTOR;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::batch::{BatchWriter, Kind};
    use semel_core::{RecordId, Timestamp};

    fn log(sequences: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0; FIRST_BATCH as usize];
        for sequence in sequences {
            let mut writer = BatchWriter::new();
            writer.push(Kind::Put, &RecordId([1; 32]), &[*sequence as u8; 600]);
            bytes.extend_from_slice(writer.seal(1, *sequence, Timestamp::ZERO));
        }
        bytes.resize(bytes.len() + 4 * SECTOR, 0);
        bytes
    }

    #[test]
    fn a_torn_last_batch_ends_the_scan_without_alarm() {
        let mut bytes = log(&[5, 6]);
        let second = FIRST_BATCH as usize + 2 * SECTOR;
        bytes[second + 100] ^= 1;
        let scan = scan(&bytes, 1, 5);
        assert_eq!((scan.batches.len(), scan.end, scan.beyond), (1, second as u32, None));
    }

    #[test]
    fn a_whole_batch_behind_a_broken_one_is_reported() {
        let mut bytes = log(&[5, 6]);
        bytes[FIRST_BATCH as usize + 100] ^= 1;
        let scan = scan(&bytes, 1, 5);
        assert_eq!((scan.end, scan.beyond), (FIRST_BATCH, Some(FIRST_BATCH + 1024)));
    }

    #[test]
    fn what_a_recycled_file_held_is_not_read() {
        let scan = scan(&log(&[5, 6]), 2, 5);
        assert_eq!((scan.batches.len(), scan.beyond), (0, None));
    }

    #[test]
    fn names_round_trip() {
        assert_eq!(number(&segment_name(7), "log-", ".seg"), Some(7));
        assert_eq!(number("log-7.seg", "log-", ".seg"), None);
        assert_eq!(number(&index_name(7), "log-", ".seg"), None);
    }
}
