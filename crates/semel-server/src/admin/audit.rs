//! What operators did, one JSON object a line: when, which record, what was asked and what came of
//! it. Never a key, a principal or a reply.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

/// Keeps the record of acts, where there is a file for it, and logs each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Option<Arc<Mutex<File>>>);

impl Audit {
    /// Appends to this file, which only its owner can read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn to(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self(Some(Arc::new(Mutex::new(file)))))
    }

    /// Notes an act, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn note(&self, at: &str, record: &str, act: &str, detail: &Value) -> io::Result<()> {
        tracing::info!(target: "semel::audit", record = record.get(..16), act, %detail);
        let Some(file) = &self.0 else { return Ok(()) };
        let line = json!({ "at": at, "record": record, "act": act, "detail": detail });
        // A writer that panicked left at most a line that is cut short.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{line}")?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        for act in ["void", "erase"] {
            let audit = Audit::to(&path).unwrap();
            audit.note("2025-01-01T00:00:00Z", &"ab".repeat(32), act, &json!("voided")).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let acts: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((&acts[0]["act"], &acts[1]["act"]), (&json!("void"), &json!("erase")));
    }
}
