//! Tending the tables of spent keys: dropping those whose memory has ended, and merging small ones so
//! that a new key asks few.

use std::io;
use std::sync::Arc;

use semel_core::{StoreError, Timestamp};

use super::segment::spent_name;
use super::shared::{Shared, held};
use super::spent::{SpentEntry, SpentTable, TableError, TableWriter};

/// So many neighbours of about one size become one. A key is so rewritten once for each factor of
/// eight that the tables grow by.
const FAN: usize = 8;
const SMALLEST_TIER: u64 = 1024;

fn tier(entries: u64) -> u32 {
    entries.max(SMALLEST_TIER).ilog(FAN as u64)
}

/// The first run of neighbours of one tier that is long enough.
fn run(tables: &[Arc<SpentTable>]) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    for at in 1..=tables.len() {
        let same = tables.get(at).is_some_and(|t| tier(t.entries) == tier(tables[from].entries));
        if !same {
            if at - from >= FAN {
                return Some(from..at);
            }
            from = at;
        }
    }
    None
}

impl Shared {
    /// Returns how many tables were dropped or merged away.
    pub(super) fn tend_tables(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut done = 0;
        let all = self.tables();
        let (ended, mut kept): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|table| table.latest_end <= now);
        if !ended.is_empty() {
            self.replace_tables(kept.clone(), None)?;
            done += ended.len();
            self.unlink(&ended);
        }
        while let Some(range) = run(&kept) {
            let merged: Vec<_> = kept[range.clone()].to_vec();
            let number = held(&self.manifest).next_table;
            let table = self.merge(&merged, number, now)?;
            kept.splice(range, [Arc::new(table)]);
            self.replace_tables(kept.clone(), Some(number))?;
            done += merged.len();
            self.unlink(&merged);
        }
        Ok(done)
    }

    /// Makes `STORE` name these tables, then shows them.
    fn replace_tables(
        &self,
        tables: Vec<Arc<SpentTable>>,
        new: Option<u32>,
    ) -> Result<(), StoreError> {
        let mut manifest = held(&self.manifest);
        let mut next = manifest.clone();
        next.tables = tables.iter().map(|table| table.number).collect();
        next.next_table = new.map_or(next.next_table, |number| number + 1);
        next.write(&*self.disk).map_err(|error| failed(&error))?;
        *manifest = next;
        drop(manifest);
        self.set_tables(tables);
        Ok(())
    }

    /// Files that `STORE` no longer names; opening clears away what is missed here.
    fn unlink(&self, tables: &[Arc<SpentTable>]) {
        for table in tables {
            if let Err(error) = self.disk.remove(&spent_name(table.number)) {
                tracing::warn!(%error, table = table.number, "an old table could not be removed");
            }
        }
    }

    /// One table of the keys of many; where two know a key, the newer one's word counts.
    fn merge(
        &self,
        tables: &[Arc<SpentTable>],
        number: u32,
        now: Timestamp,
    ) -> Result<SpentTable, StoreError> {
        let keys: u64 = tables.iter().map(|table| table.entries).sum();
        let keys = usize::try_from(keys).unwrap_or(usize::MAX);
        let mut cursors: Vec<_> = tables.iter().map(|table| Cursor::new(table)).collect();
        let mut writer = TableWriter::new(&*self.disk, number, keys).map_err(|e| failed(&e))?;
        loop {
            let mut least: Option<SpentEntry> = None;
            for cursor in &mut cursors {
                // Later in the list is newer, so an equal key replaces.
                if let Some(entry) = cursor.peek()?
                    && least.is_none_or(|least| entry.id() <= least.id())
                {
                    least = Some(entry);
                }
            }
            let Some(least) = least else { break };
            for cursor in &mut cursors {
                if cursor.peek()?.is_some_and(|entry| entry.id() == least.id()) {
                    cursor.at += 1;
                }
            }
            if least.memory_end() > now {
                writer.push(&least).map_err(|error| failed(&error))?;
            }
        }
        let table = writer.finish().map_err(|error| failed(&error))?;
        self.disk.sync_dir().map_err(|error| failed(&error))?;
        Ok(table)
    }
}

fn failed(error: &io::Error) -> StoreError {
    StoreError::Unavailable { reason: format!("tending the tables of spent keys: {error}") }
}

/// Walks a table in the order of ids.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    table: &'a SpentTable,
    block: usize,
    entries: Vec<SpentEntry>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(table: &'a SpentTable) -> Self {
        Self::from_block(table, 0)
    }

    pub(super) fn from_block(table: &'a SpentTable, block: usize) -> Self {
        Self { table, block, entries: Vec::new(), at: 0 }
    }

    pub(super) fn peek(&mut self) -> Result<Option<SpentEntry>, TableError> {
        while self.at >= self.entries.len() {
            if self.block >= self.table.blocks() {
                return Ok(None);
            }
            self.entries = self.table.block(self.block)?;
            self.block += 1;
            self.at = 0;
        }
        Ok(Some(self.entries[self.at]))
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// Passes over a block that cannot be read.
    pub(super) fn skip_block(&mut self) {
        self.block += 1;
    }
}
