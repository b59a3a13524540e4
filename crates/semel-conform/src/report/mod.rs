//! What was found, written for people and for machines.
//!
//! A [`Report`] is what a run found, as data: it is written as JSON ([`json`]) and read back, so that
//! runs made one by one can be shown together. [`verdict::judge`] makes of it a grade and the one
//! sentence that the API may promise; all forms show both.

pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod matrix;
pub mod text;
pub mod verdict;

use std::time::Duration;

use crate::case::{Level, Verdict};
use crate::run::{Ended, Findings, Options};

/// A run, as data.
#[derive(Clone, Debug)]
pub struct Report {
    /// The tester that made it, with its version.
    pub tester: String,
    /// What was tested.
    pub target: String,
    /// Where it is.
    pub url: String,
    /// Which HTTP was spoken with it, and what of TLS was not checked.
    pub spoken: String,
    /// When the run began, in seconds since 1970, by the tester's clock.
    pub began: u64,
    /// How long the run took.
    pub took: Duration,
    /// Whether every selected case was run.
    pub ended: Ended,
    /// Requests sent, probes among them.
    pub requests: u64,
    /// As given.
    pub options: Options,
    /// The command that tests this target, without cases and seed.
    pub command: String,
    /// In the order of the list of cases.
    pub cases: Vec<Judged>,
}

/// What came of one case, as data.
#[derive(Clone, Debug)]
pub struct Judged {
    /// `topic/what-it-shows`.
    pub id: String,
    /// How much it weighs.
    pub level: Level,
    /// What must, should or may hold.
    pub requirement: String,
    /// Where the requirement comes from.
    pub source: String,
    /// What it needs of a target.
    pub needs: Vec<String>,
    /// How it went.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// What it noticed.
    pub notes: Vec<String>,
    /// Commands that send what it sent.
    pub commands: Vec<String>,
}

/// What the names of variables for credentials begin with.
const SECRETS: [&str; 4] = ["$TENANT_A_", "$TENANT_B_", "$ROTATED_", "$OPERATION_"];

impl Report {
    /// Of a run that began then and is made again by that command.
    #[must_use]
    pub fn of(findings: &Findings, began: u64, command: &str) -> Self {
        let cases = findings.all.iter().map(|finding| Judged {
            id: finding.case.id.to_owned(),
            level: finding.case.level,
            requirement: finding.case.requirement.to_owned(),
            source: finding.case.source.to_owned(),
            needs: finding.case.needs.iter().map(|need| need.name()).collect(),
            verdict: finding.verdict.clone(),
            took: finding.took,
            notes: finding.notes.clone(),
            commands: finding.commands.clone(),
        });
        Self {
            tester: format!("semel-conform {}", env!("CARGO_PKG_VERSION")),
            target: findings.target.clone(),
            url: findings.url.clone(),
            spoken: findings.spoken.clone(),
            began,
            took: findings.took,
            ended: findings.ended,
            requests: findings.requests,
            options: findings.options.clone(),
            command: command.to_owned(),
            cases: cases.collect(),
        }
    }

    /// What came of the case of that id.
    #[must_use]
    pub fn case(&self, id: &str) -> Option<&Judged> {
        self.cases.iter().find(|case| case.id == id)
    }

    /// The command that runs one case again, under the same seed.
    #[must_use]
    pub fn again(&self, id: &str) -> String {
        format!("{} --case {id} --seed {}", self.command, self.options.seed)
    }

    /// How to send what needs a credential, if a command does: once for all of them.
    #[must_use]
    pub fn credentials(&self) -> Option<&'static str> {
        let leaves = |text: &String| SECRETS.iter().any(|who| text.contains(who));
        let mut all = self.cases.iter().flat_map(|case| &case.commands).chain([&self.command]);
        all.any(leaves).then_some(
            "No credential is shown. Before you send a command, set its variables: TENANT_A_AUTHORIZATION to the value of Authorization in [tenant_a], and so on.",
        )
    }
}

impl Judged {
    /// The part of the id before `/`.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(topic, _)| topic)
    }

    /// The part of the id after `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(_, name)| name)
    }
}

/// Whether a verdict on a case of that level decides how a run ends.
#[must_use]
pub const fn required(level: Level, strict: bool) -> bool {
    match level {
        Level::Must => true,
        Level::Should => strict,
        Level::Info => false,
    }
}

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Held.
    pub passed: usize,
    /// Did not hold.
    pub failed: usize,
    /// Did not hold, and is an INFO, which never counts.
    pub noted: usize,
    /// Not put to the target.
    pub skipped: usize,
    /// Could not be told.
    pub inconclusive: usize,
    /// The tester or what it leans on broke.
    pub errors: usize,
}

impl Tally {
    /// Counts them.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut tally = Self::default();
        for case in cases {
            match case.verdict {
                Verdict::Pass => tally.passed += 1,
                Verdict::Fail { .. } if case.level == Level::Info => tally.noted += 1,
                Verdict::Fail { .. } => tally.failed += 1,
                Verdict::Skipped(_) => tally.skipped += 1,
                Verdict::Inconclusive(_) => tally.inconclusive += 1,
                Verdict::Error(_) => tally.errors += 1,
            }
        }
        tally
    }
}

impl std::fmt::Display for Tally {
    /// `9 passed, 1 failed, 2 skipped`: what is none is not said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.noted, "noted"),
            (self.inconclusive, "could not be told"),
            (self.errors, "in error"),
            (self.skipped, "skipped"),
        ];
        let said = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
        let said: Vec<_> = said.collect();
        f.write_str(&if said.is_empty() { "nothing was run".to_owned() } else { said.join(", ") })
    }
}

/// What a topic is about.
#[must_use]
pub fn title(topic: &str) -> &str {
    match topic {
        "replay" => "A retry after the reply",
        "claim" => "Requests at the same time",
        "lost" => "The reply gets lost",
        "mismatch" => "One key, another request",
        "identity" => "Whose key it is",
        "failure" => "An attempt fails",
        "lease" => "An attempt outlives its claim, or dies",
        "retention" => "Old keys",
        "store" => "The store fails",
        "method" => "Other methods",
        "version" => "Versioned writes",
        "side" => "What is sent on",
        "framing" => "Framing and safety",
        "hygiene" => "What callers are told",
        other => other,
    }
}

/// The cases, topic by topic, in their order.
#[must_use]
pub fn by_topic(cases: &[Judged]) -> Vec<(&str, Vec<&Judged>)> {
    let mut topics: Vec<(&str, Vec<&Judged>)> = Vec::new();
    for case in cases {
        match topics.iter_mut().find(|(topic, _)| *topic == case.topic()) {
            Some((_, held)) => held.push(case),
            None => topics.push((case.topic(), vec![case])),
        }
    }
    topics
}

/// Cases that were not run, by the reason: one reason is one line.
#[must_use]
pub fn skipped_by_reason(cases: &[Judged]) -> Vec<(&str, Vec<&str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for case in cases {
        let Verdict::Skipped(why) = &case.verdict else { continue };
        match reasons.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, ids)) => ids.push(&case.id),
            None => reasons.push((why, vec![&case.id])),
        }
    }
    reasons
}

/// `2026-11-24 08:25 UTC`, of seconds since 1970.
#[must_use]
pub fn date(seconds: u64) -> String {
    let (days, within) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of the year 0, so that a leap day ends its year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (within / 3_600, within % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::Harm;

    /// A case that went so.
    pub(crate) fn judged(id: &str, level: Level, verdict: Verdict) -> Judged {
        Judged {
            id: id.to_owned(),
            level,
            requirement: format!("{id} holds."),
            source: "a source".to_owned(),
            needs: Vec::new(),
            verdict,
            took: Duration::from_millis(1_200),
            notes: vec!["a note".to_owned()],
            commands: vec!["curl -i 'http://h/<p>?a&b'".to_owned()],
        }
    }

    /// It failed, with that harm.
    pub(crate) fn fails(harm: Harm) -> Verdict {
        let (expected, observed) = ("one effect".to_owned(), "2 effects".to_owned());
        Verdict::Fail { harm, expected, observed }
    }

    /// A whole run with these cases.
    pub(crate) fn report(cases: Vec<Judged>) -> Report {
        Report {
            tester: "semel-conform 0".to_owned(),
            target: "Charges <&> \"co\"".to_owned(),
            url: "http://127.0.0.1:9000".to_owned(),
            spoken: "HTTP/2".to_owned(),
            began: 1_795_508_701,
            took: Duration::from_secs(12),
            ended: Ended::Whole,
            requests: 321,
            options: Options { seed: 7, ..Options::default() },
            command: "semel conform --target api.toml".to_owned(),
            cases,
        }
    }

    #[test]
    fn dates_of_leap_years_and_others() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_795_508_701, "2026-11-24 08:25 UTC"),
            (4_102_444_799, "2099-12-31 23:59 UTC"),
        ] {
            assert_eq!(date(seconds), shown);
        }
    }

    #[test]
    fn one_reason_to_skip_is_one_line() {
        let skipped = |id, why: &str| judged(id, Level::Must, Verdict::Skipped(why.to_owned()));
        let cases =
            [skipped("a/b", "no x"), skipped("a/c", "no y"), skipped("d/e", "no x")].to_vec();
        let reasons = skipped_by_reason(&cases);
        assert_eq!(reasons, [("no x", vec!["a/b", "d/e"]), ("no y", vec!["a/c"])]);
        assert_eq!(Tally::of(&cases).to_string(), "3 skipped");
    }
}
