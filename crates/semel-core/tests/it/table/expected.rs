//! Reads the expectations.

use std::collections::{HashMap, HashSet};

use semel_core::machine::{Answer, Step, Write};
use semel_core::{Doubt, State};

use super::shapes::Cell;

/// What one cell must answer and write.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    answer: String,
    written: Written,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    Nothing,
    Forgotten,
    /// The state, and how its fence follows from what stood there.
    Record(String, Fenced),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fenced {
    /// The same fence, the next revision.
    Same,
    /// The next fence, revision zero.
    Next,
    /// A first record: the fence is the store's time.
    New,
}

pub(super) struct Table {
    cells: HashMap<(String, String), (usize, Expected)>,
}

impl Table {
    pub(super) fn parse(text: &str) -> Self {
        let mut cells = HashMap::new();
        for (n, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parts: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let &[rows, columns, cell] = parts.as_slice() else {
                panic!("line {}: rows | columns | cell", n + 1)
            };
            for row in rows.split(", ") {
                for column in columns.split(", ") {
                    let key = (row.to_owned(), column.to_owned());
                    let double = cells.insert(key, (n + 1, Expected::parse(cell)));
                    assert!(double.is_none(), "line {}: {row} | {column} stands twice", n + 1);
                }
            }
        }
        Self { cells }
    }

    /// The expectation for this row, or for the row that it is a case of (`a/b` is a case of `a`).
    pub(super) fn expects(&self, row: &str, column: &str) -> Option<(usize, &Expected)> {
        let general = row.split('/').next().unwrap_or(row);
        [row, general].into_iter().find_map(|row| {
            let (line, expected) = self.cells.get(&(row.to_owned(), column.to_owned()))?;
            Some((*line, expected))
        })
    }

    /// The expectations that nothing met.
    pub(super) fn unmet(&self, met: &HashSet<(usize, &str, &str)>) -> Vec<String> {
        let mut unmet: Vec<String> = self
            .cells
            .iter()
            .filter(|((row, column), (line, _))| {
                !met.iter().any(|(met_line, met_row, met_column)| {
                    let case = *met_row == row || met_row.split('/').next() == Some(row);
                    met_line == line && case && met_column == column
                })
            })
            .map(|((row, column), (line, _))| format!("line {line}: {row} | {column}"))
            .collect();
        unmet.sort();
        unmet
    }
}

impl Expected {
    fn parse(cell: &str) -> Self {
        let (answer, written) = cell.split_once(" -> ").unwrap_or((cell, ""));
        let written = match written.split_once(' ').unwrap_or((written, "")) {
            ("", _) => Written::Nothing,
            ("forgotten", _) => Written::Forgotten,
            (state, "") => Written::Record(state.into(), Fenced::Same),
            (state, "+1") => Written::Record(state.into(), Fenced::Next),
            (state, "new") => Written::Record(state.into(), Fenced::New),
            (_, other) => panic!("{other} is no fence"),
        };
        Self { answer: answer.into(), written }
    }

    /// Where `decided` is not what is expected.
    pub(super) fn fault(&self, cell: &Cell, decided: &Step) -> Option<String> {
        let answer = answer_name(decided.answer);
        if answer != self.answer {
            return Some(format!("answers {answer}, expected {}", self.answer));
        }
        let written = match &decided.write {
            Write::Keep => Written::Nothing,
            Write::Delete => Written::Forgotten,
            Write::Put(put) => {
                let fenced = match &cell.record {
                    None if put.fence.0 == cell.now.as_unix_ms() && put.revision == 0 => {
                        Fenced::New
                    }
                    Some(old) if put.fence == old.fence && put.revision == old.revision + 1 => {
                        Fenced::Same
                    }
                    Some(old) if put.fence == old.fence.next() && put.revision == 0 => Fenced::Next,
                    None | Some(_) => {
                        return Some("writes a version that follows from nothing".into());
                    }
                };
                Written::Record(state_name(put.state).into(), fenced)
            }
        };
        (written != self.written)
            .then(|| format!("writes {written:?}, expected {:?}", self.written))
    }
}

fn answer_name(answer: Answer) -> String {
    match answer {
        Answer::Settled { contradiction: true } => "Settled!".into(),
        Answer::Settled { contradiction: false } => "Settled".into(),
        Answer::Lost { contradiction: true } => "Lost!".into(),
        Answer::Lost { contradiction: false } => "Lost".into(),
        Answer::TooSoon(_) => "TooSoon".into(),
        plain => format!("{plain:?}"),
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::InDoubt(Doubt::Lapsed) => "in-doubt(lapsed)",
        State::InDoubt(Doubt::Declared) => "in-doubt(declared)",
        State::InFlight | State::Completed | State::Released | State::Spent | State::Voided => {
            state.name()
        }
    }
}
