//! The page of several targets: who may promise what, then each case as a row with a cell for each.

use std::fmt::Write;

use super::super::matrix::{Row, mark, rows};
use super::super::verdict::{Grade, judge};
use super::super::{Report, date, title};
use super::one::{grade_class, sentence};
use super::{class, document, escaped, key, seen};
use crate::case::Verdict;

const QUESTION: &str = "Which of these is safe to retry?";

pub(super) fn page(reports: &[Report]) -> String {
    let mut body = format!("<main class=\"league\">\n<header>\n<h1>{QUESTION}</h1>\n</header>\n");
    body.push_str(&standings(reports));
    body.push_str(&key(reports.iter().flat_map(|report| &report.cases)));
    body.push_str(&matrix(reports));
    body.push_str("<footer>\n<p>Effects are counted from outside. A row opens: it tells what is required, and what was seen where that does not hold.</p>\n</footer>\n</main>\n");
    document(QUESTION, &body)
}

/// Each target with its grade and its promise.
fn standings(reports: &[Report]) -> String {
    let mut out = String::from("<table class=\"standings\">\n<thead><tr>");
    for head in ["grade", "target", "it may promise", "because", "tested"] {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for report in reports {
        let judgement = judge(report);
        let (letter, word) = letter(judgement.grade);
        let _ = writeln!(
            out,
            "<tr><td class=\"letter {}\">{letter}{word}</td><th scope=\"row\">{}</th><td>{}</td><td class=\"why\">{}.</td><td class=\"when\">{}</td></tr>",
            grade_class(judgement.grade),
            escaped(&report.target),
            escaped(&judgement.promise),
            escaped(&sentence(&judgement.why)),
            date(report.began)
        );
    }
    out + "</tbody>\n</table>\n"
}

fn letter(grade: Grade) -> (String, &'static str) {
    match grade {
        Grade::Ungraded => ("?".to_owned(), " <small>not graded</small>"),
        grade => (grade.to_string(), ""),
    }
}

fn matrix(reports: &[Report]) -> String {
    let n = reports.len();
    let mut out = format!("<div class=\"matrix\" style=\"--n:{n}\" tabindex=\"0\">\n");
    out.push_str("<div class=\"row head\"><span></span>");
    for report in reports {
        let grade = judge(report).grade;
        let _ = write!(
            out,
            "<span class=\"target\"><span>{}</span><b class=\"{}\">{}</b></span>",
            escaped(&report.target),
            grade_class(grade),
            letter(grade).0
        );
    }
    out.push_str("</div>\n");
    for (topic, rows) in rows(reports) {
        let (title, topic) = (escaped(title(topic)), escaped(topic));
        let _ = writeln!(out, "<h2><span>{title} <small><code>{topic}</code></small></span></h2>");
        for row in rows {
            out.push_str(&line(reports, &row));
        }
    }
    out + "</div>\n"
}

fn line(reports: &[Report], row: &Row<'_>) -> String {
    let mut out = format!(
        "<details><summary class=\"row\"><span class=\"name\">{} <small class=\"level\">{}</small></span>",
        escaped(row.case.name()),
        row.case.level.name()
    );
    for (report, found) in reports.iter().zip(&row.found) {
        let ((mark, word), class) =
            found.map_or((("", "not run"), "skip"), |case| (mark(case), class(case)));
        let _ = write!(
            out,
            "<span class=\"cell {class}\" title=\"{}\"><span class=\"mark\">{mark}</span><span class=\"word\">{word}</span></span>",
            escaped(&report.target)
        );
    }
    let _ = write!(
        out,
        "</summary><div class=\"seen\"><p>{}</p><p class=\"source\">{}</p>",
        escaped(&row.case.requirement),
        escaped(&row.case.source)
    );
    for (report, found) in reports.iter().zip(&row.found) {
        // What holds is seen in the row; what does not is told here.
        let Some(case) = found.filter(|case| case.verdict != Verdict::Pass) else { continue };
        let (mark, word) = mark(case);
        let _ = write!(
            out,
            "<h3>{} <span class=\"{}\">{mark} {word}</span></h3>{}",
            escaped(&report.target),
            class(case),
            seen(report, case)
        );
    }
    out + "</div></details>\n"
}
