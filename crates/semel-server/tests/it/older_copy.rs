//! An older copy of the store in its place, and the honest store after each end of its process.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::client::{Request, ask};
use crate::harness::eventually;
use crate::harness::semel::{Ended, Semel, Serve, run, serve};
use crate::harness::upstream::Upstream;

const BODY: &str = "{\"amount\":1200}";

struct Home {
    dir: tempfile::TempDir,
    upstream: Upstream,
}

impl Home {
    async fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), upstream: Upstream::start().await }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("data")
    }

    fn serve(&self) -> Serve {
        serve(self.upstream.addr).embedded(&self.store())
    }

    async fn of_store(&self, verb: &str, flags: &[&str]) -> Ended {
        let spec = format!("embedded:{}", self.store().display());
        run(&[&["store", verb, "--store", &spec], flags].concat()).await
    }

    /// How many writes the note beside the secret knows of.
    fn noted(&self) -> u64 {
        let note = fs::read_to_string(self.path("data.secret.store")).unwrap();
        note.split_whitespace().nth(2).map_or(0, |sequence| sequence.parse().unwrap())
    }

    /// How many writes are in the store of a server that is stopped.
    async fn written(&self) -> u64 {
        let checked = self.of_store("check", &["--json"]).await;
        let told: Value = serde_json::from_str(&checked.stdout).unwrap();
        told["writes"].as_u64().unwrap_or_else(|| panic!("{told}"))
    }

    async fn refused(&self, told: &[&str]) {
        let ended = self.serve().refused().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
        for part in told {
            assert!(ended.stderr.contains(part), "{part:?} is not in {:?}", ended.stderr);
        }
    }
}

async fn charged(semel: &Semel, key: u32) -> String {
    let request = Request::charge(&format!("key-{key:04}-abcdefgh"), BODY);
    ask(semel.addr, &request).await.verdict().unwrap_or_default().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A home with a charge of which an older copy of its store, now in its place, knows nothing. The
/// newest store lies beside it.
async fn set_back() -> Home {
    let home = Home::new().await;
    let semel = home.serve().start().await;
    assert_eq!(charged(&semel, 1).await, "executed");
    assert_eq!(semel.terminate().await.code(), Some(0));
    copy(&home.store(), &home.path("backup"));
    let semel = home.serve().start().await;
    assert_eq!(charged(&semel, 2).await, "executed");
    assert_eq!(semel.terminate().await.code(), Some(0));
    fs::rename(home.store(), home.path("newest")).unwrap();
    copy(&home.path("backup"), &home.store());
    home
}

#[tokio::test]
async fn an_older_copy_of_the_store_is_refused_and_the_newest_taken_back() {
    let home = set_back().await;
    // Neither a start, nor a look, nor a question without an answer brings it nearer to its mark.
    for _ in 0..3 {
        home.refused(&[
            "an older copy of the store",
            "No write of it was changed",
            "semel store accept",
        ])
        .await;
        assert_eq!(home.of_store("check", &[]).await.code, Some(0));
        let unasked = home.of_store("accept", &[]).await;
        assert_eq!(unasked.code, Some(2), "{}", unasked.stderr);
        let made = home.of_store("init", &["--yes"]).await;
        assert_eq!(made.code, Some(1), "{}", made.stderr);
    }
    fs::remove_dir_all(home.store()).unwrap();
    fs::rename(home.path("newest"), home.store()).unwrap();
    let semel = home.serve().start().await;
    assert_eq!(charged(&semel, 2).await, "replayed");
    assert_eq!(home.upstream.effects(), 2);
}

#[tokio::test]
async fn an_older_copy_that_is_accepted_begins_another_life() {
    let home = set_back().await;
    let accepted = home.of_store("accept", &["--yes"]).await;
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    let again = home.of_store("accept", &[]).await;
    assert_eq!(again.code, Some(0), "it is known now: {}", again.stderr);
    let semel = home.serve().start().await;
    assert_eq!(charged(&semel, 1).await, "replayed", "what the copy knows it still knows");
    // A key that carries a time before the new life may have run in the old one.
    let old = "01890000-0000-7000-8000-000000000001";
    let told = ask(semel.addr, &Request::charge(old, BODY)).await;
    assert_eq!((told.status, &told.json()["code"]), (410, &"SEM-0206".into()));
    assert_eq!(semel.terminate().await.code(), Some(0));
    // The newest store turns up; what ran since then is unknown to it.
    fs::remove_dir_all(home.store()).unwrap();
    fs::rename(home.path("newest"), home.store()).unwrap();
    home.refused(&["not the one this process knew", "semel store accept"]).await;
}

#[tokio::test]
async fn a_store_whose_process_is_killed_is_never_behind_its_note() {
    let home = Home::new().await;
    let mut key = 0;
    for round in 0..3 {
        let semel = home.serve().start().await;
        let before = home.noted();
        key += 1;
        assert_eq!(charged(&semel, key).await, "executed", "round {round}");
        // The note follows while the server runs, and not only at its end.
        eventually("the note is written", || async { (home.noted() > before).then_some(()) }).await;
        key += 1;
        assert_eq!(charged(&semel, key).await, "executed", "round {round}");
        semel.kill().await;
        let (noted, written) = (home.noted(), home.written().await);
        assert!(0 < noted && noted <= written, "noted {noted}, written {written}");
    }
    let semel = home.serve().start().await;
    for key in 1..=key {
        assert_eq!(charged(&semel, key).await, "replayed");
    }
    assert_eq!(semel.terminate().await.code(), Some(0));
    assert!(home.noted() <= home.written().await);
}

#[tokio::test]
async fn a_note_of_the_first_version_is_read_and_written_anew() {
    let home = Home::new().await;
    let semel = home.serve().start().await;
    assert_eq!(charged(&semel, 1).await, "executed");
    assert_eq!(semel.terminate().await.code(), Some(0));
    let note = home.path("data.secret.store");
    let text = fs::read_to_string(&note).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    fs::write(&note, format!("{} {}\n", words[0], words[1])).unwrap();
    assert_eq!(home.noted(), 0);
    let semel = home.serve().start().await;
    assert_eq!(charged(&semel, 1).await, "replayed");
    assert_eq!(semel.terminate().await.code(), Some(0));
    assert!(home.noted() > 0);
    let told = home.of_store("check", &["--json"]).await.stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["life"], json!(words[0]));
}
