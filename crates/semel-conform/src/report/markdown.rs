//! The report as Markdown: one target, or several side by side.

use std::fmt::Write;

use super::matrix::{mark, rows};
use super::verdict::judge;
use super::{Judged, Report, Tally, by_topic, date, skipped_by_reason, title};
use crate::case::Verdict;

/// One report in full, or several as a table with a column for each target.
#[must_use]
pub fn write(reports: &[Report]) -> String {
    match reports {
        [report] => one(report),
        reports => several(reports),
    }
}

fn one(report: &Report) -> String {
    let judgement = judge(report);
    let tally = Tally::of(&report.cases);
    let mut out = format!("# Is {} safe to retry?\n\n", cell(&report.target));
    let _ = write!(
        out,
        "**{}** – {}.\n\nIt may promise: *{}*\n\n",
        graded(&judgement.grade.to_string()),
        cell(&judgement.why),
        cell(&judgement.promise)
    );
    let _ = writeln!(
        out,
        "{tally}. {} by {} on {}, {:.0} s, {} requests, seed {}.",
        cell(&report.url),
        cell(&report.spoken),
        date(report.began),
        report.took.as_secs_f64(),
        report.requests,
        report.options.seed
    );
    for (topic, cases) in by_topic(&report.cases) {
        let _ = write!(
            out,
            "\n## {}\n\n| | level | case | requirement |\n|---|---|---|---|\n",
            title(topic)
        );
        for case in cases {
            let (mark, word) = mark(case);
            let _ = writeln!(
                out,
                "| {mark} {word} | {} | `{}` | {} |",
                case.level.name(),
                case.id,
                cell(&case.requirement)
            );
        }
    }
    let troubles: Vec<&Judged> = report
        .cases
        .iter()
        .filter(|case| !matches!(case.verdict, Verdict::Pass | Verdict::Skipped(_)))
        .collect();
    if !troubles.is_empty() {
        out.push_str("\n## What was seen\n");
        if let Some(how) = report.credentials() {
            let _ = writeln!(out, "\n{how}");
        }
        for case in troubles {
            out.push_str(&trouble(report, case));
        }
    }
    let skipped = skipped_by_reason(&report.cases);
    if !skipped.is_empty() {
        out.push_str("\n## Skipped\n\n");
        for (why, ids) in skipped {
            let _ = writeln!(out, "- {}: {}", cell(why), code_list(&ids));
        }
    }
    out
}

fn trouble(report: &Report, case: &Judged) -> String {
    let mut out =
        format!("\n### `{}`\n\n{} ({})\n\n", case.id, cell(&case.requirement), cell(&case.source));
    match &case.verdict {
        Verdict::Fail { expected, observed, .. } => {
            let _ = writeln!(out, "- expected: {}\n- observed: {}", cell(expected), cell(observed));
        }
        Verdict::Skipped(why) | Verdict::Inconclusive(why) | Verdict::Error(why) => {
            let _ = writeln!(out, "- {}", cell(why));
        }
        Verdict::Pass => {}
    }
    for note in &case.notes {
        let _ = writeln!(out, "- {}", cell(note));
    }
    out.push_str("\n```sh\n");
    for command in case.commands.iter().chain([&report.again(&case.id)]) {
        let _ = writeln!(out, "{command}");
    }
    out.push_str("```\n");
    out
}

fn several(reports: &[Report]) -> String {
    let mut out = String::from("# Which of them is safe to retry?\n\n");
    out.push_str("| target | grade | it may promise | why | tested |\n|---|---|---|---|---|\n");
    for report in reports {
        let judgement = judge(report);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            cell(&report.target),
            judgement.grade,
            cell(&judgement.promise),
            cell(&judgement.why),
            date(report.began)
        );
    }
    for (topic, rows) in rows(reports) {
        let heads: Vec<String> = reports.iter().map(|report| cell(&report.target)).collect();
        let _ = write!(out, "\n## {}\n\n| case | {} |\n", title(topic), heads.join(" | "));
        let _ = writeln!(out, "|---|{}", "---|".repeat(reports.len()));
        for row in rows {
            let words: Vec<String> = row
                .found
                .iter()
                .map(|found| {
                    found.map_or(String::new(), |case| {
                        let (mark, word) = mark(case);
                        format!("{mark} {word}")
                    })
                })
                .collect();
            let _ = writeln!(
                out,
                "| `{}` ({}) | {} |",
                row.case.id,
                row.case.level.name(),
                words.join(" | ")
            );
        }
    }
    out
}

fn graded(grade: &str) -> String {
    if grade.len() == 1 { format!("Grade {grade}") } else { "Not graded".to_owned() }
}

fn code_list(ids: &[&str]) -> String {
    let quoted: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    quoted.join(", ")
}

/// Text that stays within its cell and is no markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fails, judged, report};
    use super::*;
    use crate::case::{Harm, Level};

    #[test]
    fn one_target_is_told_in_full() {
        let text = write(&[report(vec![
            judged("replay/a", Level::Must, Verdict::Pass),
            judged("claim/b", Level::Must, fails(Harm::Doubled)),
            judged("store/c", Level::Must, Verdict::Skipped("no | store".into())),
        ])]);
        for part in [
            "# Is Charges \\<&\\> \"co\" safe to retry?",
            "**Grade F**",
            "*Nothing: a retry can have its effect twice.*",
            "| ✕ fail | MUST | `claim/b` | claim/b holds. |",
            "- observed: 2 effects",
            "--case claim/b --seed 7",
            "- no \\| store: `store/c`",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn several_targets_are_columns_and_a_case_that_one_lacks_is_empty() {
        let first = report(vec![judged("replay/a", Level::Must, Verdict::Pass)]);
        let mut second = report(vec![
            judged("replay/b", Level::Must, Verdict::Pass),
            judged("replay/a", Level::Must, fails(Harm::Doubled)),
        ]);
        second.target = "Other".to_owned();
        let text = write(&[first, second]);
        assert!(text.contains("| `replay/a` (MUST) | ● pass | ✕ fail |"), "{text}");
        assert!(text.contains("| `replay/b` (MUST) |  | ● pass |"), "{text}");
    }
}
