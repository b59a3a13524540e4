//! Listing for operators: in the order of ids, by a walk over the index, shard by shard, that holds
//! nothing up.

use semel_core::store::{Filter, Listing, Page};
use semel_core::{Record, RecordId, StoreError};

use super::batch::Kind;
use super::index::{Index, Place, tag};
use super::shared::Shared;
use super::spent::SpentTable;
use super::tables::Cursor;

impl Shared {
    /// A page of records. A key of which only the spent marker is left is listed under the part of
    /// its id that is kept, filled up with zeros.
    pub(super) fn list(&self, filter: &Filter, page: &Page) -> Result<Listing, StoreError> {
        let tables = self.tables();
        let mut spent = Spent::new(&tables, page.after.as_ref())?;
        let mut out = Listing::default();
        let from = page.after.as_ref().map_or(0, tag);
        for shard in (from >> 56) as usize..Index::SHARDS {
            let places = self.index.sorted(shard);
            let mut at = places.partition_point(|(tag, _)| *tag < from);
            while at < places.len() {
                let same = places[at..].iter().take_while(|(t, _)| *t == places[at].0).count();
                let group = self.group(&places[at..at + same])?;
                at += same;
                for (id, record) in group {
                    while let Some((spent_id, spent_record)) = spent.before(&id)? {
                        if push(&mut out, filter, page, spent_id, spent_record) {
                            return Ok(out);
                        }
                    }
                    spent.skip(&id)?;
                    if let Some(record) = record
                        && push(&mut out, filter, page, id, record)
                    {
                        return Ok(out);
                    }
                }
            }
        }
        while let Some((id, record)) = spent.before(&RecordId([0xff; 32]))? {
            if push(&mut out, filter, page, id, record) {
                return Ok(out);
            }
        }
        Ok(out)
    }

    /// The records at places that share a tag, in the order of ids; none for a forgotten key.
    fn group(
        &self,
        places: &[(u64, Place)],
    ) -> Result<Vec<(RecordId, Option<Record>)>, StoreError> {
        let mut group = Vec::with_capacity(places.len());
        for (_, place) in places {
            // Dropped since the walk began: as if it had been dropped before.
            let Some(bytes) = self.frame(*place)? else { continue };
            let Some((id, kind)) = bytes.frame().map(|f| (f.id, f.kind)) else { continue };
            let record = if kind == Kind::Put { Some(bytes.record(id)?) } else { None };
            group.push((id, record));
        }
        group.sort_unstable_by_key(|(id, _)| *id);
        Ok(group)
    }
}

/// Adds what passes; true once the page is full and one more is known.
fn push(out: &mut Listing, filter: &Filter, page: &Page, id: RecordId, record: Record) -> bool {
    if page.after.is_some_and(|after| id <= after) || !filter.admits(&record) {
        return false;
    }
    if out.records.len() >= page.limit {
        out.next = out.records.last().map(|(id, _)| *id);
        return true;
    }
    out.records.push((id, record));
    false
}

/// All tables as one, in the order of ids.
struct Spent<'a> {
    cursors: Vec<Cursor<'a>>,
}

impl<'a> Spent<'a> {
    fn new(
        tables: &'a [std::sync::Arc<SpentTable>],
        after: Option<&RecordId>,
    ) -> Result<Self, StoreError> {
        let mut cursors = Vec::with_capacity(tables.len());
        for table in tables {
            let block = after.map_or(0, |after| table.block_of(after));
            let mut cursor = Cursor::from_block(table, block);
            while let (Some(after), Some(entry)) = (after, cursor.peek()?)
                && entry.id() <= *after
            {
                cursor.advance();
            }
            cursors.push(cursor);
        }
        Ok(Self { cursors })
    }

    /// The next key before `id`, and not the same as it in what a table keeps.
    fn before(&mut self, id: &RecordId) -> Result<Option<(RecordId, Record)>, StoreError> {
        let mut least: Option<(RecordId, Record)> = None;
        for cursor in &mut self.cursors {
            if let Some(entry) = cursor.peek()?
                && entry.id().0[..16] < id.0[..16]
                && least.as_ref().is_none_or(|(least, _)| entry.id() <= *least)
            {
                least = Some((entry.id(), entry.record()));
            }
        }
        if let Some((id, _)) = &least {
            let id = *id;
            self.skip(&id)?;
        }
        Ok(least)
    }

    /// Passes over `id`: the log's word counts more than a table's.
    fn skip(&mut self, id: &RecordId) -> Result<(), StoreError> {
        for cursor in &mut self.cursors {
            while cursor.peek()?.is_some_and(|entry| entry.id().0[..16] == id.0[..16]) {
                cursor.advance();
            }
        }
        Ok(())
    }
}
