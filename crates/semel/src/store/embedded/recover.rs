//! Opening: which files belong to the store, where its last batch ends, and what is under each id.
//!
//! 1. Take the directory, read `STORE`, clear away what it does not name.
//! 2. Walk the segments in order; batches must follow each other without a gap. A full segment has
//!    an index file; only the unfinished rest is read.
//! 3. Behind the last batch may be one torn write, which was never acknowledged: it is cut. Anything
//!    later than that proves damage, and nothing is opened.
//! 4. The last batch is written and synced once more before it is believed: the process before may
//!    have ended on a failed sync, and the page cache would not tell. Meanwhile it is kept aside ([`super::last`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use semel_core::{Incarnation, Timestamp};

use super::batch::{BatchWriter, SECTOR};
use super::clock::Clock;
use super::commit::{Active, Log};
use super::disk::Disk;
use super::error::OpenError;
use super::index::Index;
use super::index_file::Summary;
use super::last::{self, LastBatch};
use super::manifest::{ASIDE, Manifest, NAME};
use super::options::EmbeddedOptions;
use super::segment::{
    Segment, christen, index_name, number, prewrite, segment_name, spare_name, spent_name,
};
use super::shared::{Bell, Flights, Shared, held};
use super::spent::{SpentTable, TableError};
use super::staged::Staged;
use super::supply::Supply;
use super::walk::{Ended, walk};
use crate::entropy::{Entropy, random};
use crate::time::WallClock;

/// What a store stands on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The files.
    pub disk: Arc<dyn Disk>,
    /// The time: it stamps records, and ends them.
    pub clock: Arc<dyn WallClock>,
    /// For the incarnation of a new store.
    pub entropy: Arc<dyn Entropy>,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Keys in the log.
    pub keys: usize,
    /// Segments that had to be read because they had no index file.
    pub segments_read: usize,
    /// Where an unfinished write was cut, by file and offset. It was never acknowledged.
    pub cut: Option<(String, u64)>,
}

/// Makes a store where there is none.
pub(super) fn create(
    ground: &Ground,
    options: &EmbeddedOptions,
    birth: Timestamp,
) -> Result<(), OpenError> {
    options.check()?;
    let disk = &*ground.disk;
    take(disk)?;
    let names = disk.list().map_err(OpenError::io(disk.place()))?;
    if names.iter().any(|name| name == NAME) {
        return Err(OpenError::Exists { place: disk.place() });
    }
    if names.iter().any(|name| name.ends_with(".tbl")) {
        return Err(OpenError::NotAStore { place: disk.place() });
    }
    // A first segment alone is what a crash in these very lines leaves behind.
    let segments = names.iter().filter_map(|name| number(name, "log-", ".seg"));
    if segments.max().is_some_and(|last| last > 1) {
        return Err(OpenError::NotAStore { place: disk.place() });
    }
    let spare = spare_name(0);
    prewrite(disk, &spare, options.segment_bytes).map_err(OpenError::io(spare.as_str()))?;
    christen(disk, &spare, 1).map_err(OpenError::io(segment_name(1)))?;
    let incarnation = Incarnation(random(&*ground.entropy));
    let manifest = Manifest::new(incarnation, birth, ground.clock.now());
    manifest.write(disk).map_err(OpenError::io(NAME))
}

pub(super) fn take(disk: &dyn Disk) -> Result<(), OpenError> {
    match disk.try_lock() {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::AlreadyOpen { place: disk.place() }),
        Err(error) => Err(OpenError::io(disk.place())(error)),
    }
}

/// Reads `STORE`, or says what is there in its place.
pub(super) fn manifest(disk: &dyn Disk) -> Result<Manifest, OpenError> {
    let names = disk.list().map_err(OpenError::io(disk.place()))?;
    match Manifest::read(disk)? {
        Some(manifest) => Ok(manifest),
        None if names.iter().any(|name| name.ends_with(".tbl") || name.ends_with(".idx")) => {
            Err(OpenError::NotAStore { place: disk.place() })
        }
        None if names.iter().any(|name| number(name, "log-", ".seg").is_some_and(|n| n > 1)) => {
            Err(OpenError::NotAStore { place: disk.place() })
        }
        None => Err(OpenError::Missing { place: disk.place() }),
    }
}

/// Opens the store; the directory is taken already.
pub(super) fn open(ground: &Ground, options: &EmbeddedOptions) -> Result<(Log, Opened), OpenError> {
    options.check()?;
    let disk = &*ground.disk;
    let manifest = manifest(disk)?;
    let names = disk.list().map_err(OpenError::io(disk.place()))?;
    let supply = clear_away(disk, &manifest, &names, options)?;
    let tables = open_tables(disk, &manifest)?;
    let shared = Arc::new(Shared {
        disk: Arc::clone(&ground.disk),
        options: options.clone(),
        clock: Clock::new(Arc::clone(&ground.clock), manifest.high_water),
        incarnation: manifest.incarnation,
        birth: manifest.birth,
        index: Index::new(),
        segments: RwLock::new(BTreeMap::new()),
        tables: RwLock::new(Arc::new(tables)),
        flights: Mutex::new(Flights::default()),
        tallies: Mutex::new(BTreeMap::new()),
        stocked: AtomicU64::new((supply.spares.len() + supply.ready.len()) as u64),
        supply: Mutex::new(supply),
        active: AtomicU32::new(manifest.first_segment),
        manifest: Mutex::new(manifest.clone()),
        bell: Bell::default(),
        synced: AtomicU64::new(0),
        begun: AtomicU64::new(0),
        poison: OnceLock::new(),
    });
    if let Some(last) = LastBatch::kept(disk).map_err(OpenError::io(disk.place()))? {
        last.put_back(disk).map_err(OpenError::io(disk.place()))?;
    }
    let ended = walk(&shared, &manifest, &names)?;
    let found = ended.next - 1;
    match options.known {
        Some(known) if known.incarnation == manifest.incarnation && found < known.sequence => {
            return Err(OpenError::Behind { place: disk.place(), found, known: known.sequence });
        }
        Some(_) | None => {}
    }
    let opened = Opened {
        keys: shared.index.len(),
        segments_read: ended.segments_read,
        cut: ended.torn.then(|| (segment_name(ended.active.id), u64::from(ended.end))),
    };
    if let Some((file, offset)) = &opened.cut {
        tracing::warn!(file = %file, offset, "cut an unfinished write that was never acknowledged");
    }
    Ok((into_log(shared, ended, options)?, opened))
}

/// Writes the last batch once more, cuts what is behind it, and stands ready to go on from there.
fn into_log(
    shared: Arc<Shared>,
    ended: Ended,
    options: &EmbeddedOptions,
) -> Result<Log, OpenError> {
    let file = &ended.active.file;
    let io = || OpenError::io(segment_name(ended.active.id));
    let disk = &*shared.disk;
    if let Some((at, batch)) = &ended.last_batch {
        match LastBatch::new(ended.active.id, *at, batch).keep(disk) {
            // A store must open where there is no room left. What is at stake then is that the power fails
            // within the next write and that the disk tears a sector which does not change.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                tracing::warn!("no room to keep the last batch aside while it is written again");
            }
            kept => kept.map_err(OpenError::io(disk.place()))?,
        }
        file.write_at(batch, u64::from(*at)).map_err(io())?;
    }
    if ended.torn {
        file.write_at(&[0; SECTOR], u64::from(ended.end)).map_err(io())?;
    }
    if ended.last_batch.is_some() || ended.torn {
        file.sync_data().map_err(io())?;
    }
    LastBatch::drop_kept(disk).map_err(OpenError::io(disk.place()))?;
    shared.synced.store(ended.next - 1, std::sync::atomic::Ordering::Release);
    let bucket = ended.first_time.as_unix_ms() / options.bucket_width.as_ms();
    let segment = shared.segment(ended.active.id).unwrap_or_else(|| Arc::new(ended.active));
    shared.active.store(segment.id, std::sync::atomic::Ordering::Release);
    held(&shared.tallies).entry(segment.id).or_default().used = u64::from(ended.end);
    Ok(Log {
        shared,
        active: Active { segment, end: ended.end, bucket },
        sequence: ended.next,
        reserving: ended.reserving,
        closed: ended.closed,
        writer: BatchWriter::new(),
        staged: Staged::default(),
        free_bytes: OnceLock::new(),
    })
}

/// Removes what a crash in the middle of maintenance left behind: files that no manifest names.
fn clear_away(
    disk: &dyn Disk,
    manifest: &Manifest,
    names: &[String],
    options: &EmbeddedOptions,
) -> Result<Supply, OpenError> {
    let mut supply = Supply::default();
    for name in names {
        let segment = number(name, "log-", ".seg").or_else(|| number(name, "log-", ".idx"));
        let table = number(name, "spent-", ".tbl");
        let spare = number(name, "spare-", ".seg");
        if let Some(n) = spare {
            supply.next_spare = supply.next_spare.max(n + 1);
            let len = disk.open(name).and_then(|file| file.len()).unwrap_or(0);
            if len == u64::from(options.segment_bytes) && supply.spares.len() < options.pool {
                supply.spares.push(name.clone());
                continue;
            }
        }
        let gone = spare.is_some()
            || segment.is_some_and(|n| n < manifest.first_segment)
            || table.is_some_and(|n| !manifest.tables.contains(&n))
            || name == ASIDE
            || name == last::ASIDE
            || name == "index.tmp";
        if gone {
            disk.remove(name).map_err(OpenError::io(name.as_str()))?;
        }
    }
    Ok(supply)
}

fn open_tables(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<Arc<SpentTable>>, OpenError> {
    let mut tables = Vec::with_capacity(manifest.tables.len());
    for number in &manifest.tables {
        let file = spent_name(*number);
        tables.push(Arc::new(SpentTable::open(disk, *number).map_err(|error| match error {
            TableError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                OpenError::Damaged { file, offset: 0, what: "a table of spent keys is missing" }
            }
            TableError::Io { name, source } => OpenError::Io { path: name, source },
            TableError::Damaged { name, offset } => {
                OpenError::Damaged { file: name, offset, what: "a table of spent keys" }
            }
        })?));
    }
    Ok(tables)
}

/// The index file of a segment, if it is whole and agrees with the segment's place in the log.
pub(super) fn summary(disk: &dyn Disk, id: u32, expected: u64) -> Option<Summary> {
    let summary = Summary::read(disk, id)?;
    if summary.first_sequence != expected {
        let _ = disk.remove(&index_name(id));
        return None;
    }
    Some(summary)
}

pub(super) fn fresh_segment(shared: &Shared) -> Result<Segment, OpenError> {
    shared.take_segment().map_err(OpenError::io("a new segment"))
}
