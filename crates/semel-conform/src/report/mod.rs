//! What was found, written for people and for machines.

use crate::case::Verdict;
use crate::run::Findings;

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Held.
    pub passed: usize,
    /// Did not hold.
    pub failed: usize,
    /// Not put to the target.
    pub skipped: usize,
    /// Could not be told.
    pub inconclusive: usize,
    /// The tester or what it leans on broke.
    pub errors: usize,
}

impl Tally {
    /// Counts them.
    #[must_use]
    pub fn of(findings: &Findings) -> Self {
        let mut tally = Self::default();
        for finding in &findings.all {
            match finding.verdict {
                Verdict::Pass => tally.passed += 1,
                Verdict::Fail { .. } => tally.failed += 1,
                Verdict::Skipped(_) => tally.skipped += 1,
                Verdict::Inconclusive(_) => tally.inconclusive += 1,
                Verdict::Error(_) => tally.errors += 1,
            }
        }
        tally
    }
}
