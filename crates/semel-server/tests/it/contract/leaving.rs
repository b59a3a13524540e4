//! The first caller leaves: before its request is whole, while it runs, while it is answered.

use super::{charge, said};
use crate::harness::client::{Client, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Upstream, after, reply};
use crate::harness::{Gate, eventually};

#[tokio::test]
async fn before_its_body_has_come_nothing_runs() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for (n, reset) in [(1, true), (2, false)] {
        let whole = charge(n).bytes();
        let mut client = Client::connect(semel.addr).await;
        client.send(&whole[..whole.len() - 1]).await;
        if reset {
            client.reset();
        } else {
            // Half closed: the caller still reads, and is told that its body was not whole.
            client.half_close().await;
            if let Ok(told) = client.reply("POST").await {
                assert_eq!(said(&told), "400 refused SEM-0108 unknown not-run same-key");
                assert_eq!(told.header("stripe-should-retry"), Some("true"));
            }
        }
        let again = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&again), "201 executed");
    }
    // A body that never ends in chunks, cut off, is no body either.
    let mut client = Client::connect(semel.addr).await;
    client.request(&charge(3).header("Transfer-Encoding", "chunked").body("5\r\nabcde\r\n")).await;
    client.half_close().await;
    client.rest().await;
    assert_eq!(said(&ask(semel.addr, &charge(3)).await), "201 executed");
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_and_nothing_runs() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--body-pause", "100ms").start().await;
    let whole = charge(1).bytes();
    let mut client = Client::connect(semel.addr).await;
    client.send(&whole[..whole.len() - 1]).await;
    let told = client.reply("POST").await.unwrap();
    assert_eq!(said(&told), "400 refused SEM-0108 unknown not-run same-key");
    assert_eq!(upstream.effects(), 0);
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 executed");
}

#[tokio::test]
async fn while_it_runs_the_execution_goes_on_and_the_retry_gets_its_reply() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for (n, reset) in [(1, true), (2, false)] {
        let gate = Gate::closed();
        upstream.next(after(&gate, reply(201, &[], "paid")));
        let mut first = Client::connect(semel.addr).await;
        first.request(&charge(n)).await;
        gate.reached(1).await;
        if reset {
            first.reset()
        } else {
            drop(first)
        }
        gate.open();
        let again = ask(semel.addr, &charge(n)).await;
        assert_eq!((said(&again).as_str(), again.text().as_str()), ("201 replayed", "paid"));
    }
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn while_it_is_answered_the_reply_is_already_kept() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--reply-max", "8MiB").start().await;
    // More than the buffers on the way take, so that the reply is under way when its caller leaves.
    let body = "x".repeat(6 << 20);
    upstream.next(reply(201, &[], &body));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    assert_eq!(said(&first.head().await.unwrap()), "201 executed");
    first.reset();
    let again = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&again).as_str(), again.body.len()), ("201 replayed", 6 << 20));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_a_wait_changes_nothing() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    for _ in 0..20 {
        let mut waiter = Client::connect(semel.addr).await;
        waiter.request(&charge(1)).await;
        waiter.reset();
    }
    gate.open();
    assert_eq!(said(&first.reply("POST").await.unwrap()), "201 executed");
    eventually("the key is answered", || async {
        (said(&ask(semel.addr, &charge(1)).await) == "201 replayed").then_some(())
    })
    .await;
    assert_eq!(upstream.effects(), 1);
}
