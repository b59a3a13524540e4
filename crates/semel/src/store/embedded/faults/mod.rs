//! A disk in memory that does all that real disks do: loses unsynced sectors in any order, tears
//! them, forgets names, runs full, fails a sync and lies about the next one.
//!
//! For tests and simulations. The same seed gives the same losses.

mod state;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskCounts, DiskFile};
use state::State;

pub use state::{Fate, SECTOR_BYTES};

/// The platter. Clones share it; [`FaultDisk::process`] opens it for one process.
#[derive(Clone, Debug)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

impl FaultDisk {
    /// An empty disk of `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(capacity))) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as one process sees it, until the power fails or the process is dropped.
    #[must_use]
    pub fn process(&self) -> Arc<dyn Disk> {
        let life = self.state().life;
        Arc::new(Mounted { disk: self.clone(), life, lock: Mutex::new(false) })
    }

    /// The process dies, the machine lives: what was written stays, synced or not. Its handles are
    /// dead and its lock is free.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// The power fails. `fate` is asked for each sector that was written and not synced, and the
    /// names that were made or removed since the last sync of the directory are kept up to a point
    /// that `names` chooses from how many there are.
    pub fn power_loss(
        &self,
        fate: impl FnMut(&str, u64) -> Fate,
        names: impl FnOnce(usize) -> usize,
    ) {
        self.state().power_loss(fate, names);
    }

    /// The power fails, and `seed` decides what is lost.
    pub fn power_loss_by_seed(&self, seed: u64) {
        let mut x = seed;
        let mut draw = move || {
            // SplitMix64 (Steele, Lea, Flood 2014).
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let kept = draw();
        self.power_loss(
            |_, _| match draw() % 8 {
                0..=2 => Fate::Kept,
                3..=5 => Fate::Lost,
                _ => Fate::Torn,
            },
            |count| usize::try_from(kept).unwrap_or(usize::MAX) % (count + 1),
        );
    }

    /// The power fails within the `changes`th change from now (writes, syncs, names): that one may
    /// happen by halves, every later one fails. [`Self::power_loss`] then decides what is left.
    pub fn cut_power_in(&self, changes: u64) {
        self.state().power_left = Some(changes);
    }

    /// Whether the power that [`Self::cut_power_in`] cuts is off by now.
    #[must_use]
    pub fn power_is_off(&self) -> bool {
        self.state().power_left == Some(0)
    }

    /// How many bytes fit, from now on.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Bytes that files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// After `after` more successful syncs of files, one fails and what it should have synced is
    /// never written; later ones succeed again, as Linux has it.
    pub fn fail_sync(&self, after: u64) {
        self.state().fail_sync = Some(after);
    }

    /// After `after` more successful writes, one stops half way with an error.
    pub fn fail_write(&self, after: u64, kind: io::ErrorKind) {
        self.state().fail_write = Some((after, kind));
    }

    /// Flips one bit of a file, on the platter and as it is read. False when there is no such byte.
    pub fn flip_bit(&self, name: &str, byte: u64, bit: u8) -> bool {
        self.state().flip_bit(name, byte, bit)
    }

    /// Makes zeros of all bytes of a file, on the platter and as it is read. False when there is none.
    pub fn wipe(&self, name: &str) -> bool {
        self.state().wipe(name)
    }

    /// Removes a file behind the store's back.
    pub fn lose_file(&self, name: &str) -> bool {
        self.state().lose_file(name)
    }

    /// The bytes of a file as they are read now.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.state().file(name).map(|file| file.current.clone())
    }

    /// The files, sorted by name.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().names()
    }

    /// The sectors of all files that are written and not synced.
    #[must_use]
    pub fn unsynced(&self) -> Vec<(String, u64)> {
        self.state().unsynced()
    }

    /// What was asked of it so far.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        self.state().counts
    }
}

#[derive(Debug)]
struct Mounted {
    disk: FaultDisk,
    life: u64,
    lock: Mutex<bool>,
}

impl Mounted {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("this process is dead"));
        }
        Ok(state)
    }

    fn handle(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(Handle { disk: self.disk.clone(), life: self.life, inode })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if *self.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            let mut state = self.disk.state();
            if state.life == self.life {
                state.locked = false;
            }
        }
    }
}

impl Disk for Mounted {
    fn place(&self) -> String {
        "the simulated disk".into()
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.alive()?;
        if state.locked {
            return Ok(false);
        }
        state.locked = true;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(true)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.names())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.alive()?.create(name)?;
        Ok(self.handle(inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.alive()?.inode(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.alive()?.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.alive()?.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.alive()?.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.alive()?;
        Ok(state.capacity.saturating_sub(state.used()))
    }
}

#[derive(Debug)]
struct Handle {
    disk: FaultDisk,
    life: u64,
    inode: usize,
}

impl Handle {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("this process is dead"));
        }
        Ok(state)
    }
}

impl DiskFile for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.inodes[self.inode].current.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.alive()?;
        let bytes = &state.inodes[self.inode].current;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let n = into.len().min(bytes.len() - from);
        into[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        state.counts.written += bytes.len() as u64;
        state.write(self.inode, bytes, offset)
    }

    fn fill(&self, len: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        state.counts.filled += len;
        let zeros = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        state.write(self.inode, &zeros, 0)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.alive()?.truncate(self.inode, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.alive()?.sync(self.inode)
    }
}
