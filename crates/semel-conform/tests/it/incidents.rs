//! The page of incidents names cases and tests that there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The page, which is read where it stands: a crate includes nothing from beyond its own folder.
fn page() -> String {
    std::fs::read_to_string(root().join("docs/reference/conform-incidents.md")).unwrap()
}

/// The rows of the table: the scenario's name, and the whole line.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter(|line| line.starts_with("| S"));
    rows.filter_map(|line| Some((line.split('|').nth(1)?.trim(), line))).collect()
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn each_scenario_has_one_row_that_names_what_covers_it() {
    let page = page();
    let names: Vec<String> = rows(&page).into_iter().map(|(name, _)| name.to_owned()).collect();
    let all: Vec<String> = (1..=32).map(|n| format!("S{n}")).collect();
    assert_eq!(names, all);
    for (name, line) in rows(&page) {
        assert!(
            quoted(line).next().is_some() || line.contains("not covered yet"),
            "{name}: {line}"
        );
    }
}

#[test]
fn each_case_that_is_named_exists() {
    let known: BTreeSet<&str> = semel_conform::cases::all().map(|case| case.id).collect();
    let (page, mut named) = (page(), 0);
    for (name, line) in rows(&page) {
        for id in quoted(line).filter(|word| word.contains('/')) {
            assert!(known.contains(id), "{name} names {id}, and there is no such case");
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}

#[test]
fn each_test_that_is_named_stands_in_the_file_beside_it() {
    let (page, mut named) = (page(), 0);
    for (name, line) in rows(&page) {
        for test in quoted(line).filter(|word| !word.contains('/')) {
            let files = line.split("](../../").skip(1).filter_map(|rest| rest.split(')').next());
            let found = files.map(|file| root().join(file)).any(|file| {
                let text = std::fs::read_to_string(&file).unwrap();
                text.contains(&format!("fn {test}("))
            });
            assert!(found, "{name} names {test}, and it stands in no file that the row links");
            named += 1;
        }
    }
    assert!(named >= 12, "{named}");
}
