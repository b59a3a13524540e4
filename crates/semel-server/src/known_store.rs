//! A note, beside the secret, of which store the secret belongs to.
//!
//! The check value in the store tells another secret; this tells another *store*: one that came back
//! empty under the right secret, from a volume that was not mounted or was made anew, is not the one
//! that knows what ran. It is refused until an operator accepts it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use semel::core::{Incarnation, Timestamp};

/// Why the note is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NoteError {
    /// It holds something else.
    #[error(
        "{} does not name a store: find out who changed it; `semel store accept` writes it anew for the store that is there now",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("the note {} could not be {verb}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The life of the store.
    pub incarnation: Incarnation,
    /// Since when: zero unless an operator accepted it in place of another.
    pub birth: Timestamp,
}

/// Where the note for this secret lies: `SECRET.store`.
pub(crate) fn beside(secret: &Path) -> PathBuf {
    let mut name = secret.as_os_str().to_owned();
    name.push(".store");
    PathBuf::from(name)
}

/// What the note at `path` says; `None` when there is none.
///
/// # Errors
/// [`NoteError`].
pub(crate) fn read(path: &Path) -> Result<Option<Known>, NoteError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(NoteError::Io { path: path.to_owned(), verb: "read", source }),
    };
    let known = parse(&text).ok_or_else(|| NoteError::Malformed { path: path.to_owned() })?;
    Ok(Some(known))
}

fn parse(text: &str) -> Option<Known> {
    let (incarnation, birth) = text.trim().split_once(' ')?;
    if incarnation.len() != 32 || !incarnation.is_ascii() {
        return None;
    }
    let incarnation = u128::from_str_radix(incarnation, 16).ok()?.to_be_bytes();
    let birth = Timestamp::from_unix_ms(birth.parse().ok()?);
    Some(Known { incarnation: Incarnation(incarnation), birth })
}

/// Writes the note, in place of any other, durably.
///
/// # Errors
/// [`NoteError::Io`].
pub(crate) fn write(path: &Path, known: Known) -> Result<(), NoteError> {
    let written = || -> io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        writeln!(file, "{} {}", known.incarnation, known.birth.as_unix_ms())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()
    };
    written().map_err(|source| NoteError::Io { path: path.to_owned(), verb: "written", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = beside(&dir.path().join("data.secret"));
        assert_eq!(read(&path).unwrap(), None);
        let birth = Timestamp::from_unix_ms(1_750_000_000_000);
        let known = Known { incarnation: Incarnation([0x0a; 16]), birth };
        write(&path, known).unwrap();
        assert_eq!(read(&path).unwrap(), Some(known));
        fs::write(&path, "0a0a 1").unwrap();
        assert!(matches!(read(&path), Err(NoteError::Malformed { .. })));
    }
}
