//! What the gateway adds to a keyed request, and what it says when no whole reply came.

use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream, after, raw, reply, then};
use crate::harness::{Gate, eventually};

const BODY: &str = "{\"amount\":1200}";

#[tokio::test]
async fn a_retry_gets_the_first_reply_and_the_upstream_sees_one_request() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let request = Request::charge("key-0001-abcdefgh", BODY);
    let first = ask(semel.addr, &request).await;
    assert_eq!((first.status, first.verdict()), (201, Some("executed")));
    let again = ask(semel.addr, &request).await;
    assert_eq!((again.status, again.verdict()), (201, Some("replayed")));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("x-charge"), Some("ch_1"));
    assert_eq!(upstream.effects(), 1);
    let other = ask(semel.addr, &Request::charge("key-0001-abcdefgh", "{\"amount\":9}")).await;
    assert_eq!((other.status, other.verdict()), (422, Some("mismatch")));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn the_upstream_is_told_the_derived_key_the_attempt_and_the_fence() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    upstream.next(reply(429, &[], "later"));
    let request = Request::charge("key-0002-abcdefgh", BODY)
        .header("Idempotency-Attempt", "99")
        .header("Idempotency-Fence", "99");
    let refused = ask(semel.addr, &request).await;
    assert_eq!((refused.status, refused.verdict()), (429, Some("released")));
    assert_eq!(ask(semel.addr, &request).await.verdict(), Some("executed"));
    let seen = upstream.seen();
    let field = |n: usize, name: &str| seen[n].header(name).unwrap_or_default().to_owned();
    let derived = field(0, "idempotency-key");
    assert_eq!(derived, field(1, "idempotency-key"), "the same at each attempt");
    assert_eq!((derived.len(), derived.as_bytes()[14]), (36, b'8'), "a UUIDv8: {derived}");
    assert_eq!(field(0, "idempotency-attempt"), "1");
    assert_eq!(field(1, "idempotency-attempt"), "2");
    let fences: Vec<u64> = (0..2).map(|n| field(n, "idempotency-fence").parse().unwrap()).collect();
    assert!(fences[0] < fences[1], "{fences:?}");
}

#[tokio::test]
async fn the_upstreams_own_word_releases_the_key_and_stays_here() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    upstream.next(reply(400, &[("Idempotency-Effect", "none")], "no"));
    let request = Request::charge("key-0003-abcdefgh", BODY);
    let first = ask(semel.addr, &request).await;
    assert_eq!((first.status, first.verdict()), (400, Some("released")));
    assert_eq!(first.header("idempotency-effect"), None);
    assert_eq!(ask(semel.addr, &request).await.verdict(), Some("executed"));
}

#[tokio::test]
async fn no_connection_releases_the_key() {
    let semel = serve(Upstream::nowhere().await).start().await;
    let request = Request::charge("key-0004-abcdefgh", BODY);
    for _ in 0..2 {
        let reply = ask(semel.addr, &request).await;
        assert_eq!((reply.status, reply.verdict()), (502, Some("released")));
        let told = reply.json();
        assert_eq!((&told["code"], &told["effect"]), (&"SEM-0401".into(), &"none".into()));
    }
}

#[tokio::test]
async fn whatever_broke_off_is_in_doubt_and_never_sent_again() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--reply-timeout", "150ms").start().await;
    let head = "HTTP/1.1 201 Created\r\n";
    let broken = [
        ("reset before the first byte", vec![Act::Reset]),
        ("closed before the first byte", vec![Act::Close]),
        ("reset within the head", then(raw(head), Act::Reset)),
        (
            "reset within the body",
            then(raw(format!("{head}Content-Length: 9\r\n\r\nab")), Act::Reset),
        ),
        ("truncated", then(raw(format!("{head}Content-Length: 9\r\n\r\nab")), Act::Close)),
        (
            "truncated in chunks",
            then(raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")), Act::Close),
        ),
        ("no HTTP", then(raw("what?\r\n\r\n"), Act::Close)),
        (
            "an unasked tunnel",
            raw("HTTP/1.1 101 Over\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ),
        ("silent", vec![Act::Wait(Gate::closed())]),
        ("silent within the body", {
            then(raw(format!("{head}Content-Length: 9\r\n\r\nab")), Act::Wait(Gate::closed()))
        }),
    ];
    for (n, (what, script)) in broken.into_iter().enumerate() {
        upstream.next(script);
        let request = Request::charge(&format!("key-1{n:03}-abcdefgh"), BODY);
        let first = ask(semel.addr, &request).await;
        assert_eq!((first.status, first.verdict()), (409, Some("in-doubt")), "{what}");
        assert_eq!(
            (&first.json()["ran"], &first.json()["effect"]),
            (&true.into(), &"unknown".into())
        );
        let again = ask(semel.addr, &request).await;
        assert_eq!((again.status, again.verdict()), (409, Some("in-doubt")), "{what}");
        assert_eq!(upstream.effects(), n + 1, "{what}");
    }
}

#[tokio::test]
async fn a_reset_on_a_reused_connection_is_in_doubt_too() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for n in 0..3 {
        ask(semel.addr, &Request::charge(&format!("key-2{n:03}-abcdefgh"), BODY)).await;
    }
    upstream.next(vec![Act::Reset]);
    let request = Request::charge("key-2100-abcdefgh", BODY);
    assert_eq!(ask(semel.addr, &request).await.verdict(), Some("in-doubt"));
    let seen = upstream.seen();
    assert_eq!(seen.len(), 4, "it was sent once");
    assert_eq!(seen[3].connection, 0, "on the connection that had served before");
}

#[tokio::test]
async fn the_first_caller_leaves_and_its_retry_gets_the_reply() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let request = Request::charge("key-3000-abcdefgh", BODY);
    let mut first = Client::connect(semel.addr).await;
    first.request(&request).await;
    gate.reached(1).await;
    first.reset();
    let waiting = Request::charge("key-3000-abcdefgh", BODY).header("Prefer", "wait=0");
    assert_eq!(ask(semel.addr, &waiting).await.verdict(), Some("in-flight"));
    gate.open();
    let again = ask(semel.addr, &request).await;
    assert_eq!((again.verdict(), again.text().as_str()), (Some("replayed"), "paid"));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_keyed_request_that_would_change_the_protocol_runs_as_it_is() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    // As the client of the Java library does at its first request.
    let request = Request::charge("key-4000-abcdefgh", BODY)
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAEAAEAAAAIAAAAA");
    assert_eq!(ask(semel.addr, &request).await.verdict(), Some("executed"));
    let seen = upstream.seen().remove(0);
    assert_eq!((seen.header("upgrade"), seen.header("http2-settings")), (None, None));
}

#[tokio::test]
async fn a_large_or_streamed_reply_reaches_the_first_caller_unharmed() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr)
        .arg("--reply-max", "1KiB")
        .arg("--reply-timeout", "300ms")
        .start()
        .await;
    upstream.next(reply(200, &[], "x".repeat(100_000)));
    let request = Request::charge("key-5000-abcdefgh", BODY);
    assert_eq!(ask(semel.addr, &request).await.body.len(), 100_000);
    let again = ask(semel.addr, &request).await;
    assert_eq!((again.status, again.verdict()), (410, Some("spent")));

    let gate = Gate::closed();
    let mut script = raw(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
    );
    script.extend(after(&gate, raw("3\r\ntwo\r\n0\r\n\r\n")));
    upstream.next(script);
    let request = Request::charge("key-5001-abcdefgh", BODY);
    let mut client = Client::connect(semel.addr).await;
    client.request(&request).await;
    assert_eq!(client.head().await.unwrap().verdict(), Some("executed"));
    assert_eq!(client.bytes(8).await, b"3\r\none\r\n");
    assert_eq!(ask(semel.addr, &request).await.status, 410, "durable before the first byte left");
    // Beyond the time that a whole reply may take: the rest still comes.
    let silent = Request::charge("key-5002-abcdefgh", BODY);
    upstream.next(vec![Act::Wait(Gate::closed())]);
    assert_eq!(ask(semel.addr, &silent).await.verdict(), Some("in-doubt"));
    gate.open();
    assert_eq!(client.bytes(13).await, b"3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_killed_execution_is_in_doubt_once_its_lease_ends() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--reply-timeout", "60s").start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let request = Request::charge("key-6000-abcdefgh", BODY);
    let mut first = Client::connect(semel.addr).await;
    first.request(&request).await;
    gate.reached(1).await;
    // Renewed as long as it runs: many leases later it still is in flight.
    let waiting = Request::charge("key-6000-abcdefgh", BODY).header("Prefer", "wait=1");
    assert_eq!(ask(semel.addr, &waiting).await.verdict(), Some("in-flight"));
    gate.open();
    eventually("the first caller's reply is kept", || async {
        (ask(semel.addr, &request).await.verdict() == Some("replayed")).then_some(())
    })
    .await;
}
