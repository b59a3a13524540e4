//! Listing for operators: in the order of ids, by a walk over the index, shard by shard, that holds
//! nothing up.

use semel_core::store::{Filter, Listing, Page, Unreadable};
use semel_core::{Record, RecordId, StoreError};

use super::batch::Kind;
use super::index::{Index, Place, tag};
use super::shared::Shared;
use super::spent::{SpentEntry, SpentTable};
use super::tables::Cursor;

/// Keys looked at for one page: where few pass the filter, the page ends early and says where to go on.
/// A page so takes a bounded time, however many keys there are.
const LOOKED_AT_MAX: usize = 50_000;

impl Shared {
    /// A page of records. A key of which only the spent marker is left is listed under the part of
    /// its id that is kept, filled up with zeros. What cannot be read is told beside the records, and keeps
    /// nothing else from being listed.
    pub(super) fn list(&self, filter: &Filter, page: &Page) -> Result<Listing, StoreError> {
        let tables = self.tables();
        let mut spent = Spent::new(&tables, page.after.as_ref());
        let mut walk = Walk::new(filter, page);
        let from = page.after.as_ref().map_or(0, tag);
        'shards: for shard in (from >> 56) as usize..Index::SHARDS {
            let places = self.index.sorted(shard);
            let mut at = places.partition_point(|(tag, _)| *tag < from);
            while at < places.len() {
                let same = places[at..].iter().take_while(|(t, _)| *t == places[at].0).count();
                let group = self.group(&places[at..at + same]);
                at += same;
                for (id, entry) in group {
                    while let Some((spent_id, spent_record)) = spent.before(&id) {
                        if walk.meet(spent_id, Entry::Known(spent_record)) {
                            break 'shards;
                        }
                    }
                    spent.skip(&id);
                    if walk.meet(id, entry) {
                        break 'shards;
                    }
                }
            }
        }
        while !walk.ended
            && let Some((id, record)) = spent.before(&RecordId([0xff; 32]))
        {
            walk.meet(id, Entry::Known(record));
        }
        walk.out.unreadable.append(&mut spent.unreadable);
        Ok(walk.out)
    }

    /// What stands at places that share a tag, in the order of ids.
    fn group(&self, places: &[(u64, Place)]) -> Vec<(RecordId, Entry)> {
        let mut group = Vec::with_capacity(places.len());
        for (tag, place) in places {
            let bytes = match self.frame(*place) {
                Ok(Some(bytes)) => bytes,
                // Dropped since the walk began: as if it had been dropped before.
                Ok(None) => continue,
                Err(error) => {
                    group.push((least_of(*tag), Entry::Unreadable(None, error.to_string())));
                    continue;
                }
            };
            let Some((id, kind)) = bytes.frame().map(|f| (f.id, f.kind)) else { continue };
            let entry = match (kind == Kind::Put).then(|| bytes.record(id)) {
                Some(Ok(record)) => Entry::Known(record),
                Some(Err(error)) => Entry::Unreadable(Some(id), error.to_string()),
                None => Entry::Forgotten,
            };
            group.push((id, entry));
        }
        group.sort_unstable_by_key(|(id, _)| *id);
        group
    }
}

/// The least id with this tag: of a damaged frame nothing more is known.
fn least_of(tag: u64) -> RecordId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&tag.to_be_bytes());
    RecordId(id)
}

/// What stands under an id.
enum Entry {
    Known(Record),
    Forgotten,
    /// The id, where it is known, and why.
    Unreadable(Option<RecordId>, String),
}

/// A page on its way.
struct Walk<'a> {
    filter: &'a Filter,
    page: &'a Page,
    out: Listing,
    looked_at: usize,
    /// All up to here was met.
    last: Option<RecordId>,
    ended: bool,
}

impl<'a> Walk<'a> {
    fn new(filter: &'a Filter, page: &'a Page) -> Self {
        Self { filter, page, out: Listing::default(), looked_at: 0, last: None, ended: false }
    }

    /// Takes what passes. True once the page ends before `id`: it is full and one more is known, or enough
    /// was looked at.
    fn meet(&mut self, id: RecordId, entry: Entry) -> bool {
        if self.page.after.is_some_and(|after| id <= after) {
            return false;
        }
        let passes = match &entry {
            Entry::Known(record) => self.filter.admits(record),
            Entry::Forgotten => false,
            Entry::Unreadable(..) => true,
        };
        let full = self.out.records.len() + self.out.unreadable.len() >= self.page.limit;
        if (passes && full) || self.looked_at >= LOOKED_AT_MAX {
            self.out.next = self.last;
            self.ended = true;
            return true;
        }
        self.looked_at += 1;
        self.last = Some(id);
        match entry {
            Entry::Known(record) if passes => self.out.records.push((id, record)),
            Entry::Known(_) | Entry::Forgotten => {}
            Entry::Unreadable(id, why) => self.out.unreadable.push(Unreadable { id, why }),
        }
        false
    }
}

/// All tables as one, in the order of ids.
struct Spent<'a> {
    cursors: Vec<Cursor<'a>>,
    /// Blocks that could not be read, and were passed over.
    unreadable: Vec<Unreadable>,
}

impl<'a> Spent<'a> {
    fn new(tables: &'a [std::sync::Arc<SpentTable>], after: Option<&RecordId>) -> Self {
        let from = |table: &SpentTable| after.map_or(0, |after| table.block_of(after));
        let cursors = tables.iter().map(|table| Cursor::from_block(table, from(table))).collect();
        let mut this = Self { cursors, unreadable: Vec::new() };
        let Some(after) = after else { return this };
        for cursor in &mut this.cursors {
            while peek(cursor, &mut this.unreadable).is_some_and(|entry| entry.id() <= *after) {
                cursor.advance();
            }
        }
        this
    }

    /// The next key before `id`, and not the same as it in what a table keeps.
    fn before(&mut self, id: &RecordId) -> Option<(RecordId, Record)> {
        let mut least: Option<(RecordId, Record)> = None;
        for cursor in &mut self.cursors {
            if let Some(entry) = peek(cursor, &mut self.unreadable)
                && entry.id().0[..16] < id.0[..16]
                && least.as_ref().is_none_or(|(least, _)| entry.id() <= *least)
            {
                least = Some((entry.id(), entry.record()));
            }
        }
        if let Some((id, _)) = &least {
            let id = *id;
            self.skip(&id);
        }
        least
    }

    /// Passes over `id`: the log's word counts more than a table's.
    fn skip(&mut self, id: &RecordId) {
        for cursor in &mut self.cursors {
            while peek(cursor, &mut self.unreadable)
                .is_some_and(|entry| entry.id().0[..16] == id.0[..16])
            {
                cursor.advance();
            }
        }
    }
}

/// The next entry that can be read.
fn peek(cursor: &mut Cursor<'_>, unreadable: &mut Vec<Unreadable>) -> Option<SpentEntry> {
    loop {
        match cursor.peek() {
            Ok(entry) => return entry,
            Err(error) => {
                let why = StoreError::from(error).to_string();
                unreadable.push(Unreadable { id: None, why });
                cursor.skip_block();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_when_enough_was_looked_at() {
        let (filter, page) = (Filter::default(), Page { after: None, limit: 10 });
        let mut walk = Walk::new(&filter, &page);
        for n in 0..LOOKED_AT_MAX as u64 {
            assert!(!walk.meet(least_of(n), Entry::Forgotten));
        }
        assert!(walk.meet(least_of(LOOKED_AT_MAX as u64), Entry::Forgotten));
        assert_eq!(walk.out.next, Some(least_of(LOOKED_AT_MAX as u64 - 1)));
        let page = Page { after: walk.out.next, limit: 10 };
        let mut walk = Walk::new(&filter, &page);
        assert!(!walk.meet(least_of(7), Entry::Forgotten), "it was met on the page before");
        assert!(!walk.meet(least_of(LOOKED_AT_MAX as u64), Entry::Forgotten));
        assert_eq!((walk.looked_at, walk.out.next), (1, None));
    }
}
