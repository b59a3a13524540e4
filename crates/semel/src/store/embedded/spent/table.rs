//! A table of spent keys: written once, read by position.

use std::io;
use std::sync::Arc;

use semel_core::{Record, RecordId, Timestamp};

use super::super::batch::{u32_at, u64_at};
use super::super::disk::{Disk, DiskFile};
use super::super::segment::spent_name;
use super::entry::{ENTRY, FOREVER, SpentEntry, from_hours, short, to_hours};
use super::filter::Filter;

const MAGIC: &[u8; 8] = b"SemelSpt";
const HEADER: usize = 24;
const BLOCK: usize = 4096;
const PER_BLOCK: usize = (BLOCK - 4) / ENTRY;
const FOOTER: usize = 8;

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum TableError {
    #[error("{name} could not be read: {source}")]
    Io { name: String, source: io::Error },
    #[error("{name} is damaged at byte {offset}")]
    Damaged { name: String, offset: u64 },
}

/// A table that is open for reading.
#[derive(Debug)]
pub(in super::super) struct SpentTable {
    pub(in super::super) number: u32,
    pub(in super::super) entries: u64,
    /// When the memory of the last of its keys ends.
    pub(in super::super) latest_end: Timestamp,
    file: Arc<dyn DiskFile>,
    firsts: Vec<u64>,
    filter: Filter,
}

fn tag(key: &[u8; 16]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&key[..8]);
    u64::from_be_bytes(first)
}

impl SpentTable {
    /// Opens the table `number`: reads and checks all but its blocks.
    pub(in super::super) fn open(disk: &dyn Disk, number: u32) -> Result<Self, TableError> {
        let name = spent_name(number);
        let io = |source| TableError::Io { name: spent_name(number), source };
        let damaged =
            |offset: usize| TableError::Damaged { name: name.clone(), offset: offset as u64 };
        let file = disk.open(&name).map_err(io)?;
        let len = usize::try_from(file.len().map_err(io)?).map_err(|_| damaged(0))?;
        let read = |at: usize, len: usize| -> Result<Vec<u8>, TableError> {
            let mut bytes = vec![0; len];
            match file.read_at(&mut bytes, at as u64) {
                Ok(n) if n == len => Ok(bytes),
                Ok(_) => Err(damaged(at)),
                Err(error) => Err(io(error)),
            }
        };
        let footer_at =
            len.checked_sub(FOOTER).filter(|at| *at >= HEADER).ok_or_else(|| damaged(0))?;
        let head = read(0, HEADER)?;
        let footer = read(footer_at, FOOTER)?;
        let entries = u64_at(&head, 12).ok_or_else(|| damaged(12))?;
        let blocks = usize::try_from(entries).map_err(|_| damaged(12))?.div_ceil(PER_BLOCK);
        let firsts_at = blocks.checked_mul(BLOCK).map(|b| b + HEADER).ok_or_else(|| damaged(12))?;
        if head.get(..8) != Some(MAGIC) || u32_at(&head, 8) != Some(number) || firsts_at > footer_at
        {
            return Err(damaged(0));
        }
        let rest = read(firsts_at, footer_at - firsts_at)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        crc.update(&rest);
        let filter_len = u32_at(&footer, 0).unwrap_or(0) as usize;
        if u32_at(&footer, 4) != Some(crc.finalize()) || rest.len() != 8 * blocks + filter_len {
            return Err(damaged(firsts_at));
        }
        let firsts = (0..blocks).filter_map(|i| u64_at(&rest, 8 * i)).collect();
        let filter =
            Filter::from_bytes(rest[8 * blocks..].to_vec()).ok_or_else(|| damaged(firsts_at))?;
        let latest_end = from_hours(u32_at(&head, 20).unwrap_or(FOREVER));
        Ok(Self { number, entries, latest_end, file, firsts, filter })
    }

    /// The record of `id`, if this table knows it as spent.
    pub(in super::super) fn find(&self, id: &RecordId) -> Result<Option<Record>, TableError> {
        let key = short(id);
        if !self.filter.may_hold(&key) {
            return Ok(None);
        }
        let tag = tag(&key);
        let mut block = self.firsts.partition_point(|first| *first < tag).saturating_sub(1);
        while self.firsts.get(block).is_some_and(|first| *first <= tag) {
            let entries = self.block(block)?;
            if let Ok(at) = entries.binary_search_by_key(&key, SpentEntry::key) {
                return Ok(Some(entries[at].record()));
            }
            block += 1;
        }
        Ok(None)
    }

    /// The entries of one block, in the order of ids.
    pub(in super::super) fn block(&self, block: usize) -> Result<Vec<SpentEntry>, TableError> {
        let name = || spent_name(self.number);
        let offset = (HEADER + block * BLOCK) as u64;
        let mut bytes = vec![0; BLOCK];
        let read = self.file.read_at(&mut bytes, offset);
        let read = read.map_err(|source| TableError::Io { name: name(), source })?;
        let (body, crc) = bytes.split_at(BLOCK - 4);
        if read < BLOCK || u32_at(crc, 0) != Some(crc32fast::hash(body)) {
            return Err(TableError::Damaged { name: name(), offset });
        }
        let before = (block * PER_BLOCK) as u64;
        let count = usize::try_from(self.entries - before).unwrap_or(PER_BLOCK).min(PER_BLOCK);
        let entry = |bytes: &[u8]| {
            let mut entry = [0; ENTRY];
            entry.copy_from_slice(bytes);
            SpentEntry(entry)
        };
        Ok(body.chunks_exact(ENTRY).take(count).map(entry).collect())
    }

    pub(in super::super) fn blocks(&self) -> usize {
        self.firsts.len()
    }

    /// The block to start from when listing what comes behind `id`.
    pub(in super::super) fn block_of(&self, id: &RecordId) -> usize {
        let tag = tag(&short(id));
        self.firsts.partition_point(|first| *first < tag).saturating_sub(1)
    }

    /// Bytes in memory.
    pub(in super::super) fn memory_bytes(&self) -> usize {
        self.firsts.len() * 8 + self.filter.bytes().len()
    }

    /// Bytes on disk.
    pub(in super::super) fn disk_bytes(&self) -> u64 {
        let blocks = self.firsts.len();
        (HEADER + blocks * (BLOCK + 8) + self.filter.bytes().len() + FOOTER) as u64
    }
}

/// Writes a table, entry by entry in the order of ids.
#[derive(Debug)]
pub(in super::super) struct TableWriter {
    number: u32,
    file: Arc<dyn DiskFile>,
    block: Vec<u8>,
    at: u64,
    entries: u64,
    last: Option<[u8; 16]>,
    latest_end: Timestamp,
    firsts: Vec<u64>,
    filter: Filter,
}

impl TableWriter {
    /// A table for at most `keys` entries. It is no part of the store until a manifest names it.
    pub(in super::super) fn new(disk: &dyn Disk, number: u32, keys: usize) -> io::Result<Self> {
        let file = disk.create(&spent_name(number))?;
        Ok(Self {
            number,
            file,
            block: Vec::with_capacity(BLOCK),
            at: HEADER as u64,
            entries: 0,
            last: None,
            latest_end: Timestamp::ZERO,
            firsts: Vec::new(),
            filter: Filter::with_room_for(keys),
        })
    }

    pub(in super::super) fn push(&mut self, entry: &SpentEntry) -> io::Result<()> {
        let key = entry.key();
        assert!(self.last.is_none_or(|last| last < key), "the entries of a table ascend");
        self.last = Some(key);
        if self.block.is_empty() {
            self.firsts.push(tag(&key));
        }
        self.filter.add(&key);
        self.latest_end = self.latest_end.max(entry.memory_end());
        self.block.extend_from_slice(&entry.0);
        self.entries += 1;
        if self.block.len() == PER_BLOCK * ENTRY {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.block.resize(BLOCK - 4, 0);
        let crc = crc32fast::hash(&self.block);
        self.block.extend_from_slice(&crc.to_le_bytes());
        self.file.write_at(&self.block, self.at)?;
        self.at += BLOCK as u64;
        self.block.clear();
        Ok(())
    }

    /// Makes the table durable but for its name.
    pub(in super::super) fn finish(mut self) -> io::Result<SpentTable> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        let mut head = Vec::with_capacity(HEADER);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&self.number.to_le_bytes());
        head.extend_from_slice(&self.entries.to_le_bytes());
        let hours = to_hours(self.latest_end);
        head.extend_from_slice(&hours.to_le_bytes());
        let mut tail = Vec::new();
        for first in &self.firsts {
            tail.extend_from_slice(&first.to_le_bytes());
        }
        tail.extend_from_slice(self.filter.bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        crc.update(&tail);
        tail.extend_from_slice(&(self.filter.bytes().len() as u32).to_le_bytes());
        tail.extend_from_slice(&crc.finalize().to_le_bytes());
        self.file.write_at(&head, 0)?;
        self.file.write_at(&tail, self.at)?;
        self.file.sync_data()?;
        Ok(SpentTable {
            number: self.number,
            entries: self.entries,
            latest_end: self.latest_end,
            file: self.file,
            firsts: self.firsts,
            filter: self.filter,
        })
    }
}
