//! The report as JSON, version 1, and back. docs/reference/conform.md describes each member.
//!
//! What follows from the verdicts (grade, promise, outcome, tally) is written for whoever reads the
//! file, and worked out anew when the tester reads it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Judged, Report, Tally, verdict};
use crate::case::{Harm, Level, Verdict};
use crate::run::{Ended, Options};
use crate::wire::Http;

/// The version that is written.
pub const VERSION: u32 = 1;

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not JSON, or a member is missing or of another kind.
    #[error("it is no report of this tester: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("it is a report of version {given}, and this tester reads version {VERSION}")]
    Version {
        /// As written.
        given: u32,
    },
    /// A word that means nothing.
    #[error("`{word}` is no {what}")]
    Word {
        /// As written.
        word: String,
        /// What it should be.
        what: &'static str,
    },
}

#[derive(Deserialize, Serialize)]
struct File {
    version: u32,
    tester: String,
    target: String,
    url: String,
    /// Reports of before HTTP/2 was spoken have none.
    #[serde(default = "of_old")]
    spoken: String,
    began: u64,
    took_ms: u64,
    ended: String,
    requests: u64,
    command: String,
    options: OptionsFile,
    cases: Vec<CaseFile>,
}

fn of_old() -> String {
    Http::One.to_string()
}

#[derive(Deserialize, Serialize)]
struct OptionsFile {
    strict: bool,
    fail_fast: bool,
    seed: u64,
    repeat: u32,
    at_once: usize,
    unit_ms: u64,
    timeout_ms: u64,
    cases: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct CaseFile {
    id: String,
    level: String,
    requirement: String,
    source: String,
    needs: Vec<String>,
    verdict: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    harm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    took_ms: u64,
    notes: Vec<String>,
    commands: Vec<String>,
}

/// What the verdicts come to, for readers.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    file: File,
    grade: String,
    grade_why: String,
    promise: String,
    exit: u8,
    passed: usize,
    failed: usize,
    noted: usize,
    skipped: usize,
    inconclusive: usize,
    errors: usize,
}

/// The report as JSON, with a line feed at its end.
#[must_use]
pub fn write(report: &Report) -> String {
    let judgement = verdict::judge(report);
    let tally = Tally::of(&report.cases);
    let whole = Whole {
        file: file(report),
        grade: judgement.grade.to_string(),
        grade_why: judgement.why,
        promise: judgement.promise,
        exit: verdict::outcome(report).code(),
        passed: tally.passed,
        failed: tally.failed,
        noted: tally.noted,
        skipped: tally.skipped,
        inconclusive: tally.inconclusive,
        errors: tally.errors,
    };
    let text = serde_json::to_string_pretty(&whole);
    text.expect("text and numbers can be written as JSON") + "\n"
}

/// A report from its JSON.
///
/// # Errors
/// When it is none, or of another version.
pub fn read(text: &str) -> Result<Report, ReportError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version: given } = serde_json::from_str(text)?;
    if given != VERSION {
        return Err(ReportError::Version { given });
    }
    let file: File = serde_json::from_str(text)?;
    let ended = named("end of a run", &file.ended, &Ended::ALL, Ended::name)?;
    Ok(Report {
        tester: file.tester,
        target: file.target,
        url: file.url,
        spoken: file.spoken,
        began: file.began,
        took: Duration::from_millis(file.took_ms),
        ended,
        requests: file.requests,
        options: Options {
            unit: Duration::from_millis(file.options.unit_ms),
            patience: Duration::from_millis(file.options.timeout_ms),
            select: file.options.cases,
            strict: file.options.strict,
            fail_fast: file.options.fail_fast,
            seed: file.options.seed,
            repeat: file.options.repeat,
            at_once: file.options.at_once,
            allowed_host: None,
        },
        command: file.command,
        cases: file.cases.into_iter().map(judged).collect::<Result<_, _>>()?,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn file(report: &Report) -> File {
    let options = &report.options;
    File {
        version: VERSION,
        tester: report.tester.clone(),
        target: report.target.clone(),
        url: report.url.clone(),
        spoken: report.spoken.clone(),
        began: report.began,
        took_ms: millis(report.took),
        ended: report.ended.name().to_owned(),
        requests: report.requests,
        command: report.command.clone(),
        options: OptionsFile {
            strict: options.strict,
            fail_fast: options.fail_fast,
            seed: options.seed,
            repeat: options.repeat,
            at_once: options.at_once,
            unit_ms: millis(options.unit),
            timeout_ms: millis(options.patience),
            cases: options.select.clone(),
        },
        cases: report.cases.iter().map(case_file).collect(),
    }
}

fn case_file(case: &Judged) -> CaseFile {
    let (mut harm, mut expected, mut observed, mut why) = (None, None, None, None);
    match &case.verdict {
        Verdict::Pass => {}
        Verdict::Fail { harm: done, expected: wanted, observed: came } => {
            harm = Some(done.name().to_owned());
            (expected, observed) = (Some(wanted.clone()), Some(came.clone()));
        }
        Verdict::Skipped(said) | Verdict::Inconclusive(said) | Verdict::Error(said) => {
            why = Some(said.clone());
        }
    }
    CaseFile {
        id: case.id.clone(),
        level: case.level.name().to_owned(),
        requirement: case.requirement.clone(),
        source: case.source.clone(),
        needs: case.needs.clone(),
        verdict: case.verdict.name().to_owned(),
        harm,
        expected,
        observed,
        why,
        took_ms: millis(case.took),
        notes: case.notes.clone(),
        commands: case.commands.clone(),
    }
}

fn judged(file: CaseFile) -> Result<Judged, ReportError> {
    let why = file.why.unwrap_or_default();
    let verdict = match file.verdict.as_str() {
        "pass" => Verdict::Pass,
        "fail" => {
            let harm = file.harm.unwrap_or_default();
            Verdict::Fail {
                harm: named("harm", &harm, &Harm::ALL, Harm::name)?,
                expected: file.expected.unwrap_or_default(),
                observed: file.observed.unwrap_or_default(),
            }
        }
        "skipped" => Verdict::Skipped(why),
        "inconclusive" => Verdict::Inconclusive(why),
        "error" => Verdict::Error(why),
        _ => return Err(ReportError::Word { word: file.verdict, what: "verdict" }),
    };
    Ok(Judged {
        level: named("level", &file.level, &Level::ALL, Level::name)?,
        id: file.id,
        requirement: file.requirement,
        source: file.source,
        needs: file.needs,
        verdict,
        took: Duration::from_millis(file.took_ms),
        notes: file.notes,
        commands: file.commands,
    })
}

/// The one of that name.
fn named<T: Copy>(
    what: &'static str,
    word: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, ReportError> {
    let found = all.iter().copied().find(|one| name(*one) == word);
    found.ok_or_else(|| ReportError::Word { word: word.to_owned(), what })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fails, judged, report};
    use super::*;

    fn one_of_each() -> Report {
        report(vec![
            judged("replay/a", Level::Must, Verdict::Pass),
            judged("replay/b", Level::Must, fails(Harm::Doubled)),
            judged("lease/c", Level::Should, Verdict::Skipped("no crash".into())),
            judged("store/d", Level::Info, Verdict::Inconclusive("too late".into())),
            judged("store/e", Level::Must, Verdict::Error("no store".into())),
        ])
    }

    #[test]
    fn a_report_reads_back_as_it_was() {
        let report = one_of_each();
        let text = write(&report);
        let back = read(&text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{report:?}"));
        assert_eq!(write(&back), text);
    }

    #[test]
    fn a_report_that_names_no_http_is_of_the_first_one() {
        let text = write(&one_of_each()).replace("  \"spoken\": \"HTTP/2\",\n", "");
        assert_eq!(read(&text).unwrap().spoken, "HTTP/1.1");
    }

    #[test]
    fn what_it_comes_to_is_worked_out_anew() {
        let text = write(&one_of_each()).replace("\"grade\": \"F\"", "\"grade\": \"A\"");
        assert!(text.contains("\"grade\": \"A\""));
        assert!(write(&read(&text).unwrap()).contains("\"grade\": \"F\""));
    }

    #[test]
    fn what_is_no_report_is_told() {
        let text = write(&one_of_each());
        for (from, to, told) in [
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("\"verdict\": \"pass\"", "\"verdict\": \"passed\"", "`passed` is no verdict"),
            ("\"level\": \"MUST\"", "\"level\": \"must\"", "`must` is no level"),
            ("\"harm\": \"doubled-effect\"", "\"harm\": \"none\"", "`none` is no harm"),
            ("\"ended\": \"whole\"", "\"ended\": \"soon\"", "`soon` is no end of a run"),
            ("\"url\":", "\"uri\":", "missing field `url`"),
        ] {
            let error = read(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(told), "{from}: {error}");
        }
        assert!(read("").is_err());
    }
}
