//! `docs/reference/conform.md` names every flag with its default and every key of the target file,
//! and no other; and the files that the guide names are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use semel_conform::behaviour::Behaviour;
use semel_conform::target;

use crate::command::conform;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn page() -> String {
    std::fs::read_to_string(repository("docs/reference/conform.md")).unwrap()
}

/// The part of the page below that heading, up to the next one.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).expect(heading);
    rest.split("\n#").next().unwrap()
}

/// What stands in backticks in the first cell of each row, and the second cell.
fn rows(section: &str) -> BTreeMap<String, String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut named = BTreeMap::new();
    for row in rows {
        let mut cells = row.split(" | ");
        let (first, second) = (cells.next().unwrap(), cells.next().unwrap());
        for name in first.split('`').step_by(2).filter(|name| !name.is_empty()) {
            named.insert(name.trim_matches([',', ' ']).to_owned(), second.to_owned());
        }
    }
    named.remove("");
    named
}

/// flag → default, as the command itself says.
async fn helped() -> BTreeMap<String, Option<String>> {
    let help = conform(&["--help"]).await.stdout;
    let (options, _) = help.split_once("Examples:").unwrap();
    let mut flags = BTreeMap::new();
    let mut flag = None;
    for line in options.lines().map(str::trim_start) {
        if let Some(at) = line.starts_with('-').then(|| line.find("--")).flatten() {
            let letter = |c: &char| c.is_ascii_lowercase() || *c == '-';
            let name: String = line[at..].chars().take_while(letter).collect();
            flags.insert(name.clone(), None);
            flag = Some(name);
        }
        if let (Some(name), Some((_, rest))) = (&flag, line.split_once("[default: ")) {
            flags.insert(name.clone(), rest.split(']').next().map(str::to_owned));
        }
    }
    flags.remove("--help");
    flags.remove("--version");
    flags
}

#[tokio::test]
async fn the_page_and_the_help_name_the_same_flags() {
    let (helped, page) = (helped().await, page());
    let written = rows(section(&page, "## Flags"));
    assert!(helped.len() > 20, "{helped:?}");
    assert_eq!(helped.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
    for (flag, default) in helped {
        if let Some(default) = default {
            assert_eq!(written[&flag], format!("`{default}`"), "the default of {flag}");
        }
    }
}

/// The keys that the parser knows in a table, as it lists them to whoever writes another one.
fn known(table: &str) -> BTreeSet<String> {
    let text = format!("url = \"http://127.0.0.1:9\"\n{table}\nzzzzzzzzzzzzzzzz = 1\n");
    let text = if table.is_empty() { "zzzzzzzzzzzzzzzz = 1\n".to_owned() } else { text };
    let error = target::parse(&text).unwrap_err().to_string();
    let quoted: Vec<_> = error.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(quoted[0], "zzzzzzzzzzzzzzzz", "{error}");
    quoted.into_iter().skip(1).collect()
}

#[test]
fn the_page_and_the_parser_name_the_same_keys() {
    let page = page();
    for (heading, table) in [
        ("### The API", ""),
        ("### `[tls]`", "[tls]"),
        ("### `[operation]`", "[operation]"),
        ("### `[tenant_a]`, `[tenant_b]`, `[rotated]`", "[tenant_b]"),
        ("### `[effects]`", "[effects]"),
        ("### `[timing]`", "[timing]"),
        ("### `[control]`", "[control]"),
        ("### `[resource]`", "[resource]"),
        ("### `[[side_effect]]`", "[[side_effect]]"),
    ] {
        let known = known(table);
        let behaviours: BTreeSet<_> = Behaviour::ALL.map(|b| b.name().to_owned()).into();
        let written: BTreeSet<_> = rows(section(&page, heading)).into_keys().collect();
        if table == "[operation]" {
            // Its section lists the behaviours, too.
            assert_eq!(written, known.union(&behaviours).cloned().collect(), "{heading}");
        } else {
            assert_eq!(written, known, "{heading}");
        }
    }
    let places: BTreeSet<_> = rows(section(&page, "## The target file")).into_keys().collect();
    let names = target::NAMES.map(|(name, _)| format!("{{{name}}}"));
    assert_eq!(places, names.into());
}

#[test]
fn the_page_tells_the_bound_on_requests() {
    let bound = semel_conform::trial::REQUESTS_MAX;
    assert_eq!(bound, 2_000);
    assert!(page().contains("at most 2,000 requests"));
}

#[test]
fn the_files_that_the_guide_shows_are_read() {
    let guide = std::fs::read_to_string(repository("docs/guides/test-your-api.md")).unwrap();
    let (_, small) = guide.split_once("```toml\n").unwrap();
    let (small, _) = small.split_once("```").unwrap();
    assert!(target::parse(small).unwrap().effects.by_operation());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(guide.contains(&name), "the guide does not name {name}");
        target::read(&file).unwrap();
    }
}

#[tokio::test]
async fn the_topics_that_the_guide_shows_are_what_its_file_gives() {
    let guide = std::fs::read_to_string(repository("docs/guides/test-your-api.md")).unwrap();
    let (_, small) = guide.split_once("```toml\n").unwrap();
    let (small, _) = small.split_once("```").unwrap();
    // It looks long before it writes: those at once meet whatever else this machine does.
    let unit = std::time::Duration::from_millis(200);
    let sample = semel_conform::sample::start_named("get-then-set", unit).await.unwrap().unwrap();
    let there = [
        ("http://127.0.0.1:9000", format!("http://{}", sample.addr)),
        ("/v1/charges", "/charges".to_owned()),
        ("/data", "/count".to_owned()),
        ("sk_test_a", "conform-a".to_owned()),
    ];
    let file = there.iter().fold(small.to_owned(), |file, (from, to)| file.replace(from, to));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.toml");
    std::fs::write(&path, file).unwrap();
    let path = path.display().to_string();
    let cases = ["--case", "replay/*", "--case", "claim/*", "--unit", "50ms"];
    let ended = conform(&[&["--target", path.as_str()], &cases[..]].concat()).await;
    let shown = guide.lines().filter(|line| line.starts_with("  ● ") || line.starts_with("  ✕ "));
    let shown: Vec<&str> = shown.collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    for line in shown {
        assert!(ended.stdout.contains(line), "{line} is not in {}", ended.stdout);
    }
}
