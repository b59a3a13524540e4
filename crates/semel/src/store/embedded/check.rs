//! Reading a whole store for damage: every byte of the log and of the tables, also where opening
//! believes an index file.

use std::path::Path;

use super::batch::BatchHeader;
use super::disk::{Disk, FsDisk};
use super::error::OpenError;
use super::last::LastBatch;
use super::manifest::Manifest;
use super::options::Mark;
use super::recover::{manifest, take};
use super::segment::{
    FIRST_BATCH, batch_at, header_is_whole, number, read_all, scan_from, segment_name, spent_name,
};
use super::spent::{SpentTable, TableError};

/// Something that was acknowledged and does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file within the directory.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong.
    pub what: &'static str,
    pub(super) place: DamagedPlace,
}

/// What [`super::repair`] needs to know of a damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DamagedPlace {
    /// The header of a segment.
    Header(u32),
    /// Batches from `sequence` up to `next`, which is whole. `sure` when all the bytes are theirs.
    Batches { segment: u32, sequence: u64, next: u64, sure: bool },
    /// A segment that is gone, with the batches from `sequence` on; `next` where one follows.
    Segment { segment: u32, sequence: u64, next: Option<u64> },
    /// A table of spent keys.
    Table(u32),
}

/// What a look at a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Segments of the log.
    pub segments: usize,
    /// Batches that are whole.
    pub batches: u64,
    /// Records in them, replaced ones too.
    pub records: u64,
    /// Keys in tables of spent keys.
    pub spent_keys: u64,
    /// An unfinished write behind the last batch, by file and offset: no damage, it was never
    /// acknowledged. Opening cuts it.
    pub unfinished: Option<(String, u64)>,
    /// How far the log has come.
    pub mark: Option<Mark>,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Files that a repair made of what it set aside.
    pub quarantined: Vec<String>,
    /// Records that a repair found whole within damaged batches, and kept.
    pub kept: u64,
}

/// Reads the store in the directory `path` for damage and changes nothing.
///
/// # Errors
/// When the directory is in use or is no store.
pub fn check(path: &Path) -> Result<Report, OpenError> {
    let place = path.display().to_string();
    let disk = match FsDisk::at(path) {
        Ok(disk) => disk,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(OpenError::Missing { place });
        }
        Err(error) => return Err(OpenError::io(place)(error)),
    };
    check_on(&disk)
}

/// Like [`check`], on any disk.
///
/// # Errors
/// As there.
pub fn check_on(disk: &dyn Disk) -> Result<Report, OpenError> {
    take(disk)?;
    look(disk).map(|(report, _)| report)
}

/// The directory is taken already.
pub(super) fn look(disk: &dyn Disk) -> Result<(Report, Manifest), OpenError> {
    let manifest = manifest(disk)?;
    let names = disk.list().map_err(OpenError::io(disk.place()))?;
    let last = names.iter().filter_map(|name| number(name, "log-", ".seg")).max();
    let last = last.unwrap_or(manifest.first_segment).max(manifest.first_segment);
    let mut looker = Looker {
        disk,
        report: Report::default(),
        next: manifest.first_sequence,
        end: (manifest.first_segment, FIRST_BATCH, 0),
        last: LastBatch::kept(disk).map_err(OpenError::io(disk.place()))?,
    };
    for id in manifest.first_segment..=last {
        looker.segment(id)?;
    }
    for table in &manifest.tables {
        looker.table(*table)?;
    }
    let (incarnation, sequence) = (manifest.incarnation, looker.next - 1);
    looker.report.mark = Some(Mark { incarnation, sequence });
    Ok((looker.report, manifest))
}

struct Looker<'a> {
    disk: &'a dyn Disk,
    report: Report,
    /// The sequence of the batch that should come next.
    next: u64,
    /// Where the next batch was to stand: segment, offset, and the length of the file.
    end: (u32, u32, u64),
    /// What an opening would put back.
    last: Option<LastBatch>,
}

impl Looker<'_> {
    fn damage(
        &mut self,
        file: String,
        offset: u64,
        bytes: u64,
        what: &'static str,
        place: DamagedPlace,
    ) {
        self.report.damage.push(Damage { file, offset, bytes, what, place });
    }

    fn segment(&mut self, id: u32) -> Result<(), OpenError> {
        let name = segment_name(id);
        let mut bytes = match self.disk.open(&name).and_then(|file| read_all(&*file)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let place = DamagedPlace::Segment { segment: id, sequence: self.next, next: None };
                self.damage(name, 0, 0, "the segment is missing", place);
                return Ok(());
            }
            Err(error) => return Err(OpenError::io(name)(error)),
        };
        if let Some(last) = &self.last {
            last.overlay(id, &mut bytes);
        }
        self.report.segments += 1;
        if !header_is_whole(&bytes, id) {
            let place = DamagedPlace::Header(id);
            self.damage(name.clone(), 0, u64::from(FIRST_BATCH), "the segment's header", place);
        }
        self.first_batch(id, &bytes);
        if self.next_belongs(id, &bytes) {
            self.end = (id, FIRST_BATCH, bytes.len() as u64);
        }
        let mut from = FIRST_BATCH;
        loop {
            let found = scan_from(&bytes, id, from, self.next);
            self.report.batches += found.batches.len() as u64;
            let frames = found.batches.iter().map(|(_, header)| u64::from(header.count));
            self.report.records += frames.sum::<u64>();
            if !found.batches.is_empty() {
                self.end = (id, found.end, bytes.len() as u64);
                self.report.unfinished = None;
            }
            let sequence = found.next;
            self.next = sequence;
            let whole = found.beyond.and_then(|at| Some((at, batch_at(&bytes, id, at)?.sequence)));
            let Some((at, next)) = whole else {
                let rest = bytes.get(found.end as usize..).unwrap_or_default();
                if BatchHeader::resembles(rest, u64::from(id), sequence) {
                    self.report.unfinished = Some((name, u64::from(found.end)));
                }
                return Ok(());
            };
            let place = DamagedPlace::Batches { segment: id, sequence, next, sure: true };
            let (offset, bytes) = (u64::from(found.end), u64::from(at - found.end));
            self.damage(name.clone(), offset, bytes, "broken batches before whole ones", place);
            (from, self.next) = (at, next);
        }
    }

    /// Whether the next batch was to stand first in this segment, so that it is missing here if it is
    /// missing at all. A segment that took no batch stays as it was made.
    fn next_belongs(&self, id: u32, bytes: &[u8]) -> bool {
        let first = bytes.get(FIRST_BATCH as usize..).unwrap_or_default();
        self.report.segments == 1
            || !header_is_whole(bytes, id)
            || BatchHeader::resembles(first, u64::from(id), self.next)
    }

    /// When a segment begins with a later batch than is due, the ones between are missing at the
    /// end of the segment before, or with the segments between.
    fn first_batch(&mut self, id: u32, bytes: &[u8]) {
        let Some(first) = batch_at(bytes, id, FIRST_BATCH) else { return };
        if first.sequence <= self.next {
            return;
        }
        let (sequence, next) = (self.next, first.sequence);
        self.next = next;
        self.report.unfinished = None;
        if let Some(Damage { place: DamagedPlace::Segment { next: known, .. }, .. }) =
            self.report.damage.last_mut()
        {
            *known = Some(next);
            return;
        }
        let (segment, end, len) = self.end;
        let place = DamagedPlace::Batches { segment, sequence, next, sure: false };
        let bytes = len.saturating_sub(u64::from(end));
        self.damage(segment_name(segment), u64::from(end), bytes, "the last batches", place);
    }

    fn table(&mut self, number: u32) -> Result<(), OpenError> {
        let read = SpentTable::open(self.disk, number).and_then(|table| {
            for block in 0..table.blocks() {
                table.block(block)?;
            }
            Ok(table.entries)
        });
        match read {
            Ok(entries) => self.report.spent_keys += entries,
            Err(TableError::Damaged { name, offset }) => {
                self.damage(name, offset, 0, "a table of spent keys", DamagedPlace::Table(number));
            }
            Err(TableError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let name = spent_name(number);
                self.damage(name, 0, 0, "a table is missing", DamagedPlace::Table(number));
            }
            Err(TableError::Io { name, source }) => {
                return Err(OpenError::Io { path: name, source });
            }
        }
        Ok(())
    }
}
