//! The report as JUnit XML, for build servers: its failures and errors are what the exit code says.
//!
//! A topic is a suite. What does not count (a SHOULD without `--strict`, an INFO) is never a failure
//! there; where it does not hold, it stands as skipped, with what was seen.

use std::fmt::Write;

use super::verdict::{Outcome, outcome};
use super::{Judged, Report, by_topic, required};
use crate::case::Verdict;

/// The report as one XML document.
#[must_use]
pub fn write(report: &Report) -> String {
    let mut suites = String::new();
    let mut total = Counts::default();
    for (topic, cases) in by_topic(&report.cases) {
        let mut counts = Counts::default();
        let mut body = String::new();
        for case in cases {
            body.push_str(&test_case(report, case, &mut counts));
        }
        suites.push_str(&suite(topic, counts, &body));
        total.add(counts);
    }
    // A run in which nothing failed and nothing was judged is no success either.
    if let (Outcome::Unjudged(why), 0) = (outcome(report), total.errors) {
        let counts = Counts { tests: 1, errors: 1, ..Counts::default() };
        let body = format!(
            "    <testcase classname=\"run\" name=\"run/judged\" time=\"0\">\n      <error message=\"{}\"/>\n    </testcase>\n",
            escaped(&why)
        );
        suites.push_str(&suite("run", counts, &body));
        total.add(counts);
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}, {}\" {total} time=\"{:.3}\">\n{suites}</testsuites>\n",
        escaped(&report.target),
        escaped(&report.spoken),
        report.took.as_secs_f64()
    )
}

#[derive(Clone, Copy, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    const fn add(&mut self, more: Self) {
        self.tests += more.tests;
        self.failures += more.failures;
        self.errors += more.errors;
        self.skipped += more.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tests, failures, errors, skipped } = self;
        write!(
            f,
            "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\""
        )
    }
}

fn suite(name: &str, counts: Counts, body: &str) -> String {
    format!("  <testsuite name=\"{}\" {counts}>\n{body}  </testsuite>\n", escaped(name))
}

fn test_case(report: &Report, case: &Judged, counts: &mut Counts) -> String {
    counts.tests += 1;
    let counts_here = required(case.level, report.options.strict);
    let (kind, message) = match (&case.verdict, counts_here) {
        (Verdict::Pass, _) => (None, String::new()),
        (Verdict::Fail { expected, observed, .. }, true) => {
            counts.failures += 1;
            (Some("failure"), format!("expected {expected}; observed {observed}"))
        }
        (Verdict::Fail { expected, observed, .. }, false) => {
            counts.skipped += 1;
            let level = case.level.name();
            let seen = format!("expected {expected}; observed {observed}");
            (Some("skipped"), format!("does not hold; it is {level} and does not count: {seen}"))
        }
        (Verdict::Inconclusive(why) | Verdict::Error(why), true) => {
            counts.errors += 1;
            (Some("error"), why.clone())
        }
        (Verdict::Skipped(why) | Verdict::Inconclusive(why) | Verdict::Error(why), _) => {
            counts.skipped += 1;
            (Some("skipped"), why.clone())
        }
    };
    let mut out = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(case.topic()),
        escaped(&case.id),
        case.took.as_secs_f64()
    );
    let Some(kind) = kind else {
        out.push_str("/>\n");
        return out;
    };
    let _ = write!(out, ">\n      <{kind} message=\"{}\"", escaped(&message));
    if kind == "skipped" {
        out.push_str("/>\n");
    } else {
        let mut lines = vec![format!("{} {}", case.level.name(), case.requirement)];
        lines.push(case.source.clone());
        lines.extend(case.commands.iter().cloned());
        lines.push(report.again(&case.id));
        let _ = writeln!(
            out,
            " type=\"{}\">{}</{kind}>",
            case.verdict.name(),
            escaped(&lines.join("\n"))
        );
    }
    out.push_str("    </testcase>\n");
    out
}

/// As text or as a value in double quotes. What XML 1.0 cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
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

    fn attribute(node: roxmltree::Node<'_, '_>, name: &str) -> usize {
        node.attribute(name).unwrap().parse().unwrap()
    }

    #[test]
    fn a_parser_reads_what_the_exit_code_says() {
        let cases = vec![
            judged("replay/a", Level::Must, Verdict::Pass),
            judged("replay/b", Level::Must, fails(Harm::Doubled)),
            judged("replay/c", Level::Should, fails(Harm::Other)),
            judged("store/d", Level::Must, Verdict::Skipped("no \"store\" & no <control>".into())),
            judged("store/e", Level::Must, Verdict::Error("bytes \u{0}\u{1b}[31m\n]]>".into())),
        ];
        let text = write(&report(cases));
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        let counts = ["tests", "failures", "errors", "skipped"].map(|name| attribute(root, name));
        assert_eq!(counts, [5, 1, 1, 2]);
        let nodes = |name: &'static str| root.descendants().filter(move |n| n.has_tag_name(name));
        assert_eq!(nodes("testcase").count(), 5);
        for (name, n) in [("failure", 1), ("error", 1), ("skipped", 2)] {
            assert_eq!(nodes(name).count(), n, "{name}");
        }
        let of_suites: usize = nodes("testsuite").map(|suite| attribute(suite, "tests")).sum();
        assert_eq!(of_suites, 5);
        let failure = nodes("failure").next().unwrap();
        assert!(failure.text().unwrap().contains("curl -i 'http://h/<p>?a&b'\n"));
        assert!(failure.text().unwrap().ends_with("--case replay/b --seed 7"));
        let error = nodes("error").next().unwrap();
        assert_eq!(error.attribute("message"), Some("bytes \u{fffd}\u{fffd}[31m\n]]>"));
    }

    #[test]
    fn a_run_that_judged_nothing_is_an_error() {
        let skipped = judged("store/d", Level::Must, Verdict::Skipped("no store".into()));
        let text = write(&report(vec![skipped]));
        let document = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(attribute(document.root_element(), "errors"), 1);
        assert!(document.descendants().any(|node| node.has_tag_name("error")));
    }
}
