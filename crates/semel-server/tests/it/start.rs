//! What the server makes at its first start, and what it refuses to start with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::client::{Request, ask};
use crate::harness::semel::{Serve, run, serve};
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

    fn store(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn secret(&self) -> PathBuf {
        self.dir.path().join("data.secret")
    }

    fn serve(&self) -> Serve {
        serve(self.upstream.addr).embedded(&self.store())
    }

    /// A store with one record in it.
    async fn with_a_record() -> Self {
        let home = Self::new().await;
        let semel = home.serve().start().await;
        let first = ask(semel.addr, &Request::charge("key-0001-abcdefgh", BODY)).await;
        assert_eq!(first.verdict(), Some("executed"));
        semel.kill().await;
        home
    }
}

async fn refused(serve: Serve, told: &[&str]) {
    let ended = serve.refused().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    for part in told {
        assert!(ended.stderr.contains(part), "{part:?} is not in {:?}", ended.stderr);
    }
}

#[tokio::test]
async fn the_first_start_makes_store_and_secret_and_the_next_remembers() {
    let home = Home::with_a_record().await;
    let mode = fs::metadata(home.secret()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!home.store().join("data.secret").exists());
    let semel = home.serve().start().await;
    let again = ask(semel.addr, &Request::charge("key-0001-abcdefgh", BODY)).await;
    assert_eq!((again.verdict(), again.text().as_str()), (Some("replayed"), "{\"charge\":1}"));
    assert_eq!(home.upstream.effects(), 1);
}

#[tokio::test]
async fn a_lost_store_is_not_taken_for_a_new_one() {
    let home = Home::with_a_record().await;
    fs::remove_dir_all(home.store()).unwrap();
    refused(home.serve(), &["was lost", "semel store init"]).await;
    assert!(!home.store().exists(), "nothing was made");
}

#[tokio::test]
async fn a_lost_secret_is_not_made_anew() {
    let home = Home::with_a_record().await;
    fs::remove_file(home.secret()).unwrap();
    refused(home.serve(), &["holds records", "--secret-file"]).await;
    assert!(!home.secret().exists(), "nothing was made");
}

/// A store that was served once knows its secret, with or without a record in it: another one was made, and
/// then refused at each start.
#[tokio::test]
async fn a_lost_secret_of_a_store_without_records_is_not_made_anew() {
    let home = Home::new().await;
    let semel = home.serve().start().await;
    assert_eq!(semel.terminate().await.code(), Some(0));
    let secret = fs::read(home.secret()).unwrap();
    fs::remove_file(home.secret()).unwrap();
    for _ in 0..2 {
        let hint = ["no record", "--secret-file", "data.secret.store"];
        refused(home.serve(), &hint).await;
        assert!(!home.secret().exists(), "nothing was made");
    }
    fs::write(home.secret(), secret).unwrap();
    home.serve().start().await;
}

/// Made, and never served: any secret fits.
#[tokio::test]
async fn a_store_that_was_never_served_gets_a_secret() {
    let home = Home::new().await;
    let spec = format!("embedded:{}", home.store().display());
    assert_eq!(run(&["store", "init", "--store", &spec]).await.code, Some(0));
    fs::remove_file(home.secret()).unwrap();
    let semel = home.serve().start().await;
    let first = ask(semel.addr, &Request::charge("key-0001-abcdefgh", BODY)).await;
    assert_eq!(first.verdict(), Some("executed"));
    assert_eq!(semel.terminate().await.code(), Some(0));
    let semel = home.serve().start().await;
    let again = ask(semel.addr, &Request::charge("key-0001-abcdefgh", BODY)).await;
    assert_eq!(again.verdict(), Some("replayed"));
}

#[tokio::test]
async fn another_secret_is_refused() {
    let home = Home::with_a_record().await;
    fs::write(home.secret(), "ab".repeat(32)).unwrap();
    refused(home.serve(), &["another server secret"]).await;
}

#[tokio::test]
async fn two_processes_cannot_share_a_directory() {
    let home = Home::new().await;
    let _first = home.serve().start().await;
    refused(home.serve(), &["already open"]).await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let home = Home::new().await;
    let nowhere = Path::new("/proc/semel-data");
    let secret = home.secret();
    let serve = home.serve().embedded(nowhere).arg("--secret-file", secret.to_str().unwrap());
    refused(serve, &["/proc/semel-data"]).await;
    assert!(!secret.exists(), "no secret is made for a store that is not there");
}

#[tokio::test]
async fn a_secret_within_the_store_is_refused() {
    let home = Home::with_a_record().await;
    let inside = home.store().join("secret");
    let serve = home.serve().arg("--secret-file", inside.to_str().unwrap());
    refused(serve, &["inside the store's directory"]).await;
}

#[tokio::test]
async fn settings_that_cannot_hold_are_refused_before_anything_is_made() {
    let home = Home::new().await;
    let late = home.serve().arg("--store-deadline", "10s");
    refused(late, &["store deadline", "lease"]).await;
    let short = home.serve().arg("--memory", "1h").arg("--retention", "2h");
    refused(short, &["memory", "retention"]).await;
    let open = home.serve().arg("--admin", "0.0.0.0:0");
    refused(open, &["--admin-token-file"]).await;
    assert!(!home.store().exists() && !home.secret().exists());
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_flag() {
    let home = Home::new().await;
    let taken = home.upstream.addr.to_string();
    refused(home.serve().arg("--listen", &taken), &["--listen", &taken]).await;
    refused(home.serve().arg("--admin", &taken), &["--admin", &taken]).await;
}

#[tokio::test]
async fn the_start_says_what_is_protected_promised_and_assumed() {
    let home = Home::new().await;
    let semel = home.serve().arg("--service", "shop").start().await;
    let said = semel.stderr();
    for part in [
        "as service `shop`",
        "at most one execution",
        "401 or 429",
        "Bearer or Basic",
        "made the store",
        "made the server secret",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let secret = fs::read_to_string(home.secret()).unwrap();
    assert!(!said.contains(secret.trim()), "the secret is never told");
}

#[tokio::test]
async fn a_lost_store_is_replaced_by_an_operator_alone() {
    let home = Home::with_a_record().await;
    fs::remove_dir_all(home.store()).unwrap();
    let spec = format!("embedded:{}", home.store().display());
    let unasked = run(&["store", "init", "--store", &spec]).await;
    assert_eq!(unasked.code, Some(2), "{}", unasked.stderr);
    assert!(!home.store().exists());
    let made = run(&["store", "init", "--store", &spec, "--yes"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let again = run(&["store", "init", "--store", &spec, "--yes"]).await;
    assert_eq!(again.code, Some(1), "there is one now: {}", again.stderr);
    let semel = home.serve().start().await;
    // A key that carries a time before the new store's birth may have run under the old one.
    let old = "01890000-0000-7000-8000-000000000001";
    let told = ask(semel.addr, &Request::charge(old, BODY)).await;
    assert_eq!((told.status, &told.json()["code"]), (410, &"SEM-0206".into()));
}

#[tokio::test]
async fn another_store_under_the_same_secret_is_refused_until_accepted() {
    let home = Home::with_a_record().await;
    let other = Home::with_a_record().await;
    fs::remove_dir_all(home.store()).unwrap();
    // An empty store that nobody had used yet: its check value would fit any secret.
    fs::remove_dir_all(other.store()).unwrap();
    fs::remove_file(other.secret()).unwrap();
    let spec = format!("embedded:{}", other.store().display());
    assert_eq!(run(&["store", "init", "--store", &spec]).await.code, Some(0));
    fs::rename(other.store(), home.store()).unwrap();
    refused(home.serve(), &["semel store accept"]).await;
    let spec = format!("embedded:{}", home.store().display());
    let accepted = run(&["store", "accept", "--store", &spec, "--yes"]).await;
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    home.serve().start().await;
}

#[tokio::test]
async fn damage_to_the_file_that_names_the_store_is_told_as_what_repair_cannot_mend() {
    let home = Home::with_a_record().await;
    let spec = format!("embedded:{}", home.store().display());
    let file = home.store().join("STORE");
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&file, &flipped).unwrap();
    let advice = ["STORE", "damaged", "restore a copy of the whole directory"];
    refused(home.serve(), &advice).await;
    let args = ["--store", &spec, "--quarantine", "--yes"];
    for (verb, flags, code) in [("check", &args[..2], 1), ("repair", &args[..], 2)] {
        let ended = run(&[&["store", verb], flags].concat()).await;
        assert_eq!(ended.code, Some(code), "{verb}: {}", ended.stderr);
        for part in advice {
            assert!(ended.stderr.contains(part), "{verb}: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("with `semel store repair`"), "{verb}: {}", ended.stderr);
    }
    assert_eq!(fs::read(&file).unwrap(), flipped, "neither changed it");
    fs::write(&file, &whole).unwrap();
    assert_eq!(run(&["store", "check", "--store", &spec]).await.code, Some(0));
}

#[tokio::test]
async fn damage_is_found_named_and_set_aside_by_choice_alone() {
    let home = Home::with_a_record().await;
    let spec = format!("embedded:{}", home.store().display());
    let checked = run(&["store", "check", "--store", &spec, "--json"]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let told: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(told["damage"], serde_json::json!([]));
    assert!(told["records"].as_u64() > Some(0), "{told}");

    flip_within_the_first_batch(&home.store());
    refused(home.serve(), &["damaged", "semel store check"]).await;
    let checked = run(&["store", "check", "--store", &spec]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    let unasked = run(&["store", "repair", "--store", &spec, "--begin-anew"]).await;
    assert_eq!(unasked.code, Some(2), "{}", unasked.stderr);
    let repaired = run(&["store", "repair", "--store", &spec, "--begin-anew", "--yes"]).await;
    assert_eq!(repaired.code, Some(0), "{}", repaired.stderr);
    let names: Vec<_> =
        fs::read_dir(home.store()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let kept = names.iter().any(|name| name.to_string_lossy().starts_with("quarantine"));
    assert!(kept, "{names:?}");
    home.serve().start().await;
}

/// Turns over a bit of what was acknowledged first; later batches stay whole behind it.
fn flip_within_the_first_batch(store: &Path) {
    let segment = fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("log-"))
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // The first page of a segment is its header; the first batch follows.
    bytes[4096 + 40] ^= 1;
    fs::write(&segment, bytes).unwrap();
}

#[tokio::test]
async fn a_place_without_a_store_cannot_be_checked() {
    let nothing = run(&["store", "check", "--store", "embedded:/proc/nothing"]).await;
    assert_eq!(nothing.code, Some(2), "{}", nothing.stderr);
    assert!(nothing.stderr.contains("holds no store"), "{}", nothing.stderr);
}
