//! Cases against targets: the rows that several reports share, and the mark of each verdict.

use super::{Judged, Report};
use crate::case::{Level, Verdict};

/// One case, and what came of it in each report.
pub(super) struct Row<'a> {
    /// The case, as the first report that has it says.
    pub(super) case: &'a Judged,
    /// In the order of the reports.
    pub(super) found: Vec<Option<&'a Judged>>,
}

/// Every case of any report, topic by topic, in the order of the list of cases.
pub(super) fn rows(reports: &[Report]) -> Vec<(&str, Vec<Row<'_>>)> {
    let mut all: Vec<&Judged> = Vec::new();
    for case in reports.iter().flat_map(|report| &report.cases) {
        if !all.iter().any(|held| held.id == case.id) {
            all.push(case);
        }
    }
    let place = |case: &&Judged| {
        crate::cases::all().position(|known| known.id == case.id).unwrap_or(usize::MAX)
    };
    all.sort_by_key(place);
    let mut topics: Vec<(&str, Vec<Row<'_>>)> = Vec::new();
    for case in all {
        let of = |report| Report::case(report, &case.id);
        let row = Row { case, found: reports.iter().map(of).collect() };
        match topics.iter_mut().find(|(topic, _)| *topic == case.topic()) {
            Some((_, rows)) => rows.push(row),
            None => topics.push((case.topic(), vec![row])),
        }
    }
    topics
}

/// The shape and the word of a verdict.
pub(super) const fn mark(case: &Judged) -> (&'static str, &'static str) {
    match (&case.verdict, case.level) {
        (Verdict::Pass, _) => ("●", "pass"),
        (Verdict::Fail { .. }, Level::Info) => ("○", "no"),
        (Verdict::Fail { .. }, _) => ("✕", "fail"),
        (Verdict::Skipped(_), _) => ("–", "skip"),
        (Verdict::Inconclusive(_), _) => ("◐", "unsure"),
        (Verdict::Error(_), _) => ("⊘", "error"),
    }
}
