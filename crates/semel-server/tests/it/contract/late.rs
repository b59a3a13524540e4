//! An execution that outruns its ceiling: doubt, an operator's word, and the truth that comes late.

use super::{IN_DOUBT, about, charge, key, said};
use crate::harness::client::{Client, ask};
use crate::harness::semel::{Semel, run, serve};
use crate::harness::upstream::{Upstream, after, reply};
use crate::harness::{Gate, eventually};

/// A first caller whose charge the upstream holds, for longer than a claim may be renewed.
async fn outrun(upstream: &Upstream, semel: &Semel, gate: &Gate) -> Client {
    upstream.next(after(gate, reply(201, &[], "late")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    eventually("its lease has ended", || async {
        let known = ask(semel.addr, &about("GET", 1)).await.json();
        (known["state"] == "in-doubt").then_some(())
    })
    .await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
    first
}

async fn start(upstream: &Upstream) -> Semel {
    serve(upstream.addr).arg("--ceiling", "300ms").start().await
}

/// `semel keys resolve`, until it is no longer too soon.
async fn resolve(semel: &Semel, word: &'static str) {
    let (key, admin) = (key(1), semel.admin.to_string());
    let owner = ["--key", &key, "--principal", "Bearer caller-one", "--admin", &admin];
    eventually("the key is resolved", || async {
        let ended = run(&[&["keys", "resolve", word, "--yes"], &owner[..]].concat()).await;
        assert!(ended.code == Some(0) || ended.stderr.contains("not before"), "{}", ended.stderr);
        (ended.code == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn late_truth_beats_doubt() {
    let upstream = Upstream::start().await;
    let semel = start(&upstream).await;
    let gate = Gate::closed();
    let mut first = outrun(&upstream, &semel, &gate).await;
    gate.open();
    let told = first.reply("POST").await.unwrap();
    assert_eq!((said(&told).as_str(), told.text().as_str()), ("201 executed", "late"));
    let again = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&again).as_str(), again.text().as_str()), ("201 replayed", "late"));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_late_reply_completes_what_was_resolved_as_done() {
    let upstream = Upstream::start().await;
    let semel = start(&upstream).await;
    let gate = Gate::closed();
    let mut first = outrun(&upstream, &semel, &gate).await;
    resolve(&semel, "--done").await;
    let known = ask(semel.addr, &charge(1)).await;
    assert_eq!(said(&known), "410 spent SEM-0205 done not-run never");
    gate.open();
    first.reply("POST").await.unwrap();
    let again = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&again).as_str(), again.text().as_str()), ("201 replayed", "late"));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn who_was_overtaken_is_told_what_the_record_says_and_never_its_own_late_reply() {
    let upstream = Upstream::start().await;
    let semel = start(&upstream).await;
    let gate = Gate::closed();
    let mut first = outrun(&upstream, &semel, &gate).await;
    // Wrongly: it is still under way. The key runs again, by the operator's word alone.
    resolve(&semel, "--released").await;
    upstream.next(reply(201, &[], "second"));
    let second = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&second).as_str(), second.text().as_str()), ("201 executed", "second"));
    gate.open();
    let told = first.reply("POST").await.unwrap();
    assert_eq!((said(&told).as_str(), told.text().as_str()), ("201 replayed", "second"));
    assert_eq!(ask(semel.addr, &charge(1)).await.text(), "second");
}

#[tokio::test]
async fn a_late_truth_that_overturns_a_release_is_kept_and_told_to_people() {
    let upstream = Upstream::start().await;
    let semel = start(&upstream).await;
    let gate = Gate::closed();
    let mut first = outrun(&upstream, &semel, &gate).await;
    resolve(&semel, "--released").await;
    assert_eq!(ask(semel.addr, &about("GET", 1)).await.json()["state"], "absent");
    gate.open();
    let told = first.reply("POST").await.unwrap();
    assert_eq!(told.text(), "late", "{}", said(&told));
    let again = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&again).as_str(), again.text().as_str()), ("201 replayed", "late"));
    assert_eq!(upstream.effects(), 1);
    semel.says("an operation happened that had been resolved as released").await;
}
