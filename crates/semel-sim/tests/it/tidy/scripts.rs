//! Every script says what it does when asked, and does nothing then.

use std::process::{Command, Stdio};

use super::{Text, assert_tidy, root, texts};

fn scripts() -> Vec<Text> {
    let here = |path: &str| path.starts_with("scripts/") || path.starts_with(".ci/");
    let scripts =
        texts().into_iter().filter(|file| here(&file.path) && file.text.starts_with("#!"));
    let scripts: Vec<Text> = scripts.collect();
    assert!(scripts.iter().any(|file| file.path == "scripts/test"));
    scripts
}

/// What a script must have: a stop at the first error, and a manual at its head that names it.
fn form(file: &Text) -> Vec<String> {
    let mut faults = Vec::new();
    if !file.text.lines().any(|line| line == "set -euo pipefail") {
        faults.push(format!("{}: set -euo pipefail", file.path));
    }
    let manual =
        file.text.lines().nth(1).is_some_and(|line| line.starts_with(&format!("# {}", file.path)));
    if !manual {
        faults.push(format!("{}: begin with a comment that shows how it is called", file.path));
    }
    faults
}

#[test]
fn every_script_answers_help() {
    for script in scripts() {
        let output = Command::new("bash")
            .arg(root().join(&script.path))
            .arg("--help")
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        assert!(output.status.success(), "{} --help failed: {output:?}", script.path);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with(&script.path), "{} --help says:\n{text}", script.path);
        assert!(text.lines().count() >= 3, "{} --help says too little:\n{text}", script.path);
    }
}

#[test]
fn every_script_has_its_form() {
    assert_tidy(&scripts().iter().flat_map(form).collect::<Vec<_>>());
}

#[test]
fn every_script_has_its_form_bites() {
    let faults = |text: &str| form(&Text { path: "scripts/a".into(), text: text.into() }).len();
    assert_eq!(faults("#!/usr/bin/env bash\n# scripts/a [B]\n\nset -euo pipefail\n"), 0);
    assert_eq!(faults("#!/usr/bin/env bash\n# scripts/a [B]\n"), 1);
    assert_eq!(faults("#!/usr/bin/env bash\nset -euo pipefail\n"), 1);
}
