//! The table: for each flaw the cases that must fail. Whatever is not named must pass.

use std::collections::BTreeSet;

/// Cases that are about the streams of HTTP/2.
pub(super) const OF_STREAMS: &[&str] = &[
    "claim/streams-one-millisecond",
    "lost/stream-reset-before-effect",
    "lost/stream-reset-after-effect",
    "lost/stream-reset-in-body",
];
/// Cases that are about the framing of HTTP/1.1.
pub(super) const OF_LINES: &[&str] =
    &["identity/surrounding-space", "framing/length-and-chunked-closes"];

/// What a sample must fail.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) fails: BTreeSet<&'static str>,
    /// Cases that cannot tell, since the flaw takes away what they need.
    pub(super) untold: BTreeSet<&'static str>,
    /// Cases that it must fail over HTTP/2, beside those.
    pub(super) of_streams: BTreeSet<&'static str>,
    /// The cases that it is put to alone, where the flaw changes whatever is sent beside; else all.
    pub(super) alone: Vec<&'static str>,
}

impl Row {
    /// Of a sample that passes all.
    pub(super) const fn of(name: &'static str) -> Self {
        Self {
            name,
            fails: BTreeSet::new(),
            untold: BTreeSet::new(),
            of_streams: BTreeSet::new(),
            alone: Vec::new(),
        }
    }

    /// The same, where HTTP/2 is spoken.
    pub(super) fn over_streams(mut self) -> Self {
        for id in OF_LINES {
            self.fails.remove(id);
        }
        self.fails.append(&mut self.of_streams);
        self
    }
}

/// The rows of `table.txt`: a name, and below it, indented, a case each; `?` before those that cannot
/// tell, `=` before those that fail and are run alone, `2` before those that fail over HTTP/2, `#` before what is only a remark.
pub(super) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in include_str!("table.txt").lines() {
        let words = line.split('#').next().unwrap_or_default().trim();
        if words.is_empty() {
            continue;
        }
        if !line.starts_with(' ') {
            rows.push(Row::of(words));
            continue;
        }
        let row = rows.last_mut().expect("a case of table.txt belongs to a flaw");
        match words.split_once(' ') {
            Some(("?", id)) => {
                row.untold.insert(id);
            }
            Some(("2", id)) => {
                row.of_streams.insert(id);
            }
            Some(("=", id)) => {
                row.fails.insert(id);
                row.alone.push(id);
            }
            _ => {
                row.fails.insert(words);
            }
        }
    }
    rows
}
