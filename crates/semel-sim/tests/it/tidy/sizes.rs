//! How long a file and a function may be, and what a file may not be called.

use super::rust::{Source, functions};
use super::{assert_tidy, sources};

/// Nothing may be longer, tests apart.
const FILE_LINES_MAX: usize = 800;
/// Nine files of ten are at most this long.
const FILE_LINES_P90: usize = 400;
/// `lib.rs` is a table of contents.
const LIB_LINES_MAX: usize = 150;
const FUNCTION_LINES_MAX: usize = 70;
/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "misc"];

fn long_files(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let lines = source.product().count();
        let lib = source.path.ends_with("/lib.rs");
        let most = if lib { LIB_LINES_MAX } else { FILE_LINES_MAX };
        if lines > most {
            faults.push(format!(
                "{}: {lines} lines, at most {most}: split it by step or topic",
                source.path
            ));
        }
    }
    faults
}

/// The median and the ninth decile of the lengths of the files that hold product code.
fn quantiles(sources: &[Source]) -> (usize, usize) {
    let mut lines: Vec<usize> =
        sources.iter().map(|s| s.product().count()).filter(|lines| *lines > 0).collect();
    lines.sort_unstable();
    let at = |tenths: usize| lines.get((lines.len() * tenths / 10).min(lines.len() - 1)).copied();
    (at(5).unwrap_or(0), at(9).unwrap_or(0))
}

fn long_functions(source: &Source) -> Vec<String> {
    let long = functions(&source.code).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
    long.filter(|f| !source.test[f.line - 1])
        .map(|f| {
            format!(
                "{}:{}: fn {} has {} lines, at most {FUNCTION_LINES_MAX}: give its parts names",
                source.path, f.line, f.name, f.lines
            )
        })
        .collect()
}

fn empty_names(path: &str) -> Vec<String> {
    let parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
    parts
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| format!("{path}: '{part}' says nothing; name it for its step or topic"))
        .collect()
}

#[test]
fn no_file_is_too_long() {
    assert_tidy(&long_files(&sources()));
}

#[test]
fn no_file_is_too_long_bites() {
    let long = "fn a() {}\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(long_files(&[Source::new("crates/x/src/a.rs", &long)]).len(), 1);
    let lib = "fn a() {}\n".repeat(LIB_LINES_MAX + 1);
    assert_eq!(long_files(&[Source::new("crates/x/src/lib.rs", &lib)]).len(), 1);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(long_files(&[Source::new("crates/x/src/a.rs", &tests)]).len(), 0);
}

#[test]
fn most_files_are_short() {
    let (median, p90) = quantiles(&sources());
    println!("lines a file, tests apart: median {median}, p90 {p90}");
    assert!(
        p90 <= FILE_LINES_P90,
        "p90 is {p90} lines, at most {FILE_LINES_P90}: split the longest files"
    );
}

#[test]
fn most_files_are_short_bites() {
    let file = |lines| Source::new("crates/x/src/a.rs", &"fn a() {}\n".repeat(lines));
    let files: Vec<Source> = [100, 100, 100, 500, 500].into_iter().map(file).collect();
    assert_eq!(quantiles(&files), (100, 500));
}

#[test]
fn no_function_is_too_long() {
    assert_tidy(&sources().iter().flat_map(long_functions).collect::<Vec<_>>());
}

#[test]
fn no_function_is_too_long_bites() {
    let body = |lines| format!("fn a() {{\n{}}}\n", "    b();\n".repeat(lines));
    let faults = |lines| long_functions(&Source::new("crates/x/src/a.rs", &body(lines))).len();
    assert_eq!((faults(FUNCTION_LINES_MAX - 2), faults(FUNCTION_LINES_MAX - 1)), (0, 1));
}

#[test]
fn files_have_names_that_say_something() {
    assert_tidy(&sources().iter().flat_map(|s| empty_names(&s.path)).collect::<Vec<_>>());
}

#[test]
fn files_have_names_that_say_something_bites() {
    assert_eq!(empty_names("crates/x/src/utils.rs").len(), 1);
    assert_eq!(empty_names("crates/x/src/common/mod.rs").len(), 1);
    assert_eq!(empty_names("crates/x/src/commons.rs").len(), 0);
}
