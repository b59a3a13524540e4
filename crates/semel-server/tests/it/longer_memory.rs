//! Memory that is longer after a start than it was before: what was forgotten under the shorter one.

use std::path::Path;

use crate::harness::client::{Request, ask};
use crate::harness::eventually;
use crate::harness::semel::{Semel, serve};
use crate::harness::timed;
use crate::harness::upstream::Upstream;

const BODY: &str = "{\"amount\":1200}";
const HOUR: i64 = 3_600_000;

/// What memory is at a start; clocks differ by nothing.
fn file(memory: &str) -> String {
    format!("[defaults]\nretention = \"2s\"\nmemory = \"{memory}\"\nskew = \"1ms\"\n")
}

async fn charged(semel: &Semel, key: &str) -> String {
    let told = ask(semel.addr, &Request::charge(key, BODY)).await;
    match (told.status, told.verdict()) {
        (201, Some(verdict)) => verdict.to_owned(),
        _ => told.json()["code"].as_str().unwrap().to_owned(),
    }
}

async fn start(upstream: &Upstream, store: &Path, memory: &str) -> Semel {
    serve(upstream.addr).embedded(store).file(&file(memory)).start().await
}

/// Its key was too old, for it may have run and been forgotten. It looked new as soon as memory was longer.
#[tokio::test]
async fn a_timed_key_that_was_too_old_stays_too_old_under_a_longer_memory() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("data");
    let late = timed(-2 * HOUR, 1);
    let semel = start(&upstream, &store, "1h").await;
    assert_eq!(charged(&semel, &late).await, "SEM-0206");
    let remembered = timed(-HOUR / 2, 2);
    assert_eq!(semel.terminate().await.code(), Some(0));
    // It is noted: also at the starts after the next, and after one that is killed.
    for n in 3..6 {
        let semel = start(&upstream, &store, "30d").await;
        assert_eq!(charged(&semel, &late).await, "SEM-0206", "start {n}");
        let fresh = timed(0, n);
        assert_eq!(charged(&semel, &fresh).await, "executed", "start {n}");
        semel.kill().await;
    }
    let semel = start(&upstream, &store, "forever").await;
    assert_eq!(charged(&semel, &late).await, "SEM-0206");
    assert_eq!(charged(&semel, &remembered).await, "executed", "it was never forgotten");
    assert_eq!(upstream.effects(), 4);
}

/// What ran under the shorter memory is forgotten after it, however long memory is by then.
#[tokio::test]
async fn a_key_of_the_time_before_grows_old_as_it_would_have_then() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("data");
    let semel = start(&upstream, &store, "2s").await;
    let before = timed(0, 1);
    assert_eq!(semel.terminate().await.code(), Some(0));
    let semel = start(&upstream, &store, "30d").await;
    let after = timed(0, 2);
    let state = async |key: &str| {
        let inquiry = Request::get("/.well-known/idempotency/key").key(key).bearer("caller-one");
        ask(semel.addr, &inquiry).await.json()["state"].as_str().map(str::to_owned)
    };
    eventually("the key of before is too old", || async {
        (state(&before).await? == "too-old").then_some(())
    })
    .await;
    assert_eq!(charged(&semel, &before).await, "SEM-0206");
    assert_eq!(state(&after).await.as_deref(), Some("absent"));
    assert_eq!(charged(&semel, &after).await, "executed");
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_memory_that_stays_or_becomes_shorter_makes_no_key_older() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("data");
    for (n, memory) in [(1, "30d"), (2, "30d"), (3, "20d")] {
        let semel = start(&upstream, &store, memory).await;
        let old = timed(-19 * 24 * HOUR, n);
        assert_eq!(charged(&semel, &old).await, "executed", "{memory}");
        semel.kill().await;
    }
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn a_changed_memory_that_cannot_be_noted_is_refused() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("data");
    start(&upstream, &store, "30d").await.kill().await;
    // Where the note is written anew, nothing can be.
    let in_the_way = home.path().join("data.secret.store.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let shorter = || serve(upstream.addr).embedded(&store).file(&file("20d"));
    let ended = shorter().refused().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("data.secret.store could not be written"), "{}", ended.stderr);
    start(&upstream, &store, "30d").await.kill().await;
    std::fs::remove_dir(&in_the_way).unwrap();
    shorter().start().await;
}
