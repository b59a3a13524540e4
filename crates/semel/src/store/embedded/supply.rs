//! Segments in store: pre-written spares, and the next segment with its name already on disk, so
//! that the committer moves on without a wait.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;

use super::options::EmbeddedOptions;
use super::segment::{FIRST_BATCH, Segment, christen, prewrite, segment_name, spare_name};
use super::shared::{Shared, held};

#[derive(Debug, Default)]
pub(super) struct Supply {
    pub(super) next_segment: u32,
    pub(super) next_spare: u32,
    /// Named and empty, in ascending order.
    pub(super) ready: VecDeque<Segment>,
    /// Pre-written files, by name.
    pub(super) spares: Vec<String>,
}

/// True when the error says that the disk is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes of a segment that are sure to hold frames: a batch that does not fit into the rest leaves
/// that rest unused.
pub(super) fn sure_bytes(capacity: u64, options: &EmbeddedOptions) -> u64 {
    capacity.saturating_sub(u64::from(FIRST_BATCH)).saturating_sub(options.longest_batch())
}

impl Shared {
    /// The next segment, from the supply or made now.
    pub(super) fn take_segment(&self) -> io::Result<Segment> {
        let mut supply = held(&self.supply);
        let taken = match supply.ready.pop_front() {
            Some(segment) => Ok(segment),
            None => self.make_ready(&mut supply),
        };
        self.note(&supply);
        taken
    }

    pub(super) fn note(&self, supply: &Supply) {
        let stocked = supply.ready.len() + supply.spares.len();
        self.stocked.store(stocked as u64, Ordering::Release);
    }

    /// Names a spare as the next segment. Under the supply's lock, or numbers could overtake.
    fn make_ready(&self, supply: &mut Supply) -> io::Result<Segment> {
        let spare = match supply.spares.pop() {
            Some(spare) => spare,
            None => {
                let name = spare_name(supply.next_spare);
                supply.next_spare += 1;
                prewrite(&*self.disk, &name, self.options.segment_bytes)?;
                name
            }
        };
        let segment = christen(&*self.disk, &spare, supply.next_segment)?;
        supply.next_segment += 1;
        Ok(segment)
    }

    /// Fills the supply up to the pool's size. Off the commit path.
    pub(super) fn stock(&self) -> io::Result<()> {
        loop {
            let name = {
                let mut supply = held(&self.supply);
                if supply.ready.len() + supply.spares.len() >= self.options.pool.max(1) {
                    break;
                }
                supply.next_spare += 1;
                spare_name(supply.next_spare - 1)
            };
            prewrite(&*self.disk, &name, self.options.segment_bytes)?;
            let mut supply = held(&self.supply);
            supply.spares.push(name);
            self.note(&supply);
        }
        let mut supply = held(&self.supply);
        if supply.ready.is_empty() {
            let segment = self.make_ready(&mut supply)?;
            supply.ready.push_back(segment);
        }
        self.note(&supply);
        Ok(())
    }

    /// Takes back a segment that nobody reads any more, as a spare where one is wanted.
    pub(super) fn recycle(&self, id: u32, whole: bool) -> io::Result<()> {
        let mut supply = held(&self.supply);
        let wanted = supply.ready.len() + supply.spares.len() < self.options.pool.max(1);
        if whole && wanted {
            let spare = spare_name(supply.next_spare);
            supply.next_spare += 1;
            self.disk.rename(&segment_name(id), &spare)?;
            supply.spares.push(spare);
            self.note(&supply);
            return Ok(());
        }
        drop(supply);
        self.disk.remove(&segment_name(id))
    }

    /// Bytes that are sure to be there for frames beside those of the segment in use: in the
    /// supply, and if `with_disk` in segments that the file system has room for.
    pub(super) fn free_bytes(&self, with_disk: bool) -> u64 {
        let each = sure_bytes(u64::from(self.options.segment_bytes), &self.options);
        let stocked = self.stocked.load(Ordering::Acquire);
        let more = if with_disk {
            self.disk.free_bytes().unwrap_or(0) / u64::from(self.options.segment_bytes)
        } else {
            0
        };
        (stocked + more).saturating_mul(each)
    }
}
