//! The index in memory: sixteen bytes a slot, from the first eight bytes of an id to a place in the
//! log.
//!
//! Open addressing with linear probing in 256 shards by the first byte, each growing alone and by
//! half, so that a live key never costs more than 32 bytes and growth never doubles the whole. Two
//! ids may share their first eight bytes: whoever looks up compares the whole id at the place.

use std::sync::{PoisonError, RwLock};

use semel_core::RecordId;

const SHARDS: usize = 256;
const FEWEST: usize = 8;
/// No place begins at offset zero of segment zero.
const EMPTY: u64 = 0;
const DELETED: u64 = 1 << 63;

/// Where a frame stands: which segment, and its offset there. The frame of a forgotten key is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(u64);

impl Place {
    pub(super) fn new(segment: u32, offset: u32, deleted: bool) -> Self {
        assert!(segment != 0 && segment < 1 << 31, "segments are numbered from 1 to 2^31 - 1");
        let place = u64::from(segment) << 32 | u64::from(offset);
        Self(if deleted { place | DELETED } else { place })
    }

    pub(super) const fn segment(self) -> u32 {
        ((self.0 & !DELETED) >> 32) as u32
    }

    pub(super) const fn offset(self) -> u32 {
        self.0 as u32
    }

    pub(super) const fn deleted(self) -> bool {
        self.0 & DELETED != 0
    }
}

/// The first eight bytes of an id, in the order of ids.
pub(super) fn tag(id: &RecordId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.0[..8]);
    u64::from_be_bytes(first)
}

/// The places under one tag: nearly always none or one.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) first: Option<Place>,
    pub(super) rest: Vec<Place>,
}

impl Matches {
    pub(super) fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        self.first.into_iter().chain(self.rest.iter().copied())
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u64,
    place: u64,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    len: usize,
}

/// Spreads tags over a shard even where ids are not hashes (MurmurHash3's finaliser).
const fn mix(tag: u64) -> u64 {
    let mut x = tag;
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

impl Table {
    fn home(&self, tag: u64) -> usize {
        ((u128::from(mix(tag)) * self.slots.len() as u128) >> 64) as usize
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    fn position(&self, tag: u64, place: u64) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        while self.slots[at].place != EMPTY {
            if self.slots[at].tag == tag && self.slots[at].place == place {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    fn matches(&self, tag: u64) -> Matches {
        let mut found = Matches::default();
        if self.slots.is_empty() {
            return found;
        }
        let mut at = self.home(tag);
        while self.slots[at].place != EMPTY {
            if self.slots[at].tag == tag {
                let place = Place(self.slots[at].place);
                match found.first {
                    None => found.first = Some(place),
                    Some(_) => found.rest.push(place),
                }
            }
            at = self.after(at);
        }
        found
    }

    fn reserve(&mut self, more: usize) {
        // Six sevenths full at most: probes stay short, and a slot's share stays under 28 bytes.
        let needed = (self.len + more) * 7 / 6 + 1;
        if needed > self.slots.len() {
            let size = needed.max(self.slots.len() * 3 / 2).max(FEWEST);
            let empty = Slot { tag: 0, place: EMPTY };
            let old = std::mem::replace(&mut self.slots, vec![empty; size]);
            for slot in old.into_iter().filter(|slot| slot.place != EMPTY) {
                self.place(slot);
            }
        }
    }

    fn place(&mut self, slot: Slot) {
        let mut at = self.home(slot.tag);
        while self.slots[at].place != EMPTY {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    fn insert(&mut self, slot: Slot) {
        self.reserve(1);
        self.place(slot);
        self.len += 1;
    }

    /// Closes the hole at `hole` by moving back what probed past it, so that no marker is needed.
    fn remove_at(&mut self, mut hole: usize) {
        let mut at = self.after(hole);
        while self.slots[at].place != EMPTY {
            let home = self.home(self.slots[at].tag);
            let stays =
                if hole < at { hole < home && home <= at } else { hole < home || home <= at };
            if !stays {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole].place = EMPTY;
        self.len -= 1;
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.slots.len() > 4 * FEWEST && self.len * 3 < self.slots.len() {
            let size = (self.len * 3 / 2).max(FEWEST);
            let empty = Slot { tag: 0, place: EMPTY };
            let old = std::mem::replace(&mut self.slots, vec![empty; size]);
            for slot in old.into_iter().filter(|slot| slot.place != EMPTY) {
                self.place(slot);
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<RwLock<Table>>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    fn shard(&self, tag: u64) -> &RwLock<Table> {
        &self.shards[(tag >> 56) as usize]
    }

    /// Makes room for `more` keys that spread evenly.
    pub(super) fn reserve(&self, more: usize) {
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).reserve(more / SHARDS);
        }
    }

    pub(super) fn matches(&self, tag: u64) -> Matches {
        self.shard(tag).read().unwrap_or_else(PoisonError::into_inner).matches(tag)
    }

    /// Puts `new` in place of `old`, or beside all others.
    pub(super) fn put(&self, tag: u64, old: Option<Place>, new: Place) {
        let mut table = self.shard(tag).write().unwrap_or_else(PoisonError::into_inner);
        match old.and_then(|old| table.position(tag, old.0)) {
            Some(at) => table.slots[at].place = new.0,
            None => table.insert(Slot { tag, place: new.0 }),
        }
    }

    /// Adds a place under a tag that has none; else tells what it has and changes nothing.
    pub(super) fn add(&self, tag: u64, place: Place) -> Option<Matches> {
        let mut table = self.shard(tag).write().unwrap_or_else(PoisonError::into_inner);
        let found = table.matches(tag);
        if found.first.is_some() {
            return Some(found);
        }
        table.insert(Slot { tag, place: place.0 });
        None
    }

    /// Removes exactly this place; false when something else stands there by now.
    pub(super) fn remove(&self, tag: u64, place: Place) -> bool {
        let mut table = self.shard(tag).write().unwrap_or_else(PoisonError::into_inner);
        let found = table.position(tag, place.0);
        if let Some(at) = found {
            table.remove_at(at);
        }
        found.is_some()
    }

    /// Whether exactly this place is the present one.
    pub(super) fn holds(&self, tag: u64, place: Place) -> bool {
        let table = self.shard(tag).read().unwrap_or_else(PoisonError::into_inner);
        table.position(tag, place.0).is_some()
    }

    pub(super) fn len(&self) -> usize {
        let len = |shard: &RwLock<Table>| shard.read().unwrap_or_else(PoisonError::into_inner).len;
        self.shards.iter().map(len).sum()
    }

    /// Bytes that the slots take.
    pub(super) fn bytes(&self) -> usize {
        let slots =
            |s: &RwLock<Table>| s.read().unwrap_or_else(PoisonError::into_inner).slots.len();
        self.shards.iter().map(slots).sum::<usize>() * size_of::<Slot>()
    }

    /// The tags and places of one shard, in the order of tags. Shards are in the order of tags, too.
    pub(super) fn sorted(&self, shard: usize) -> Vec<(u64, Place)> {
        let table = self.shards[shard].read().unwrap_or_else(PoisonError::into_inner);
        let used = table.slots.iter().filter(|slot| slot.place != EMPTY);
        let mut all: Vec<_> = used.map(|slot| (slot.tag, Place(slot.place))).collect();
        drop(table);
        all.sort_unstable();
        all
    }

    pub(super) const SHARDS: usize = SHARDS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn place(n: u32) -> Place {
        Place::new(1 + n / 1000, 1 + n % 1000, false)
    }

    #[test]
    fn it_agrees_with_a_map_over_puts_and_removals() {
        let index = Index::new();
        let mut model: BTreeMap<u64, Place> = BTreeMap::new();
        let mut x = 1_u64;
        for n in 0..20_000_u32 {
            x = mix(x.wrapping_add(0x9e37_79b9_7f4a_7c15));
            // Few tags in few shards: long probes, wrap-around, and many removals.
            let tag = (x % 700) << 54;
            match model.get(&tag).copied() {
                Some(old) if x & 1024 == 0 => {
                    assert!(index.remove(tag, old));
                    model.remove(&tag);
                }
                old => {
                    index.put(tag, old, place(n));
                    model.insert(tag, place(n));
                }
            }
            assert_eq!(index.matches(tag).first, model.get(&tag).copied());
        }
        for (tag, place) in &model {
            assert!(index.holds(*tag, *place));
        }
        assert_eq!(index.len(), model.len());
        let listed: Vec<_> = (0..SHARDS).flat_map(|s| index.sorted(s)).collect();
        assert_eq!(listed, model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn ids_that_share_a_tag_are_all_found() {
        let index = Index::new();
        for n in 1..=3 {
            index.put(9, None, place(n));
        }
        assert!(index.remove(9, place(2)));
        assert_eq!(index.matches(9).iter().collect::<Vec<_>>(), [place(1), place(3)]);
    }

    #[test]
    fn a_key_costs_at_most_32_bytes_however_many_there_are() {
        let index = Index::new();
        for n in 0..200_000_u32 {
            index.put(mix(u64::from(n)), None, place(n));
            if n > 20_000 && n % 1000 == 0 {
                assert!(index.bytes() <= 32 * index.len(), "{} keys", index.len());
            }
        }
    }
}
