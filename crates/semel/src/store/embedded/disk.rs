//! The file layer: everything the log asks of a disk, and nothing more.
//!
//! The log is written against [`Disk`], so that the same code runs on a directory ([`FsDisk`]) and on
//! a disk that lies ([`super::faults::FaultDisk`]). A write is durable only after
//! [`DiskFile::sync_data`] of its file; a created, renamed or removed name only after
//! [`Disk::sync_dir`].

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A directory of files.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Takes the directory for this process alone; false when another has it. Held until the disk
    /// is dropped.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    fn try_lock(&self) -> io::Result<bool>;

    /// The names in it, sorted.
    ///
    /// # Errors
    /// The system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file, or empties the one of that name.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] when there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations, renames and removals so far durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes that can still be allocated.
    ///
    /// # Errors
    /// The system's.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One file, used by position from several threads at once.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Bytes in it.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// True when it holds no byte.
    ///
    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to the length of `into`; fewer only at the end of the file.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes`; after an error some of them may have been written.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills the file with `len` zero bytes, written and not only promised by the file system:
    /// a later write to them needs no allocation and its sync no journal.
    ///
    /// # Errors
    /// The system's.
    fn fill(&self, len: u64) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the written bytes durable. After an error nothing written since the last success may
    /// be believed, whatever a later call says.
    ///
    /// # Errors
    /// The system's.
    fn sync_data(&self) -> io::Result<()>;
}

/// What was asked of a disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Calls of [`DiskFile::sync_data`].
    pub syncs: u64,
    /// Calls of [`Disk::sync_dir`].
    pub dir_syncs: u64,
    /// Bytes written, without filling.
    pub written: u64,
    /// Bytes of [`DiskFile::fill`].
    pub filled: u64,
}

#[derive(Debug, Default)]
struct Counters {
    syncs: AtomicU64,
    dir_syncs: AtomicU64,
    written: AtomicU64,
    filled: AtomicU64,
}

/// A directory of the file system.
#[derive(Debug)]
pub struct FsDisk {
    path: PathBuf,
    dir: File,
    lock: Mutex<Option<File>>,
    counters: Arc<Counters>,
}

const LOCK: &str = "LOCK";
const CHUNK: usize = 1 << 20;

impl FsDisk {
    /// The directory at `path`, which must exist.
    ///
    /// # Errors
    /// The system's.
    pub fn at(path: &Path) -> io::Result<Self> {
        let dir = File::open(path)?;
        if !dir.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self { path: path.into(), dir, lock: Mutex::new(None), counters: Arc::default() })
    }

    /// The directory at `path`, made if need be, for the owner alone.
    ///
    /// # Errors
    /// The system's.
    pub fn make(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        if !path.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Self::at(path)
    }

    /// What was asked of it so far.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskCounts {
            syncs: read(&self.counters.syncs),
            dir_syncs: read(&self.counters.dir_syncs),
            written: read(&self.counters.written),
            filled: read(&self.counters.filled),
        }
    }

    fn file(&self, file: File) -> Arc<dyn DiskFile> {
        Arc::new(FsFile { file, counters: Arc::clone(&self.counters) })
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options
    }
}

impl Disk for FsDisk {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn try_lock(&self) -> io::Result<bool> {
        let file = Self::options().create(true).truncate(false).open(self.path.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => {
                *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Self::options().create(true).truncate(true).open(self.path.join(name))?;
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(Self::options().open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.counters.dir_syncs.fetch_add(1, Ordering::Relaxed);
        self.dir.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct FsFile {
    file: File,
    counters: Arc<Counters>,
}

impl DiskFile for FsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.file.read_at(&mut into[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.counters.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, offset)
    }

    fn fill(&self, len: u64) -> io::Result<()> {
        let zeros = vec![0; CHUNK];
        let mut at = 0;
        while at < len {
            let n = usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK);
            self.file.write_all_at(&zeros[..n], at)?;
            at += n as u64;
        }
        self.counters.filled.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
}
