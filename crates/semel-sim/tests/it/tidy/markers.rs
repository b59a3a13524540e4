//! What must not be left behind: markers, waiting tests, skipped tests, undecided selects.

use super::rust::Source;
use super::{Text, assert_tidy, sources, texts};

// Put together here, so that this file does not hold what it looks for.
const MARKERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const MACROS: [&str; 3] =
    [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("d", "bg!")];
const WAITS: [&str; 4] = ["sleep", "sleep_until", "sleep_ms", "park_timeout"];
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const REGISTRY_HOSTS: [&str; 8] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands alone in `line`.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let closed = word.ends_with('!') || !after.is_some_and(is_word);
        !before.is_some_and(is_word) && closed
    })
}

fn left_over(file: &Text) -> Vec<String> {
    let mut faults = Vec::new();
    for (i, line) in file.text.lines().enumerate() {
        for marker in MARKERS.iter().chain(&MACROS).filter(|marker| has_word(line, marker)) {
            faults.push(format!(
                "{}:{}: '{marker}' is left over: do it or drop it",
                file.path,
                i + 1
            ));
        }
    }
    faults
}

fn places(file: &Text) -> Vec<String> {
    let mut faults = Vec::new();
    for (i, line) in file.text.lines().enumerate() {
        let paths = MACHINE_PATHS.iter().filter(|path| line.contains(**path));
        let hosts = REGISTRY_HOSTS.iter().filter(|host| line.contains(**host));
        for place in paths.chain(hosts) {
            faults.push(format!(
                "{}:{}: '{place}' belongs to one machine, not to the project",
                file.path,
                i + 1
            ));
        }
    }
    faults
}

/// A test waits for an event or moves a clock by hand. A sleep on tokio's paused clock takes no time
/// and is the way to let others run up to a moment: a file that pauses the clock may, and a file
/// without tests of its own in a binary that does.
fn waits(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let paused = pauses(source) || lent_to_paused(source, sources);
        for (line, code) in source.tests() {
            let calls = |wait: &&&str| has_word(code, wait) && code.contains(&format!("{wait}("));
            for wait in WAITS.iter().filter(calls) {
                if paused && !code.contains("thread::") {
                    continue;
                }
                faults.push(format!(
                    "{}:{line}: '{wait}' in a test: wait for the event, or pause the clock",
                    source.path
                ));
            }
        }
    }
    faults
}

fn pauses(source: &Source) -> bool {
    source.code.contains("start_paused = true") || source.code.contains("time::pause()")
}

/// A harness has no tests of its own; those that it serves, in the same folder, pause the clock.
fn lent_to_paused(source: &Source, sources: &[Source]) -> bool {
    let Some(at) = source.path.find("/tests/") else { return false };
    let folder = &source.path[..at + "/tests/".len()];
    let alone = ["#[test]", "#[tokio::test"].iter().all(|test| !source.code.contains(test));
    alone && sources.iter().any(|s| s.path.starts_with(folder) && pauses(s))
}

fn skipped(source: &Source) -> Vec<String> {
    let lines = source.code.lines().enumerate();
    lines
        .filter(|(_, code)| code.contains(concat!("#[ig", "nore")))
        .map(|(i, _)| {
            format!("{}:{}: a skipped test proves nothing: run it or drop it", source.path, i + 1)
        })
        .collect()
}

/// Without `biased;` a select picks by a random number that no seed replays.
fn undecided(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, _) in source.code.match_indices("select!") {
        let body = source.code[at + "select!".len()..].trim_start();
        let ordered = body.strip_prefix('{').is_none_or(|b| b.trim_start().starts_with("biased;"));
        if !ordered {
            let line = source.code[..at].matches('\n').count() + 1;
            faults.push(format!("{}:{line}: begin the select with `biased;`", source.path));
        }
    }
    faults
}

#[test]
fn nothing_is_left_over() {
    assert_tidy(&texts().iter().flat_map(left_over).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_over_bites() {
    for marker in MARKERS.iter().chain(&MACROS) {
        let file = Text { path: "a.rs".into(), text: format!("x\n    {marker}(\"later\")\n") };
        assert_eq!(left_over(&file).len(), 1, "{marker}");
    }
    let file = Text { path: "a.md".into(), text: format!("MY{}S\n", MARKERS[0]) };
    assert_eq!(left_over(&file).len(), 0);
}

#[test]
fn nothing_names_one_machine() {
    // The lock file names its registry by its index, as cargo writes it.
    let files = texts().into_iter().filter(|file| file.path != "Cargo.lock");
    assert_tidy(&files.flat_map(|file| places(&file)).collect::<Vec<_>>());
}

#[test]
fn nothing_names_one_machine_bites() {
    for place in MACHINE_PATHS.iter().chain(&REGISTRY_HOSTS) {
        let file = Text { path: "a.md".into(), text: format!("see {place}x\n") };
        assert_eq!(places(&file).len(), 1, "{place}");
    }
}

#[test]
fn no_test_sleeps() {
    assert_tidy(&waits(&sources()));
}

#[test]
fn no_test_sleeps_bites() {
    const PAUSED: &str =
        "#[tokio::test(start_paused = true)]\nasync fn a() {\n    sleep(d).await;\n}\n";
    let awake = PAUSED.replace("(start_paused = true)", "");
    let product = "async fn a() {\n    sleep(d).await;\n}\n";
    let inline = |text: &str| waits(&[Source::new("crates/x/src/a.rs", text)]).len();
    assert_eq!(inline("#[test]\nfn a() {\n    std::thread::sleep(d);\n}\n"), 1);
    assert_eq!((inline(&awake), inline(PAUSED), inline(product)), (1, 0, 0));
    let beside = |test: &str| {
        let harness = Source::new("crates/x/tests/it/harness.rs", product);
        waits(&[harness, Source::new("crates/x/tests/it/a.rs", test)]).len()
    };
    assert_eq!((beside(&awake), beside(PAUSED), beside("")), (2, 0, 1));
}

#[test]
fn no_test_is_skipped() {
    assert_tidy(&sources().iter().flat_map(skipped).collect::<Vec<_>>());
}

#[test]
fn no_test_is_skipped_bites() {
    let text = concat!("#[test]\n#[ig", "nore]\nfn a() {}\n");
    assert_eq!(skipped(&Source::new("crates/x/src/a.rs", text)).len(), 1);
}

#[test]
fn every_select_is_biased() {
    assert_tidy(&sources().iter().flat_map(undecided).collect::<Vec<_>>());
}

#[test]
fn every_select_is_biased_bites() {
    let source = |body: &str| Source::new("a.rs", &format!("tokio::select! {{\n{body}\n}}\n"));
    assert_eq!(undecided(&source("x = y => {}")).len(), 1);
    assert_eq!(undecided(&source("    biased;\n    x = y => {}")).len(), 0);
}
