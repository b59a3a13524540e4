//! The file `STORE`: which life this store is, and which files belong to it.
//!
//! It is replaced as a whole (write aside, sync, rename, sync the directory), so it is the commit
//! point of all that maintenance does: a file that it does not name is no part of the store.

use std::io;

use semel_core::{Incarnation, Timestamp};

use super::batch::{u32_at, u64_at};
use super::disk::Disk;
use super::error::OpenError;
use super::segment::read_all;

pub(super) const NAME: &str = "STORE";
pub(super) const ASIDE: &str = "STORE.tmp";
/// The format that is written.
pub(super) const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"SemelLog";
const FIXED: usize = 8 + 4 + 16 + 8 + 1 + 16 + 4 + 8 + 8 + 4 + 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) incarnation: Incarnation,
    pub(super) birth: Timestamp,
    /// The check value of the server secret.
    pub(super) check: Option<[u8; 16]>,
    /// The oldest segment, and the sequence of its first batch.
    pub(super) first_segment: u32,
    pub(super) first_sequence: u64,
    pub(super) high_water: Timestamp,
    pub(super) next_table: u32,
    /// The tables of spent keys, oldest first.
    pub(super) tables: Vec<u32>,
}

impl Manifest {
    pub(super) fn new(incarnation: Incarnation, birth: Timestamp, now: Timestamp) -> Self {
        Self {
            incarnation,
            birth,
            check: None,
            first_segment: 1,
            first_sequence: 1,
            high_water: now,
            next_table: 1,
            tables: Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + 4 * self.tables.len() + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.incarnation.0);
        out.extend_from_slice(&self.birth.as_unix_ms().to_le_bytes());
        out.push(u8::from(self.check.is_some()));
        out.extend_from_slice(&self.check.unwrap_or_default());
        out.extend_from_slice(&self.first_segment.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.high_water.as_unix_ms().to_le_bytes());
        out.extend_from_slice(&self.next_table.to_le_bytes());
        out.extend_from_slice(&(self.tables.len() as u32).to_le_bytes());
        for table in &self.tables {
            out.extend_from_slice(&table.to_le_bytes());
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Makes it the store's, durably.
    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = disk.create(ASIDE)?;
        file.write_at(&self.encode(), 0)?;
        file.sync_data()?;
        disk.rename(ASIDE, NAME)?;
        disk.sync_dir()
    }

    /// Reads the store's; `None` when there is no such file.
    pub(super) fn read(disk: &dyn Disk) -> Result<Option<Self>, OpenError> {
        let bytes = match disk.open(NAME).and_then(|file| read_all(&*file)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io(NAME)(error)),
        };
        let damaged = |what| OpenError::StoreFile { place: disk.place(), what };
        if bytes.get(..8) != Some(MAGIC) {
            return Err(damaged("it does not begin as a STORE file does"));
        }
        // The format is read before the checksum: a later one may check itself in another way.
        let found = u32_at(&bytes, 8).ok_or_else(|| damaged("it is too short"))?;
        if found != FORMAT {
            return Err(OpenError::UnknownFormat { place: disk.place(), found, known: FORMAT });
        }
        Self::decode(&bytes).map(Some).ok_or_else(|| damaged("its checksum does not match"))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.len().checked_sub(4)?;
        if u32_at(bytes, end)? != crc32fast::hash(&bytes[..end]) {
            return None;
        }
        let array16 = |at: usize| -> Option<[u8; 16]> { bytes.get(at..at + 16)?.try_into().ok() };
        let tables = u32_at(bytes, FIXED - 4)? as usize;
        if end != FIXED + 4 * tables {
            return None;
        }
        Some(Self {
            incarnation: Incarnation(array16(12)?),
            birth: Timestamp::from_unix_ms(u64_at(bytes, 28)?),
            check: if bytes[36] == 0 { None } else { Some(array16(37)?) },
            first_segment: u32_at(bytes, 53)?,
            first_sequence: u64_at(bytes, 57)?,
            high_water: Timestamp::from_unix_ms(u64_at(bytes, 65)?),
            next_table: u32_at(bytes, 73)?,
            tables: (0..tables).map(|i| u32_at(bytes, FIXED + 4 * i)).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_any_flipped_bit_is_noticed() {
        let manifest = Manifest {
            check: Some([3; 16]),
            tables: vec![4, 9],
            ..Manifest::new(Incarnation([1; 16]), Timestamp::from_unix_ms(2), Timestamp::ZERO)
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Some(manifest));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&bytes), None, "bit {bit} was flipped unseen");
        }
    }
}
