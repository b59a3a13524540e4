//! A store whose disk is full, cannot be written, or holds what this version cannot read.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{about, charge, said};
use crate::harness::client::ask;
use crate::harness::eventually;
use crate::harness::semel::{Semel, Serve, serve};
use crate::harness::upstream::{Upstream, reply};

const FULL: &str = "503 refused SEM-0302 unknown not-run same-key";

struct Home {
    dir: tempfile::TempDir,
    upstream: Upstream,
}

impl Home {
    async fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), upstream: Upstream::start().await }
    }

    /// Where a file system of the test's own is mounted.
    fn mount(&self) -> PathBuf {
        let mount = self.dir.path().join("mount");
        fs::create_dir_all(&mount).unwrap();
        mount
    }

    fn store(&self) -> PathBuf {
        self.mount().join("data")
    }

    fn serve(&self) -> Serve {
        let secret = self.dir.path().join("secret");
        let serve = serve(self.upstream.addr).embedded(&self.store());
        serve.arg("--secret-file", secret.to_str().unwrap())
    }

    /// In a namespace of its own, after `prepare` has been done to the mount point, `$0`.
    fn serve_where(&self, prepare: &str) -> Serve {
        let script = format!("{prepare} && exec \"$@\"");
        let mount = self.mount();
        self.serve().through("unshare", &["-Urm", "sh", "-c", &script, mount.to_str().unwrap()])
    }
}

/// Takes all the room there is; removed, it is given back.
fn fill(semel: &Semel, mount: &Path) -> PathBuf {
    // The mount is seen by that process alone; this is its own view of the path.
    let inside = format!("/proc/{}/root{}", semel.pid(), mount.display());
    let path = Path::new(&inside).join("filler");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    for block in [1 << 20, 4096, 512] {
        loop {
            match file.write_all(&vec![1; block]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    path
}

#[tokio::test]
async fn a_full_disk_turns_new_keys_away_before_anything_runs_and_heals() {
    let home = Home::new().await;
    let prepare = "mount -t tmpfs -o size=224m semel \"$0\"";
    let semel = home.serve_where(prepare).start().await;
    // Large replies use up the segments that had been made ready.
    let large = "x".repeat(900_000);
    home.upstream.next(reply(201, &[], &large));
    assert_eq!(said(&ask(semel.addr, &charge(0)).await), "201 executed");
    let filler = fill(&semel, &home.mount());
    let mut ran = 1;
    let refused = loop {
        home.upstream.next(reply(201, &[], &large));
        let told = ask(semel.addr, &charge(ran)).await;
        match said(&told).as_str() {
            "201 executed" => ran += 1,
            FULL => break told,
            other => panic!("after {ran}: {other}"),
        }
        assert!(ran < 400, "the disk is full, and keys are still taken");
    };
    assert!(refused.header("retry-after").is_some());
    assert!(!refused.text().contains("data"), "where the store lies is not the caller's business");
    for n in ran..ran + 3 {
        assert_eq!(said(&ask(semel.addr, &charge(n)).await), FULL);
        assert_eq!(ask(semel.addr, &about("GET", n)).await.json()["state"], "absent");
    }
    assert_eq!(home.upstream.effects(), usize::try_from(ran).unwrap());
    // No settle was stranded: whatever ran is known, and its reply is there.
    for n in 0..ran {
        let again = ask(semel.addr, &charge(n)).await;
        assert_eq!((said(&again).as_str(), again.body.len()), ("201 replayed", 900_000), "{n}");
    }
    fs::remove_file(filler).unwrap();
    eventually("there is room again", || async {
        let told = said(&ask(semel.addr, &charge(ran)).await);
        assert!(told == "201 executed" || told == FULL, "{told}");
        (told == "201 executed").then_some(())
    })
    .await;
    assert_eq!(said(&ask(semel.addr, &charge(ran)).await), "201 replayed");
    assert_eq!(home.upstream.effects(), usize::try_from(ran).unwrap() + 1);
}

async fn refused(serve: Serve, told: &[&str]) {
    let ended = serve.refused().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    for part in told {
        assert!(ended.stderr.contains(part), "{part:?} is not in {:?}", ended.stderr);
    }
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_found_at_the_start() {
    let home = Home::new().await;
    let semel = home.serve().start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 executed");
    semel.kill().await;
    let read_only = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let place = home.store();
    refused(home.serve_where(read_only), &[place.to_str().unwrap(), "writable"]).await;
    // Nothing came of it.
    let semel = home.serve().start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 replayed");
}

#[tokio::test]
async fn a_store_of_another_format_is_not_taken_for_a_new_one() {
    let home = Home::new().await;
    let semel = home.serve().start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 executed");
    semel.kill().await;
    let named = home.store().join("STORE");
    let written = fs::read(&named).unwrap();
    let mut later = written.clone();
    // The format stands behind the eight bytes that say what the file is.
    later[8] += 1;
    fs::write(&named, &later).unwrap();
    refused(home.serve(), &["format 2", "up to 1"]).await;
    fs::write(&named, &written[..20]).unwrap();
    refused(home.serve(), &["STORE", "damaged"]).await;
    fs::write(&named, &written).unwrap();
    let semel = home.serve().start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 replayed");
    assert_eq!(home.upstream.effects(), 1);
}

#[tokio::test]
async fn a_log_that_was_cut_short_does_not_open_as_if_nothing_were_missing() {
    let home = Home::new().await;
    let semel = home.serve().start().await;
    for n in 0..30 {
        ask(semel.addr, &charge(n)).await;
    }
    semel.kill().await;
    let log = fs::read_dir(home.store()).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-"))
            && path.extension().is_some_and(|end| end == "seg")
    });
    let log = log.expect("there is a log");
    fs::remove_file(&log).unwrap();
    refused(home.serve(), &["damaged", "semel store check"]).await;
    assert_eq!(home.upstream.effects(), 30);
}
