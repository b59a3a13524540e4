//! What operators did, one JSON object a line, so that what is taken out, changed or moved afterwards is
//! found: who, when, which record, what was asked and what came of it. Never a key, a principal or a reply.
//!
//! Each line bears the keyed hash of the one before (see [`mod@line`]); the key comes from the server secret.
//! What was written is on disk before the act is done: where it cannot be written, nothing is done.
//!
//! # Caveats
//! - Lines cut off at the end leave a shorter log that is right in itself: the number of the last line,
//!   which is also in the log of the process, must be kept elsewhere to find that.
//! - Whoever has the server secret can write a whole log anew.

pub(crate) mod line;
pub(crate) mod verify;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use semel::core::Secret;
use serde_json::json;

pub(crate) use self::line::{Entry, Head};

/// No line is longer.
const LINE_MAX: u64 = 64 * 1024;

/// Why acts cannot be noted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuditError {
    /// The file system refused.
    #[error("the audit file {} could not be opened: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two would each write a log of their own into it.
    #[error("the audit file {} is in use by another process: give each its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Nothing can be written behind its last line.
    #[error(
        "the audit file {} cannot be continued, for of its last line: {fault}; look it through with `semel audit verify`, then move it aside, and a new one is begun",
        path.display()
    )]
    Last {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: line::LineFault,
    },
}

/// Keeps the record of acts, where there is a file for it, and logs each; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    secret: Secret,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    len: u64,
    head: Head,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

impl Audit {
    /// Appends to this file, which only its owner can read, behind what it holds.
    ///
    /// # Errors
    /// [`AuditError`].
    pub(crate) fn to(path: &Path, secret: &Secret) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Open { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(AuditError::InUse { path: path.to_owned() });
        }
        let Tail { whole, cut, last } = tail(&mut file).map_err(failed)?;
        let wrong = |fault| AuditError::Last { path: path.to_owned(), fault };
        let head = match last {
            None => Head::EMPTY,
            Some(last) => line::head_of(secret, &last).map_err(wrong)?,
        };
        // What is dropped must be the beginning of a line, not somebody's other file.
        if !line::BEGINNING.iter().zip(&cut).all(|(right, byte)| right == byte) {
            return Err(wrong(line::LineFault::Unreadable));
        }
        let log = Mutex::new(Log { file, len: whole, head, broken: None });
        let this = Self(Some(Arc::new(Kept { secret: secret.clone(), log })));
        if !cut.is_empty() {
            this.drop_tail(cut.len()).map_err(failed)?;
        }
        Ok(this)
    }

    /// Takes away a line that was not written to its end, and notes so.
    fn drop_tail(&self, cut: usize) -> io::Result<()> {
        let Some(kept) = &self.0 else { return Ok(()) };
        let log = kept.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.file.set_len(log.len)?;
        drop(log);
        let at = semel::http::rfc3339(semel::time::WallClock::now(&semel::time::SystemClock));
        let detail = json!({ "bytes": cut });
        let entry = Entry {
            at: &at,
            who: "semel",
            peer: "",
            record: "",
            act: "unfinished-line-dropped",
            detail: &detail,
        };
        self.note(&entry)
    }

    /// Notes an act, durably. It waits for the disk.
    ///
    /// # Errors
    /// When it cannot be written; then the file is as it was before.
    pub(crate) fn note(&self, entry: &Entry<'_>) -> io::Result<()> {
        let Entry { who, peer, record, act, detail, .. } = entry;
        let Some(kept) = &self.0 else {
            let record = record.get(..16);
            tracing::info!(target: "semel::audit", who, peer, record, act, %detail);
            return Ok(());
        };
        let mut log = kept.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, head) = line::write(&kept.secret, &log.head, entry);
        let seq = head.seq;
        log.append(&format!("{text}\n"))?;
        log.head = head;
        tracing::info!(target: "semel::audit", seq, who, peer, record = record.get(..16), act, %detail);
        Ok(())
    }
}

impl Log {
    fn append(&mut self, text: &str) -> io::Result<()> {
        if let Some(broken) = &self.broken {
            return Err(io::Error::other(broken.clone()));
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        let Err(error) = written else {
            self.len += text.len() as u64;
            return Ok(());
        };
        // Half a line, or one of which it is not known whether it is on disk, must not stay.
        let undone = self.file.set_len(self.len).and_then(|()| self.file.sync_data());
        if let Err(undo) = undone {
            let broken = format!("{error}; and what was written could not be taken back: {undo}");
            self.broken = Some(broken);
        }
        Err(error)
    }
}

/// How a file ends.
struct Tail {
    /// The length of its whole lines.
    whole: u64,
    /// What stands behind them.
    cut: Vec<u8>,
    /// The last of them.
    last: Option<Vec<u8>>,
}

fn tail(file: &mut File) -> io::Result<Tail> {
    let len = file.metadata()?.len();
    let from = len.saturating_sub(2 * LINE_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(len - from).read_to_end(&mut bytes)?;
    let ends = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
    let Some(end) = ends(&bytes) else {
        // So long a line is none of a log's.
        let last = (from > 0).then(Vec::new);
        return Ok(Tail { whole: from, cut: bytes, last });
    };
    let begin = bytes.get(..end).and_then(ends).map_or(0, |before| before + 1);
    let last = bytes.get(begin..end).map(<[u8]>::to_vec);
    let cut = bytes.split_off(end + 1);
    Ok(Tail { whole: from + end as u64 + 1, cut, last })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn entry<'a>(act: &'a str, record: &'a str) -> Entry<'a> {
        let (at, who, peer) = ("2025-01-01T00:00:00Z", "alice", "10.0.0.7");
        Entry { at, who, peer, record, act, detail: &Value::Null }
    }

    fn secret() -> Secret {
        Secret::new(&[7; 32])
    }

    fn verified(path: &Path) -> verify::Verified {
        verify::verify(&secret(), io::BufReader::new(File::open(path).unwrap())).unwrap()
    }

    #[test]
    fn acts_are_appended_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let record = "ab".repeat(32);
        for act in ["void", "erase"] {
            let audit = Audit::to(&path, &secret()).unwrap();
            audit.note(&entry(act, &record)).unwrap();
            audit.note(&entry(act, &record)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let acts: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((&acts[0]["act"], &acts[2]["act"]), (&json!("void"), &json!("erase")));
        let found = verified(&path);
        assert_eq!((found.head.seq, found.faults), (4, vec![]));
    }

    #[test]
    fn a_line_cut_short_is_dropped_and_noted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let record = "ab".repeat(32);
        Audit::to(&path, &secret()).unwrap().note(&entry("void", &record)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &whole[..50]].concat()).unwrap();
        Audit::to(&path, &secret()).unwrap().note(&entry("erase", &record)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().nth(1).unwrap().contains("\"bytes\":50"), "{text}");
        let found = verified(&path);
        assert_eq!((found.head.seq, found.faults), (3, vec![]));
    }

    #[test]
    fn a_file_that_is_no_log_of_this_server_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        std::fs::write(&path, "{\"act\":\"void\"}\n").unwrap();
        let refused = Audit::to(&path, &secret()).map(|_| ());
        assert!(matches!(refused, Err(AuditError::Last { .. })), "{refused:?}");
        std::fs::write(&path, "a note without an end of line").unwrap();
        let refused = Audit::to(&path, &secret()).map(|_| ());
        assert!(matches!(refused, Err(AuditError::Last { .. })), "{refused:?}");
        std::fs::remove_file(&path).unwrap();
        let open = Audit::to(&path, &secret()).unwrap();
        let second = Audit::to(&path, &secret()).map(|_| ());
        assert!(matches!(second, Err(AuditError::InUse { .. })), "{second:?}");
        drop(open);
    }

    #[test]
    fn on_a_full_disk_nothing_is_noted() {
        let audit = Audit::to(Path::new("/dev/full"), &secret()).unwrap();
        let full = audit.note(&entry("void", "")).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(audit.note(&entry("void", "")).is_err());
    }
}
