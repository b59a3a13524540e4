//! Markdown: one title, no trailing spaces, links that lead somewhere; decision records in their form.

use std::collections::BTreeSet;

use super::{Text, assert_tidy, root, texts, texts_named};

const RECORD_LINES_MAX: usize = 60;
const RECORD_HEADINGS: [&str; 4] = ["Context", "Decision", "Consequences", "Rejected"];

/// The numbered lines (from 1) outside fenced code.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((i + 1, line));
        }
    }
    lines
}

fn headings(text: &str) -> Vec<(usize, &str)> {
    let heading =
        |line: &str| line.starts_with('#') && line.trim_start_matches('#').starts_with(' ');
    prose(text).into_iter().filter(|(_, line)| heading(line)).collect()
}

fn form(file: &Text) -> Vec<String> {
    let mut faults = Vec::new();
    let titles = headings(&file.text).into_iter().filter(|(_, line)| line.starts_with("# "));
    let titles: Vec<usize> = titles.map(|(line, _)| line).collect();
    if titles != [1] {
        faults.push(format!("{}: one title, on the first line; found at {titles:?}", file.path));
    }
    for (i, line) in file.text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t'])) {
        faults.push(format!("{}:{}: ends in a space: {line:?}", file.path, i + 1));
    }
    if !file.text.ends_with('\n') || file.text.ends_with("\n\n") {
        faults.push(format!("{}: end with one line feed", file.path));
    }
    faults
}

/// The anchor of a heading as renderers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of `[text](target)`, code spans apart.
fn targets(line: &str) -> Vec<&str> {
    // Every second piece between backticks is code. Where a link's text is code, the piece behind it
    // begins with "](".
    let outside_code = line.split('`').step_by(2);
    outside_code
        .flat_map(|piece| piece.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .collect()
}

/// Links to files of the repository that are not there. `exists` answers for a path from the root.
fn dead_links(
    file: &Text,
    exists: impl Fn(&str) -> bool,
    text_of: impl Fn(&str) -> String,
) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut faults = Vec::new();
    for (line, text) in prose(&file.text) {
        for target in
            targets(text).into_iter().filter(|t| !t.contains("://") && !t.starts_with("mailto:"))
        {
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { file.path.clone() } else { resolve(folder, path) };
            if !exists(&path) {
                faults.push(format!("{}:{line}: '{target}' leads nowhere", file.path));
            } else if !fragment.is_empty()
                && !headings(&text_of(&path)).iter().any(|(_, heading)| anchor(heading) == fragment)
            {
                faults.push(format!("{}:{line}: '{target}': no such heading", file.path));
            }
        }
    }
    faults
}

fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn record_form(file: &Text) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = file.text.lines().count();
    if lines > RECORD_LINES_MAX {
        faults.push(format!("{}: {lines} lines, at most {RECORD_LINES_MAX}", file.path));
    }
    let found: Vec<&str> =
        headings(&file.text).into_iter().filter_map(|(_, line)| line.strip_prefix("## ")).collect();
    if found != RECORD_HEADINGS {
        faults.push(format!("{}: headings are {found:?}, not {RECORD_HEADINGS:?}", file.path));
    }
    faults
}

/// Numbers that are missing or given twice.
fn record_numbers(paths: &[String]) -> Vec<String> {
    let number =
        |path: &String| path.rsplit('/').next().and_then(|name| name.get(..4)?.parse().ok());
    let numbers: Vec<Option<usize>> = paths.iter().map(number).collect();
    let distinct: BTreeSet<usize> = numbers.iter().flatten().copied().collect();
    let expected: BTreeSet<usize> = (1..=paths.len()).collect();
    if distinct == expected {
        return Vec::new();
    }
    vec![format!("decision records are numbered from 0001 without gaps, not {distinct:?}")]
}

fn records() -> Vec<Text> {
    let records = texts_named(".md").into_iter().filter(|file| file.path.starts_with("docs/adr/"));
    records.filter(|file| !file.path.ends_with("README.md")).collect()
}

#[test]
fn markdown_has_its_form() {
    assert_tidy(&texts_named(".md").iter().flat_map(form).collect::<Vec<_>>());
}

#[test]
fn markdown_has_its_form_bites() {
    let faults = |text: &str| form(&Text { path: "a.md".into(), text: text.into() }).len();
    assert_eq!(faults("# A\n\nText.\n\n```\n# not a title\n```\n"), 0);
    assert_eq!(faults("Text.\n"), 1);
    assert_eq!(faults("# A\n\n# B\n"), 1);
    assert_eq!(faults("# A \n"), 1);
    assert_eq!(faults("# A\n\n\n"), 1);
}

#[test]
fn links_lead_somewhere() {
    let files = texts();
    let text_of = |path: &str| {
        files.iter().find(|file| file.path == path).map_or(String::new(), |file| file.text.clone())
    };
    let pages = files.iter().filter(|file| file.path.ends_with(".md"));
    let faults =
        pages.flat_map(|file| dead_links(file, |path| root().join(path).exists(), text_of));
    assert_tidy(&faults.collect::<Vec<_>>());
}

#[test]
fn links_lead_somewhere_bites() {
    let faults = |link: &str| {
        let file = Text { path: "docs/a/b.md".into(), text: format!("# B\n\n[x]({link})\n") };
        dead_links(&file, |path| path == "docs/c.md", |_| "# C\n\n## The `key` of it\n".into())
            .len()
    };
    assert_eq!(faults("../c.md"), 0);
    assert_eq!(faults("../c.md#the-key-of-it"), 0);
    assert_eq!(faults("https://example.com/x"), 0);
    assert_eq!(faults("../d.md"), 1);
    assert_eq!(faults("../c.md#another"), 1);
    assert_eq!(targets("`[a](b)` and [c](d), [`e`](f)"), ["d", "f"]);
}

#[test]
fn decision_records_have_their_form() {
    let records = records();
    assert!(!records.is_empty(), "docs/adr holds no record");
    let mut faults: Vec<String> = records.iter().flat_map(record_form).collect();
    faults.extend(record_numbers(&records.into_iter().map(|file| file.path).collect::<Vec<_>>()));
    assert_tidy(&faults);
}

#[test]
fn decision_records_have_their_form_bites() {
    let faults = |text: String| record_form(&Text { path: "a.md".into(), text }).len();
    let good = "# A\n\n## Context\n\n## Decision\n\n## Consequences\n\n## Rejected\n";
    assert_eq!(faults(good.into()), 0);
    assert_eq!(faults(good.replace("## Rejected\n", "")), 1);
    assert_eq!(faults(good.to_owned() + &"x\n".repeat(RECORD_LINES_MAX)), 1);
    assert_eq!(
        record_numbers(&["docs/adr/0001-a.md".into(), "docs/adr/0003-b.md".into()]).len(),
        1
    );
    assert_eq!(
        record_numbers(&["docs/adr/0001-a.md".into(), "docs/adr/0001-b.md".into()]).len(),
        1
    );
}
