//! Why a record log does not open.

use std::io;

/// Why a record log was not opened or made. No write in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process uses the directory.
    #[error(
        "{place} is already open in another process: stop that one, or give this one a directory of its own"
    )]
    AlreadyOpen {
        /// The directory.
        place: String,
    },
    /// There is no store.
    #[error(
        "{place} holds no store: make one with `semel store init`, or find out where the old one went before anything runs again"
    )]
    Missing {
        /// The directory.
        place: String,
    },
    /// There is a store already, so none is made.
    #[error("{place} holds a store already: open it, or choose an empty directory")]
    Exists {
        /// The directory.
        place: String,
    },
    /// Log files without the file that names the store.
    #[error(
        "{place} holds log files but no STORE file: it is no whole store; bring the STORE file back from where the directory was copied"
    )]
    NotAStore {
        /// The directory.
        place: String,
    },
    /// The file that names the store is damaged; only a copy brings back what it said.
    #[error(
        "STORE in {place} is damaged ({what}). It alone says which files belong to the store, so `semel store repair` cannot set this aside: restore a copy of the whole directory. Without one, move the directory away and make an empty store with `semel store init`; a retry of what the old one ran then runs again"
    )]
    StoreFile {
        /// The directory.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Written by a later Semel.
    #[error(
        "{place} is written in format {found}, this Semel reads up to {known}: run the version that wrote it, or a later one"
    )]
    UnknownFormat {
        /// The directory.
        place: String,
        /// The format found.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// Bytes that were acknowledged are damaged or gone.
    #[error(
        "{file} is damaged at byte {offset} ({what}): run `semel store check` to see how far it goes, restore a copy, or set the damaged part aside with `semel store repair`"
    )]
    Damaged {
        /// The file within the directory.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// An older copy, or a disk that lost what it had confirmed.
    #[error(
        "{place} holds {found} writes and is known to have held {known}: an older copy of the store was put in its place, or its disk lost what it had confirmed. What ran since then is unknown here, and every retry of it would run again. No write of it was changed. Find the newest store; if it is gone for good, `semel store accept` begins another life with this one"
    )]
    Behind {
        /// The directory.
        place: String,
        /// The number of the last write in it.
        found: u64,
        /// The number that is known to have been reached.
        known: u64,
    },
    /// A setting that could not keep the log's promises.
    #[error("{what}: set it to at least {least}")]
    Options {
        /// Which one and why.
        what: &'static str,
        /// The least value that works.
        least: u64,
    },
    /// The file system refused.
    #[error("{path} could not be used: {source}; check that it exists, is writable and has room")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether something that was there is damaged or gone, for certain.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::NotAStore { .. } | Self::StoreFile { .. } | Self::Damaged { .. } => true,
            Self::AlreadyOpen { .. }
            | Self::Behind { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::UnknownFormat { .. }
            | Self::Options { .. }
            | Self::Io { .. } => false,
        }
    }

    pub(super) fn io(path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
