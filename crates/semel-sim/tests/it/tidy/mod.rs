//! The tidy test: what a reviewer would forget, read off the repository's own text.
//!
//! Each rule is a function from text to faults, a test that runs it over the repository, and a test
//! named `…_bites` that shows it a bad sample. A fault names its place, what is wrong and what to do.

mod layers;
mod markers;
mod prose;
mod rust;
mod scripts;
mod sizes;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;

use self::rust::Source;

/// The repository's folder.
fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    crates.join("../..").canonicalize().expect("the crate lies two folders below the root")
}

/// A text file of the repository.
struct Text {
    /// From the root, with `/`.
    path: String,
    text: String,
}

/// Every text file that is committed or could be: what git ignores is not the project's.
fn texts() -> Vec<Text> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(output.status.success(), "git ls-files failed: {output:?}");
    let list = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let mut texts = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // A file that was just removed is still listed; one that is not UTF-8 is no text.
        if let Ok(text) = std::fs::read_to_string(root().join(path)) {
            texts.push(Text { path: path.to_owned(), text });
        }
    }
    assert!(texts.len() > 20, "the repository has more files than {}", texts.len());
    texts
}

fn texts_named(ending: &str) -> Vec<Text> {
    texts().into_iter().filter(|file| file.path.ends_with(ending)).collect()
}

/// Every Rust file, with its tests marked.
fn sources() -> Vec<Source> {
    let sources = rust::sources(texts_named(".rs"));
    assert!(sources.iter().any(|s| s.path == "crates/semel-core/src/machine.rs"));
    sources
}

/// Fails with one line for each fault.
#[track_caller]
fn assert_tidy(faults: &[String]) {
    assert!(faults.is_empty(), "{} fault(s):\n{}\n", faults.len(), faults.join("\n"));
}
