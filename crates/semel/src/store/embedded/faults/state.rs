//! What the platter holds, and what only the page cache does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::super::disk::DiskCounts;

/// Bytes that are kept, lost or torn together.
pub const SECTOR_BYTES: u64 = 512;

/// What becomes of an unsynced sector when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reached the platter.
    Kept,
    /// It did not: what was there before is there.
    Lost,
    /// Its first half is new, the rest is neither.
    Torn,
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// As it is read.
    pub(super) current: Vec<u8>,
    /// As it is on the platter.
    durable: Vec<u8>,
    dirty: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) inodes: Vec<Inode>,
    current: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    pub(super) capacity: u64,
    /// Counts processes: a handle of an earlier one is dead.
    pub(super) life: u64,
    pub(super) locked: bool,
    pub(super) fail_sync: Option<u64>,
    pub(super) fail_write: Option<(u64, io::ErrorKind)>,
    /// Changes until the power fails.
    pub(super) power_left: Option<u64>,
    pub(super) counts: DiskCounts,
}

fn sector(bytes: &[u8], n: u64) -> &[u8] {
    let from = ((n * SECTOR_BYTES) as usize).min(bytes.len());
    let to = (from + SECTOR_BYTES as usize).min(bytes.len());
    &bytes[from..to]
}

impl Inode {
    fn persist(&mut self, n: u64, fate: Fate) {
        let mut new = sector(&self.current, n).to_vec();
        match fate {
            Fate::Kept => {}
            Fate::Lost => return,
            Fate::Torn => {
                let half = new.len() / 2;
                new[half..].fill(0xa5);
            }
        }
        let from = (n * SECTOR_BYTES) as usize;
        if self.durable.len() < from + new.len() {
            self.durable.resize(from + new.len(), 0);
        }
        self.durable[from..from + new.len()].copy_from_slice(&new);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl State {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            inodes: Vec::new(),
            current: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            capacity,
            life: 0,
            locked: false,
            fail_sync: None,
            fail_write: None,
            power_left: None,
            counts: DiskCounts::default(),
        }
    }

    /// Every change of the disk asks first. The one in which the power fails is begun, and none
    /// after it.
    fn powered(&mut self) -> io::Result<bool> {
        match self.power_left {
            None => Ok(true),
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                self.power_left = Some(left - 1);
                Ok(left > 1)
            }
        }
    }

    /// The same for a change that is whole or not at all.
    fn powered_whole(&mut self) -> io::Result<()> {
        if self.powered()? { Ok(()) } else { Err(io::Error::other("the power failed")) }
    }

    pub(super) fn used(&self) -> u64 {
        self.current.values().map(|inode| self.inodes[*inode].current.len() as u64).sum()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.current.keys().cloned().collect()
    }

    pub(super) fn inode(&self, name: &str) -> Option<usize> {
        self.current.get(name).copied()
    }

    pub(super) fn file(&self, name: &str) -> Option<&Inode> {
        self.inode(name).map(|inode| &self.inodes[inode])
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.current, &change);
        self.changes.push(change);
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<usize> {
        self.powered_whole()?;
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.change(NameChange::Link(name.into(), inode));
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.powered_whole()?;
        self.inode(from).ok_or(io::ErrorKind::NotFound)?;
        self.change(NameChange::Rename(from.into(), to.into()));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.powered_whole()?;
        self.inode(name).ok_or(io::ErrorKind::NotFound)?;
        self.change(NameChange::Unlink(name.into()));
        Ok(())
    }

    pub(super) fn sync_dir(&mut self) -> io::Result<()> {
        self.powered_whole()?;
        self.counts.dir_syncs += 1;
        for change in std::mem::take(&mut self.changes) {
            apply(&mut self.durable, &change);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, inode: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut failure = None;
        let mut len = bytes.len();
        if !self.powered()? {
            len /= 2;
            failure = Some(io::Error::other("the power failed"));
        }
        if let Some((after, kind)) = self.fail_write {
            self.fail_write = after.checked_sub(1).map(|after| (after, kind));
            if after == 0 {
                len /= 2;
                failure = Some(io::Error::from(kind));
            }
        }
        let used = self.used();
        let file = &mut self.inodes[inode];
        let end = offset as usize + len;
        let grows = end.saturating_sub(file.current.len()) as u64;
        let room = self.capacity.saturating_sub(used);
        if grows > room {
            len -= usize::try_from(grows - room).unwrap_or(len).min(len);
            failure = Some(io::Error::from(io::ErrorKind::StorageFull));
        }
        let end = offset as usize + len;
        if file.current.len() < end {
            file.current.resize(end, 0);
        }
        file.current[offset as usize..end].copy_from_slice(&bytes[..len]);
        if len > 0 {
            file.dirty.extend(offset / SECTOR_BYTES..=(end as u64 - 1) / SECTOR_BYTES);
        }
        failure.map_or(Ok(()), Err)
    }

    pub(super) fn truncate(&mut self, inode: usize, len: u64) -> io::Result<()> {
        self.powered_whole()?;
        // A cut is journalled by real file systems; here it is durable at once, for no rule of the
        // log leans on its being late.
        let file = &mut self.inodes[inode];
        file.current.resize(len as usize, 0);
        let durable = file.durable.len().min(len as usize);
        file.durable.truncate(durable);
        file.dirty.retain(|n| n * SECTOR_BYTES < len);
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: usize) -> io::Result<()> {
        // What the sync was to write stays unsynced: kept, lost or torn, sector by sector.
        self.powered_whole()?;
        self.counts.syncs += 1;
        let dirty = std::mem::take(&mut self.inodes[inode].dirty);
        if let Some(after) = self.fail_sync {
            self.fail_sync = after.checked_sub(1);
            if after == 0 {
                // The pages are marked clean all the same, so no later sync writes them.
                return Err(io::Error::other("input/output error"));
            }
        }
        for n in dirty {
            self.inodes[inode].persist(n, Fate::Kept);
        }
        Ok(())
    }

    pub(super) fn restart(&mut self) {
        self.life += 1;
        self.locked = false;
        self.fail_sync = None;
        self.fail_write = None;
        self.power_left = None;
    }

    pub(super) fn power_loss(
        &mut self,
        mut fate: impl FnMut(&str, u64) -> Fate,
        names: impl FnOnce(usize) -> usize,
    ) {
        for (name, n) in self.unsynced() {
            let Some(inode) = self.inode(&name) else { continue };
            let fate = fate(&name, n);
            self.inodes[inode].persist(n, fate);
        }
        let changes = std::mem::take(&mut self.changes);
        let kept = if changes.is_empty() { 0 } else { names(changes.len()).min(changes.len()) };
        for change in &changes[..kept] {
            apply(&mut self.durable, change);
        }
        self.current = self.durable.clone();
        for file in &mut self.inodes {
            file.current = file.durable.clone();
            file.dirty.clear();
        }
        self.restart();
    }

    pub(super) fn unsynced(&self) -> Vec<(String, u64)> {
        let dirty = |(name, inode): (&String, &usize)| {
            let name = name.clone();
            self.inodes[*inode].dirty.iter().map(move |n| (name.clone(), *n)).collect::<Vec<_>>()
        };
        self.current.iter().flat_map(dirty).collect()
    }

    pub(super) fn flip_bit(&mut self, name: &str, byte: u64, bit: u8) -> bool {
        let Some(inode) = self.inode(name) else { return false };
        let file = &mut self.inodes[inode];
        let mut flipped = false;
        for bytes in [&mut file.current, &mut file.durable] {
            if let Some(byte) = bytes.get_mut(byte as usize) {
                *byte ^= 1 << (bit % 8);
                flipped = true;
            }
        }
        flipped
    }

    pub(super) fn wipe(&mut self, name: &str) -> bool {
        let Some(inode) = self.inode(name) else { return false };
        let file = &mut self.inodes[inode];
        file.current.fill(0);
        file.durable.fill(0);
        true
    }

    pub(super) fn lose_file(&mut self, name: &str) -> bool {
        self.durable.remove(name);
        self.current.remove(name).is_some()
    }
}
