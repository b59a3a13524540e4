//! `docs/reference/contract-tests.md` names tests that there are, and every test of a route's rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn the_page_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/reference/contract-tests.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let named: BTreeSet<String> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| name.matches('_').count() > 1)
        .collect();
    assert!(named.len() > 50, "the page was not understood: {named:?}");
    let mut there = BTreeSet::new();
    let mut by_route = BTreeSet::new();
    for file in fs::read_dir(root.join("tests/it/contract")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let tests = text.split("#[tokio::test]").skip(1).filter_map(|rest| {
            let name = rest.split_once("async fn ")?.1.split('(').next()?;
            Some(name.to_owned())
        });
        let tests: Vec<String> = tests.collect();
        if path.file_name().unwrap().to_string_lossy().starts_with("route_") {
            by_route.extend(tests.clone());
        }
        there.extend(tests);
    }
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(gone.is_empty(), "the page names what is no test: {gone:?}");
    let unnamed: Vec<_> = by_route.difference(&named).collect();
    assert!(unnamed.is_empty(), "the page leaves out {unnamed:?}");
}
