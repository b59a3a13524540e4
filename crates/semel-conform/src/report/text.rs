//! The report for a person at a terminal.

use std::fmt::Write;

use super::verdict::{Grade, Outcome, judge, outcome};
use super::{Judged, Report, Tally, by_topic, required, skipped_by_reason, title};
use crate::case::Verdict;
use crate::run::Ended;

/// Ids that one line of skipped cases names.
const IDS_SHOWN: usize = 4;

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// What is good.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What is bad.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// What is unsure.
    #[must_use]
    pub fn unsure(self, text: &str) -> String {
        self.with("33", text)
    }

    /// What matters less.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What matters.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The summary: topics, what did not hold, what could not be told, what was skipped, and the end.
#[must_use]
pub fn write(report: &Report, paint: Paint) -> String {
    let mut out = format!(
        "\n{}  {}  {}\n\n",
        paint.strong(&report.target),
        report.url,
        paint.faint(&report.spoken)
    );
    for (topic, cases) in by_topic(&report.cases) {
        out.push_str(&topic_line(topic, &cases, paint));
    }
    let strict = report.options.strict;
    let fails = |case: &Judged| matches!(case.verdict, Verdict::Fail { .. });
    let untold =
        |case: &Judged| matches!(case.verdict, Verdict::Inconclusive(_) | Verdict::Error(_));
    let counts = |case: &Judged| required(case.level, strict);
    section(&mut out, report, paint, "Does not hold", |case| fails(case) && counts(case));
    section(&mut out, report, paint, "Could not be told", untold);
    let minor: Vec<_> = report.cases.iter().filter(|case| fails(case) && !counts(case)).collect();
    if !minor.is_empty() {
        let _ = writeln!(out, "\n{}", paint.strong("Does not hold, and does not count"));
        for case in minor {
            let Verdict::Fail { expected, observed, .. } = &case.verdict else { continue };
            let _ = writeln!(out, "  {} {} {}", paint.unsure("✕"), case.level.name(), case.id);
            let _ = writeln!(out, "      expected {expected}\n      observed {observed}");
        }
    }
    if let Some(how) = report.credentials() {
        let _ = writeln!(out, "\n{how}");
    }
    out.push_str(&skipped(&report.cases, paint));
    out.push_str(&end(report, paint));
    out
}

fn topic_line(topic: &str, cases: &[&Judged], paint: Paint) -> String {
    let tally = Tally::of(cases.iter().copied());
    let mark = match tally {
        Tally { failed: 1.., .. } => paint.bad("✕"),
        Tally { inconclusive: 1.., .. } | Tally { errors: 1.., .. } => paint.unsure("◐"),
        Tally { passed: 1.., .. } => paint.good("●"),
        _ => paint.faint("–"),
    };
    format!("  {mark} {topic:<10} {:<39} {tally}\n", title(topic))
}

fn section(
    out: &mut String,
    report: &Report,
    paint: Paint,
    head: &str,
    belongs: impl Fn(&Judged) -> bool,
) {
    let cases: Vec<_> = report.cases.iter().filter(|case| belongs(case)).collect();
    if cases.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint.strong(head));
    for case in cases {
        out.push_str(&in_full(report, case, paint));
    }
}

/// One case with all that helps to see it again.
fn in_full(report: &Report, case: &Judged, paint: Paint) -> String {
    let bad = matches!(case.verdict, Verdict::Fail { .. });
    let mark = if bad { paint.bad("✕") } else { paint.unsure("◐") };
    let mut out = format!("\n  {mark} {} {}\n", case.level.name(), paint.strong(&case.id));
    let _ = writeln!(out, "      {}", case.requirement);
    let _ = writeln!(out, "      {}", paint.faint(&case.source));
    match &case.verdict {
        Verdict::Fail { expected, observed, .. } => {
            let _ = writeln!(out, "      expected  {expected}");
            let _ = writeln!(out, "      observed  {}", paint.bad(observed));
        }
        Verdict::Skipped(why) | Verdict::Inconclusive(why) | Verdict::Error(why) => {
            let _ = writeln!(out, "      {}  {}", case.verdict.name(), paint.unsure(why));
        }
        Verdict::Pass => {}
    }
    for note in &case.notes {
        let _ = writeln!(out, "      note      {note}");
    }
    for command in &case.commands {
        let _ = writeln!(out, "      sent      {command}");
    }
    let _ = writeln!(out, "      again     {}", report.again(&case.id));
    out
}

fn skipped(cases: &[Judged], paint: Paint) -> String {
    let reasons = skipped_by_reason(cases);
    if reasons.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", paint.strong("Skipped"));
    for (why, ids) in reasons {
        let shown = ids.iter().take(IDS_SHOWN).copied().collect::<Vec<_>>().join(", ");
        let more = ids.len().saturating_sub(IDS_SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let _ = writeln!(out, "  – {why}: {}", paint.faint(&format!("{shown}{more}")));
    }
    out
}

/// The last lines: counts, grade, promise, and why the run is no success where it is none.
#[must_use]
pub fn end(report: &Report, paint: Paint) -> String {
    let judgement = judge(report);
    let tally = Tally::of(&report.cases);
    let ended = match report.ended {
        Ended::Whole => "",
        Ended::AtFailure => " (ended at the first failure)",
        Ended::Interrupted => " (stopped)",
        Ended::NotMended => " (ended where the target could not be mended)",
    };
    let mut out = format!(
        "\n{tally}{ended} in {:.1} s; {} requests; seed {}\n",
        report.took.as_secs_f64(),
        report.requests,
        report.options.seed
    );
    let grade = match judgement.grade {
        Grade::Ungraded => paint.unsure("Not graded"),
        grade @ (Grade::A | Grade::B) => paint.good(&format!("Grade {grade}")),
        grade => paint.bad(&format!("Grade {grade}")),
    };
    let _ = writeln!(out, "{grade}: {}.", judgement.why);
    let _ = writeln!(out, "It may promise: {}", paint.strong(&judgement.promise));
    if let Outcome::Unjudged(why) = outcome(report) {
        let _ = writeln!(out, "{} {why}.", paint.unsure("No success:"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fails, judged, report};
    use super::*;
    use crate::case::{Harm, Level};

    #[test]
    fn a_failure_is_told_with_what_shows_it_again() {
        let text = write(
            &report(vec![
                judged("replay/a", Level::Must, Verdict::Pass),
                judged("claim/b", Level::Must, fails(Harm::Doubled)),
                judged("hygiene/c", Level::Should, fails(Harm::Other)),
                judged("store/d", Level::Must, Verdict::Inconclusive("it hung".into())),
                judged("store/e", Level::Must, Verdict::Skipped("no store".into())),
            ]),
            Paint(false),
        );
        for part in [
            "Charges <&> \"co\"  http://127.0.0.1:9000  HTTP/2\n",
            "  ● replay     A retry after the reply                 1 passed\n",
            "  ✕ claim      Requests at the same time               1 failed\n",
            "  ✕ MUST claim/b\n      claim/b holds.\n      a source\n      expected  one effect\n      observed  2 effects\n",
            "      sent      curl -i 'http://h/<p>?a&b'\n",
            "      again     semel conform --target api.toml --case claim/b --seed 7\n",
            "Does not hold, and does not count\n  ✕ SHOULD hygiene/c\n",
            "      inconclusive  it hung\n",
            "  – no store: store/e\n",
            "Grade F: a retry had its effect twice: claim/b.\n",
            "It may promise: Nothing: a retry can have its effect twice.\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains('\u{1b}'), "no colour was asked for: {text:?}");
    }

    #[test]
    fn what_is_no_success_says_so() {
        let skipped = judged("store/e", Level::Must, Verdict::Skipped("no store".into()));
        let text = end(&report(vec![skipped]), Paint(true));
        assert!(text.contains("No success:\u{1b}[0m every case that counts was skipped"), "{text}");
    }
}
