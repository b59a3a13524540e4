//! Setting damage aside, by an operator's choice, so that a store opens again.
//!
//! The damaged bytes are copied into a `quarantine-…` file first. In their place stands a batch that
//! says which sequences are lost, with every record of the damaged batches that is whole by its own
//! checksum. A key whose latest record was lost looks as it did before, or new: it may run twice.
//! That is why nothing of this happens by itself.

use std::io;
use std::path::Path;
use std::sync::Arc;

use semel_core::{Incarnation, RecordId};

use super::batch::{
    BATCH_HEADER, BatchHeader, BatchWriter, FRAME_HEADER, Kind, SECTOR, frame_len, parse_frame,
};
use super::check::{Damage, DamagedPlace, Report, look};
use super::disk::{Disk, FsDisk};
use super::error::OpenError;
use super::last::LastBatch;
use super::manifest::{Manifest, NAME};
use super::recover::{Ground, manifest, take};
use super::segment::{
    FIRST_BATCH, christen, header, index_name, prewrite, read_all, segment_name, spare_name,
    spent_name,
};
use crate::entropy::{Entropy, SystemEntropy, random};
use crate::time::{SystemClock, WallClock};

/// What a repair makes of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The damage is set aside and the store goes on as the one it was. For when what was lost is
    /// known to do no harm.
    Quarantine,
    /// The same, and the store begins another life: running processes are refused until they are
    /// restarted, and keys that carry a time of their own from before now are too old to run.
    BeginAnew,
}

/// Repairs the store in the directory `path`, which nobody uses. Returns what was found and done; a
/// store without damage stays as it is.
///
/// # Errors
/// When the directory is in use, is no store, or cannot be written.
pub fn repair(path: &Path, choice: Choice) -> Result<Report, OpenError> {
    let place = path.display().to_string();
    let disk = FsDisk::at(path).map_err(OpenError::io(place))?;
    let ground = Ground {
        disk: Arc::new(disk),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    repair_on(&ground, choice)
}

/// Gives the store in the directory `path`, which nobody uses, another life from now on: what it
/// forgot ends with the old one, and whoever knows the old one refuses it.
///
/// # Errors
/// When the directory is in use, is no store, or cannot be written.
pub fn begin_anew(path: &Path) -> Result<(), OpenError> {
    let place = path.display().to_string();
    let disk = FsDisk::at(path).map_err(OpenError::io(place))?;
    take(&disk)?;
    let mut next = manifest(&disk)?;
    anew(&mut next, &SystemEntropy, &SystemClock);
    next.write(&disk).map_err(OpenError::io(NAME))
}

fn anew(manifest: &mut Manifest, entropy: &dyn Entropy, clock: &dyn WallClock) {
    manifest.incarnation = Incarnation(random(entropy));
    // Keys were dated by the store's time, which may be ahead of a clock that was set back.
    manifest.birth = clock.now().max(manifest.high_water);
}

/// Like [`repair`], on any ground.
///
/// # Errors
/// As there.
pub fn repair_on(ground: &Ground, choice: Choice) -> Result<Report, OpenError> {
    let disk = &*ground.disk;
    take(disk)?;
    let io = || OpenError::io(disk.place());
    if let Some(last) = LastBatch::kept(disk).map_err(io())? {
        last.put_back(disk).map_err(io())?;
    }
    let (mut report, mut manifest) = look(disk)?;
    if report.damage.is_empty() {
        return Ok(report);
    }
    let mut next = manifest.clone();
    for damage in report.damage.clone() {
        let file = damage.file.clone();
        set_aside(disk, &damage, &mut next, &mut report).map_err(OpenError::io(file))?;
    }
    if choice == Choice::BeginAnew {
        anew(&mut next, &*ground.entropy, &*ground.clock);
    }
    // It is not the last batch any more where a gap was written behind it, or its segment was made anew.
    LastBatch::drop_kept(disk).map_err(io())?;
    disk.sync_dir().map_err(io())?;
    next.write(disk).map_err(OpenError::io(NAME))?;
    manifest = next;
    tracing::warn!(incarnation = %manifest.incarnation, damage = report.damage.len(), "repaired");
    Ok(report)
}

fn set_aside(
    disk: &dyn Disk,
    damage: &Damage,
    manifest: &mut Manifest,
    report: &mut Report,
) -> io::Result<()> {
    match damage.place {
        DamagedPlace::Header(id) => {
            let file = disk.open(&segment_name(id))?;
            file.write_at(&header(id), 0)?;
            file.sync_data()
        }
        DamagedPlace::Batches { segment, sequence, next, sure } => {
            let file = disk.open(&segment_name(segment))?;
            let bytes = read_all(&*file)?;
            // A file that was cut may end before the place of its first batch.
            let behind = bytes.get(damage.offset as usize..).unwrap_or_default();
            let region = &behind[..behind.len().min(damage.bytes as usize)];
            let name = format!("quarantine-{segment:08}-{:010}.bin", damage.offset);
            copy_out(disk, &name, region)?;
            report.quarantined.push(name);
            let frames = if sure { whole_frames(region) } else { sure_frames(region, segment) };
            let (batch, kept) = gap(region.len(), frames, segment, sequence, next, manifest);
            file.write_at(&batch, damage.offset)?;
            file.sync_data()?;
            report.kept += kept;
            forget_index(disk, segment)
        }
        DamagedPlace::Segment { segment, sequence, next } => {
            let spare = spare_name(u32::MAX / 64);
            prewrite(disk, &spare, FIRST_BATCH + 4 * SECTOR as u32)?;
            let made = christen(disk, &spare, segment)?;
            // Where nothing follows nobody knows what was lost; an empty segment goes on.
            if let Some(next) = next {
                let (batch, _) = gap(SECTOR, Vec::new(), segment, sequence, next, manifest);
                made.file.write_at(&batch, u64::from(FIRST_BATCH))?;
                made.file.sync_data()?;
            }
            forget_index(disk, segment)
        }
        DamagedPlace::Table(number) => {
            let name = spent_name(number);
            let aside = format!("quarantine-{name}");
            match disk.rename(&name, &aside) {
                Ok(()) => report.quarantined.push(aside),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            manifest.tables.retain(|table| *table != number);
            Ok(())
        }
    }
}

fn copy_out(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(name)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    disk.sync_dir()
}

fn forget_index(disk: &dyn Disk, segment: u32) -> io::Result<()> {
    match disk.remove(&index_name(segment)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

type Whole = (Kind, RecordId, Vec<u8>);

/// The frames of broken batches that are whole by themselves, in their order.
fn whole_frames(region: &[u8]) -> Vec<Whole> {
    let mut frames = Vec::new();
    let mut batch = 0;
    while batch + BATCH_HEADER < region.len() {
        let mut at = batch + BATCH_HEADER;
        while let Some(len) = region.get(at..).and_then(frame_len)
            && at + len <= region.len()
        {
            if let Some(frame) = parse_frame(&region[at..]) {
                frames.push((frame.kind, frame.id, frame.body.to_vec()));
            }
            at += len;
        }
        batch = (batch + SECTOR).max(at.next_multiple_of(SECTOR));
    }
    frames
}

/// The same where only the first batch is sure to be one of this segment: what stands behind it may
/// be left from before the file was recycled.
fn sure_frames(region: &[u8], segment: u32) -> Vec<Whole> {
    let header = BatchHeader::parse(region, u64::from(segment));
    let known = header.map_or(0, |header| header.span().min(region.len()));
    whole_frames(&region[..known])
}

/// A batch in place of the broken ones, and how many records it keeps.
fn gap(
    room: usize,
    frames: Vec<Whole>,
    segment: u32,
    sequence: u64,
    next: u64,
    manifest: &Manifest,
) -> (Vec<u8>, u64) {
    let mut writer = BatchWriter::new();
    let mut kept = 0;
    // A single lost batch needs no word of the sequence, and might have no room for it.
    if next > sequence + 1 {
        writer.push(Kind::Gap, &RecordId([0; 32]), &next.to_le_bytes());
    }
    for (kind, id, body) in frames {
        if kind != Kind::Gap && writer.span_with(FRAME_HEADER + body.len()) <= room {
            writer.push(kind, &id, &body);
            kept += 1;
        }
    }
    // It takes all the room: the batch behind follows at once, and nothing of the broken ones stays
    // to be taken for something later.
    if writer.span() < room {
        let mut filler = next.to_le_bytes().to_vec();
        filler.resize(room - writer.len() - FRAME_HEADER, 0);
        writer.push(Kind::Gap, &RecordId([0; 32]), &filler);
    }
    (writer.seal(u64::from(segment), sequence, manifest.high_water).to_vec(), kept)
}
