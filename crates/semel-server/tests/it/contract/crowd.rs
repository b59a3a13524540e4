//! Many at once.

use tokio::task::JoinSet;

use super::{charge, said};
use crate::harness::client::{Reply, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Upstream, after, reply};
use crate::harness::{Gate, within};

#[tokio::test]
async fn fifty_duplicates_at_once_are_one_effect_and_fifty_equal_replies() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--wait", "15s").start().await;
    let gate = Gate::closed();
    let headers = [("Content-Type", "application/json"), ("X-Charge", "ch_1")];
    upstream.next(after(&gate, reply(201, &headers, "{\"charge\":1}")));
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let addr = semel.addr;
        callers.spawn(async move { ask(addr, &charge(1)).await });
    }
    gate.reached(1).await;
    gate.open();
    let replies: Vec<Reply> = within("all are answered", callers.join_all()).await;
    let mut words: Vec<String> = replies.iter().map(said).collect();
    words.sort();
    assert_eq!(words[0], "201 executed");
    assert!(words[1..].iter().all(|word| word == "201 replayed"), "{words:?}");
    for reply in &replies {
        assert_eq!(reply.body, b"{\"charge\":1}");
        assert_eq!(reply.header("x-charge"), Some("ch_1"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_crowd_of_keys_each_run_once_whoever_comes_first() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--wait", "15s").start().await;
    let mut callers = JoinSet::new();
    for n in 0..120_u32 {
        let addr = semel.addr;
        callers.spawn(async move {
            let request = charge(n % 40).body(format!("{{\"order\":\"o-{}\"}}", n % 40));
            (n % 40, ask(addr, &request).await.text())
        });
    }
    let mut replies = within("all are answered", callers.join_all()).await;
    replies.sort();
    for three in replies.chunks(3) {
        assert_eq!(three[0], three[1]);
        assert_eq!(three[0], three[2]);
        assert_eq!(upstream.effects_of(&format!("\"o-{}\"", three[0].0)), 1);
    }
    assert_eq!(upstream.effects(), 40);
}
