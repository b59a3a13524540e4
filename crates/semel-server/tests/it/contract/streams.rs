//! Replies that are too large to keep, and those that have no end.

use super::{SPENT, about, charge, said};
use crate::harness::client::{Client, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream, after, raw, reply, then};
use crate::harness::{Gate, eventually};

#[tokio::test]
async fn a_large_reply_reaches_its_first_caller_and_is_said_not_to_be_kept() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--reply-max", "1KiB").start().await;
    let large = "x".repeat(100_000);
    let chunked = format!(
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    for (n, script) in [(1, reply(201, &[], &large)), (2, raw(chunked))] {
        upstream.next(script);
        let first = ask(semel.addr, &charge(n)).await;
        assert_eq!((said(&first).as_str(), first.text() == large), ("201 executed", true));
        let again = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&again), "410 spent SEM-0205 unknown not-run never");
        assert_eq!(again.json()["recorded_status"], 201);
        let known = ask(semel.addr, &about("GET", n)).await.json();
        assert_eq!((&known["state"], &known["status"]), (&"completed".into(), &201.into()));
    }
    // The last byte that fits is kept.
    upstream.next(reply(201, &[], "x".repeat(1024)));
    assert_eq!(said(&ask(semel.addr, &charge(3)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &charge(3)).await), "201 replayed");
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn a_large_reply_whose_word_is_done_stays_done() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--reply-max", "1KiB").start().await;
    upstream.next(reply(201, &[("Idempotency-Effect", "done")], "x".repeat(5000)));
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), SPENT);
}

#[tokio::test]
async fn a_stream_reaches_its_first_caller_as_it_comes_and_is_recorded_before_its_first_byte() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let gate = Gate::closed();
    let mut script = raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                          Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    script.extend(after(&gate, raw("3\r\ntwo\r\n0\r\n\r\n")));
    upstream.next(script);
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    assert_eq!(said(&first.head().await.unwrap()), "200 executed");
    assert_eq!(first.bytes(8).await, b"3\r\none\r\n");
    // While it streams.
    assert_eq!(
        said(&ask(semel.addr, &charge(1)).await),
        "410 spent SEM-0205 unknown not-run never"
    );
    gate.open();
    assert_eq!(first.bytes(13).await, b"3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_stays_completed_and_breaks_for_its_caller_too() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let script = raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                      Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    upstream.next(then(script, Act::Reset));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    assert_eq!(said(&first.head().await.unwrap()), "200 executed");
    assert!(!first.rest().await.ends_with(b"0\r\n\r\n"), "it is not passed off as whole");
    let known = ask(semel.addr, &about("GET", 1)).await.json();
    assert_eq!((&known["state"], &known["effect"]), (&"completed".into(), &"unknown".into()));
    assert_eq!(
        said(&ask(semel.addr, &charge(1)).await),
        "410 spent SEM-0205 unknown not-run never"
    );
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_stream_whose_caller_leaves_is_not_run_again() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let gate = Gate::closed();
    let mut script = raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                          Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    script.extend(after(&gate, raw("0\r\n\r\n")));
    upstream.next(script);
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    first.head().await.unwrap();
    first.reset();
    eventually("it is known as completed", || async {
        let known = ask(semel.addr, &about("GET", 1)).await.json();
        (known["state"] == "completed").then_some(())
    })
    .await;
    assert_eq!(
        said(&ask(semel.addr, &charge(1)).await),
        "410 spent SEM-0205 unknown not-run never"
    );
    assert_eq!(upstream.effects(), 1);
}
