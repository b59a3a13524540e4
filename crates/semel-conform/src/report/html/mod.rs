//! The report as one page that needs nothing else: a matrix to look at, with what was seen behind
//! each cell. One target, or several side by side.
//!
//! Colour is never alone: each verdict has a shape and a word.

mod league;
mod one;

use std::fmt::Write;

use super::{Judged, Report, matrix};
use crate::case::{Level, Verdict};

const CSS: &str = include_str!("page.css");

/// The page.
#[must_use]
pub fn write(reports: &[Report]) -> String {
    match reports {
        [report] => one::page(report),
        reports => league::page(reports),
    }
}

/// A whole document.
fn document(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{CSS}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// The class that colours a verdict.
const fn class(case: &Judged) -> &'static str {
    match (&case.verdict, case.level) {
        (Verdict::Pass, _) => "pass",
        (Verdict::Fail { .. }, Level::Must) => "fail",
        (Verdict::Fail { .. }, Level::Should) => "fail soft",
        (Verdict::Fail { .. }, Level::Info) => "skip",
        (Verdict::Skipped(_), _) => "skip",
        (Verdict::Inconclusive(_), _) => "unsure",
        (Verdict::Error(_), _) => "error",
    }
}

/// What was seen of a case: nothing is hidden that the other forms show.
fn seen(report: &Report, case: &Judged) -> String {
    let mut out = String::from("<dl>");
    let mut row = |name: &str, value: &str| {
        let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
    };
    match &case.verdict {
        Verdict::Pass => {}
        Verdict::Fail { expected, observed, .. } => {
            row("expected", expected);
            row("observed", observed);
        }
        Verdict::Skipped(why) | Verdict::Inconclusive(why) | Verdict::Error(why) => {
            row(case.verdict.name(), why);
        }
    }
    for note in &case.notes {
        row("note", note);
    }
    row("took", &format!("{:.2} s", case.took.as_secs_f64()));
    out.push_str("</dl>");
    if !matches!(case.verdict, Verdict::Skipped(_)) {
        let lines = case.commands.iter().map(String::as_str);
        let again = report.again(&case.id);
        let lines: Vec<String> = lines.chain([again.as_str()]).map(escaped).collect();
        let _ = write!(out, "<pre tabindex=\"0\">{}</pre>", lines.join("\n"));
    }
    out
}

/// How many of each verdict, as the key to the marks.
fn key<'a>(cases: impl Iterator<Item = &'a Judged> + Clone) -> String {
    let mut out = String::from("<ul class=\"key\">");
    for (mark, word, class, meaning) in [
        ("●", "pass", "pass", "holds"),
        ("✕", "fail", "fail", "does not hold"),
        ("◐", "unsure", "unsure", "could not be told"),
        ("⊘", "error", "error", "the tester, or what it leans on, broke"),
        ("–", "skip", "skip", "the target lacks what it needs"),
        ("○", "no", "skip", "good to know, never counts"),
    ] {
        let n = cases.clone().filter(|case| matrix::mark(case).1 == word).count();
        if n > 0 {
            let _ = write!(
                out,
                "<li><span class=\"{class}\"><span class=\"mark\">{mark}</span> <b>{n} {word}</b></span> {meaning}</li>"
            );
        }
    }
    out + "</ul>\n"
}

/// As text or as a value in double quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fails, judged, report};
    use super::*;
    use crate::case::Harm;

    fn example() -> Report {
        report(vec![
            judged("replay/a", Level::Must, Verdict::Pass),
            judged("claim/b", Level::Must, fails(Harm::Doubled)),
            judged("store/c", Level::Must, Verdict::Skipped("no <store>".into())),
            judged("store/d", Level::Should, Verdict::Inconclusive("late".into())),
        ])
    }

    /// Every element that is opened in the body is closed, in order.
    fn assert_nested(page: &str) {
        let (_, body) = page.split_once("<body>").unwrap();
        let (body, _) = body.split_once("</body>").unwrap();
        let mut open: Vec<&str> = Vec::new();
        for tag in body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            let name = tag.trim_start_matches('/').split(' ').next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "</{name}>");
            } else {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn one_target_and_several_are_whole_pages() {
        let mut other = example();
        other.target = "Other".to_owned();
        other.cases.remove(0);
        for page in [write(&[example()]), write(&[example(), other])] {
            assert_nested(&page);
            for part in [
                "Charges &lt;&amp;&gt; &quot;co&quot;",
                "a retry can have its effect twice",
                "2 effects",
                "--case claim/b --seed 7",
                "no &lt;store&gt;",
            ] {
                assert!(page.contains(part), "{part} is not in {page}");
            }
            for outside in ["http-equiv", "<script", "<link", "src=", "@import", "url("] {
                assert!(!page.contains(outside), "{outside}");
            }
        }
    }
}
