//! `docs/reference/flags.md` names every flag of `semel serve` with its default, and no other.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// flag → default, as the command itself says.
fn helped() -> BTreeMap<String, Option<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_semel"))
        .args(["serve", "--help"])
        .env_clear()
        .output()
        .expect("semel runs");
    assert!(output.status.success(), "{output:?}");
    let help = String::from_utf8(output.stdout).expect("help is UTF-8");
    let mut flags = BTreeMap::new();
    let mut flag = None;
    for line in help.lines().map(str::trim_start) {
        if let Some(at) = line.starts_with('-').then(|| line.find("--")).flatten() {
            let name: String =
                line[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            flags.insert(name.clone(), None);
            flag = Some(name);
        }
        if let (Some(name), Some((_, rest))) = (&flag, line.split_once("[default: ")) {
            let default = rest.split(']').next().map(str::to_owned);
            flags.insert(name.clone(), default);
        }
    }
    flags.remove("--help");
    flags.remove("--version");
    assert!(flags.len() > 10, "the help was not understood: {help}");
    flags
}

/// flag → the cell of its default, as the page says.
fn written() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/flags.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (flag, rest) = row.split_once("` | ")?;
        Some((flag.to_owned(), rest.split(" | ").next()?.to_owned()))
    })
    .collect()
}

#[test]
fn the_page_and_the_help_name_the_same_flags() {
    let (helped, written) = (helped(), written());
    let named: Vec<&String> = helped.keys().collect();
    assert_eq!(named, written.keys().collect::<Vec<_>>());
    for (flag, default) in helped {
        if let Some(default) = default {
            assert_eq!(written[&flag], format!("`{default}`"), "the default of {flag}");
        }
    }
}
