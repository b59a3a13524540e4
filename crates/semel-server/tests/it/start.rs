//! What the server makes at its first start, and what it refuses to start with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::client::{Request, ask};
use crate::harness::semel::{Serve, serve};
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
