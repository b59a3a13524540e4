//! A note, beside the secret, of which store the secret belongs to.
//!
//! The check value in the store tells another secret; this tells another *store*: one that came back
//! empty under the right secret, from a volume that was not mounted or was made anew, is not the one
//! that knows what ran. It is refused until an operator accepts it. The note also holds how far the
//! store had come, so that an older copy put in its place is refused as well. That number is written
//! every few seconds while it grows, and at a good end; always of what is on disk already, so that a
//! store that was killed is never behind its own note. Below stands how long each route remembered
//! ([`Memories`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use semel::core::{Incarnation, Timestamp};
use semel::store::embedded::{EmbeddedStore, Mark};

use crate::memories::Memories;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The life of the store.
    pub incarnation: Incarnation,
    /// Since when: zero unless an operator accepted it in place of another.
    pub birth: Timestamp,
    /// How many writes it holds at least.
    pub sequence: u64,
    /// What the routes remember by, and remembered by before.
    pub memories: Memories,
}

impl Known {
    /// What the store is asked to hold at least.
    pub(crate) const fn mark(&self) -> Mark {
        Mark { incarnation: self.incarnation, sequence: self.sequence }
    }
}

/// How often the note is written while the store takes writes.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps the note of a running store.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    log: Arc<EmbeddedStore>,
    /// As written last.
    known: Mutex<Known>,
}

impl Keeper {
    /// For the store `log`, of which the note at `path` says `known`.
    pub(crate) fn new(path: PathBuf, log: Arc<EmbeddedStore>, known: Known) -> Self {
        Self { path, log, known: Mutex::new(known) }
    }

    /// Writes the note now and then, for ever.
    pub(crate) async fn keep(self: &Arc<Self>) {
        let mut pace = tokio::time::interval(EVERY);
        loop {
            pace.tick().await;
            let keeper = Arc::clone(self);
            // A task that panicked has said so itself.
            let _ = tokio::task::spawn_blocking(move || keeper.note()).await;
        }
    }

    /// Writes the note if the store has come further. Without it only less would be noticed, so a
    /// failure ends nothing.
    pub(crate) fn note(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Mark { incarnation, sequence } = self.log.mark();
        if known.incarnation != incarnation || known.sequence >= sequence {
            return;
        }
        let next = Known { sequence, ..known.clone() };
        match write(&self.path, &next) {
            Ok(()) => *known = next,
            Err(error) => tracing::warn!(%error, "an older copy of the store might not be noticed"),
        }
    }
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
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let memories = Memories::parse(rest)?;
    let mut words = first.split_whitespace();
    let (incarnation, birth) = (words.next()?, words.next()?);
    // Not in notes of the first version.
    let sequence = words.next().map_or(Some(0), |sequence| sequence.parse().ok())?;
    if incarnation.len() != 32 || !incarnation.is_ascii() || words.next().is_some() {
        return None;
    }
    let incarnation = u128::from_str_radix(incarnation, 16).ok()?.to_be_bytes();
    let birth = Timestamp::from_unix_ms(birth.parse().ok()?);
    Some(Known { incarnation: Incarnation(incarnation), birth, sequence, memories })
}

/// Writes the note, in place of any other, durably.
///
/// # Errors
/// [`NoteError::Io`].
pub(crate) fn write(path: &Path, known: &Known) -> Result<(), NoteError> {
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
        let Known { incarnation, birth, sequence, memories } = known;
        let text = format!("{incarnation} {} {sequence}\n{memories}", birth.as_unix_ms());
        file.write_all(text.as_bytes())?;
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
        let (incarnation, memories) = (Incarnation([0x0a; 16]), Memories::default());
        let known = Known { incarnation, birth, sequence: 17, memories };
        let told = known.memories.at_start(&[], birth);
        for known in [known.clone(), Known { memories: told, ..known }] {
            write(&path, &known).unwrap();
            assert_eq!(read(&path).unwrap(), Some(known));
        }
        let digits = "0a".repeat(16);
        fs::write(&path, format!("{digits} 5\n")).unwrap();
        assert_eq!(read(&path).unwrap().map(|known| known.sequence), Some(0), "an older note");
        let damaged = ["1 x", "1 1 1", "1 1\nroutes 1\n", "1 1\nrou"];
        let damaged = damaged.map(|rest| format!("{digits} {rest}"));
        for wrong in ["0a0a 1 1", &digits].into_iter().chain(damaged.iter().map(String::as_str)) {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(read(&path), Err(NoteError::Malformed { .. })), "{wrong}");
        }
    }
}
