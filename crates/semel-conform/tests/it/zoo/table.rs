//! The table: for each flaw the cases that must fail. Whatever is not named must pass.

use std::collections::BTreeSet;

/// Cases that the samples lack something for.
pub(super) const SKIPPED: &[&str] = &[];

/// What a sample must fail.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) fails: BTreeSet<&'static str>,
    /// Cases that cannot tell, since the flaw takes away what they need.
    pub(super) untold: BTreeSet<&'static str>,
}

/// The rows of `table.txt`: a name, and below it, indented, a case each; `?` before those that cannot
/// tell, `#` before what is only a remark.
pub(super) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in include_str!("table.txt").lines() {
        let words = line.split('#').next().unwrap_or_default().trim();
        if words.is_empty() {
            continue;
        }
        if !line.starts_with(' ') {
            let row = Row { name: words, fails: BTreeSet::new(), untold: BTreeSet::new() };
            rows.push(row);
            continue;
        }
        let row = rows.last_mut().expect("a case of table.txt belongs to a flaw");
        match words.strip_prefix("? ") {
            Some(id) => row.untold.insert(id),
            None => row.fails.insert(words),
        };
    }
    rows
}
