//! The page of one target: the answer, then each topic as a row of cells.

use std::fmt::Write;

use super::super::matrix::mark;
use super::super::verdict::{Grade, judge};
use super::super::{Judged, Report, Tally, by_topic, date, title};
use super::{class, document, escaped, key, seen};

pub(super) fn page(report: &Report) -> String {
    let mut body = String::from("<main>\n");
    body.push_str(&answer(report));
    body.push_str(&key(report.cases.iter()));
    for (topic, cases) in by_topic(&report.cases) {
        body.push_str(&section(report, topic, &cases));
    }
    body.push_str(&footer(report));
    body.push_str("</main>\n");
    document(&format!("Is {} safe to retry?", report.target), &body)
}

/// The question and its answer.
fn answer(report: &Report) -> String {
    let judgement = judge(report);
    let (letter, word) = match judgement.grade {
        Grade::Ungraded => ("?".to_owned(), "not graded".to_owned()),
        grade => (grade.to_string(), format!("grade {grade}")),
    };
    format!(
        "<header>\n<h1>Is {} safe to retry?</h1>\n<div class=\"answer\">\n\
         <div class=\"grade {}\"><span class=\"letter\" aria-hidden=\"true\">{letter}</span><span>{word}</span></div>\n\
         <div>\n<p class=\"label\">It may promise</p>\n<p class=\"promise\">{}</p>\n<p class=\"why\">{}.</p>\n</div>\n</div>\n</header>\n",
        escaped(&report.target),
        grade_class(judgement.grade),
        escaped(&judgement.promise),
        escaped(&sentence(&judgement.why)),
    )
}

/// The class that colours a grade.
pub(super) const fn grade_class(grade: Grade) -> &'static str {
    match grade {
        Grade::A | Grade::B => "pass",
        Grade::C => "unsure",
        Grade::D | Grade::F => "fail",
        Grade::Ungraded => "skip",
    }
}

/// With a capital.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn section(report: &Report, topic: &str, cases: &[&Judged]) -> String {
    let tally = Tally::of(cases.iter().copied());
    let mut out = format!(
        "<section>\n<h2>{}<small><code>{}</code> · {tally}</small></h2>\n<ul class=\"cells\">\n",
        escaped(title(topic)),
        escaped(topic)
    );
    for case in cases {
        out.push_str(&cell(report, case));
    }
    out + "</ul>\n</section>\n"
}

fn cell(report: &Report, case: &Judged) -> String {
    let (mark, word) = mark(case);
    let mut out = format!(
        "<li id=\"{id}\"><details class=\"cell {class}\"><summary>\
         <span class=\"mark\">{mark}</span><span class=\"name\">{name}</span>\
         <span class=\"word\">{word}</span><span class=\"level\">{level}</span></summary>",
        id = escaped(&case.id),
        class = class(case),
        name = escaped(case.name()),
        level = case.level.name(),
    );
    let _ = writeln!(
        out,
        "<div class=\"seen\"><p>{}</p><p class=\"source\">{}</p>{}</div></details></li>",
        escaped(&case.requirement),
        escaped(&case.source),
        seen(report, case)
    );
    out
}

fn footer(report: &Report) -> String {
    let options = &report.options;
    let counts = if options.strict { "MUST and SHOULD" } else { "MUST" };
    let rows = [
        ("target", report.url.clone()),
        ("spoken", report.spoken.clone()),
        ("tested", date(report.began)),
        ("took", format!("{:.1} s", report.took.as_secs_f64())),
        ("requests", report.requests.to_string()),
        ("unit", format!("{} ms", options.unit.as_millis())),
        ("each case", format!("{} ×", options.repeat)),
        ("what counts", counts.to_owned()),
        ("tester", report.tester.clone()),
        ("again", format!("{} --seed {}", report.command, options.seed)),
    ];
    let row =
        |(name, value): &(&str, String)| format!("<dt>{name}</dt><dd>{}</dd>", escaped(value));
    let rows: String = rows.iter().map(row).collect();
    let credentials = report.credentials().map(|how| format!("<p>{}</p>\n", escaped(how)));
    let credentials = credentials.unwrap_or_default();
    format!(
        "<footer>\n<dl>{rows}</dl>\n{credentials}<p>Effects are counted from outside. That an effect happens exactly once is known only where its database is, so no report says so.</p>\n</footer>\n"
    )
}
