//! Connections: after whatever was refused, the next request on the connection is understood as it
//! was sent, or there is no next one.

use super::{charge, said};
use crate::harness::client::{Broken, Client, Request, ask};
use crate::harness::semel::{Semel, serve};
use crate::harness::upstream::{Act, Upstream, reply};

/// Sends `request`, then a charge of `n` on the same connection: it is answered as a charge, or the
/// connection is closed. What was left unread of the first is never taken for a request.
async fn next_is_understood(semel: &Semel, request: &[u8], n: u32) -> String {
    let mut client = Client::connect(semel.addr).await;
    client.send(&[request, &charge(n).bytes()].concat()).await;
    let first = client.reply("POST").await.unwrap();
    match client.reply("POST").await {
        Ok(second) => {
            assert_eq!(said(&second), "201 executed", "after {}", said(&first));
        }
        Err(Broken::Nothing) => {
            let again = ask(semel.addr, &charge(n)).await;
            assert!(again.status == 201, "after {}", said(&first));
        }
        Err(broken) => panic!("after {}: {broken:?}", said(&first)),
    }
    said(&first)
}

#[tokio::test]
async fn an_unread_body_is_never_taken_for_the_next_request() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--body-max", "1KiB").start().await;
    let smuggled = "POST /smuggled HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n";
    let filler = |n: usize| smuggled.repeat(n);
    // Each is refused before its body was read.
    let refused = [
        (charge(0).key("").body(filler(3)), "400 refused SEM-0102"),
        (charge(0).set("Authorization", "Hawk a").body(filler(3)), "400 refused SEM-0106"),
        (charge(0).set("Authorization", "").body(filler(300)), "400 refused SEM-0106"),
        (charge(0).body(filler(100)), "413 refused SEM-0107"),
        (charge(0).body(filler(20_000)), "413 refused SEM-0107"),
        (Request::new("POST", "/.well-known/idempotency").body(filler(3)), "405 refused SEM-0110"),
    ];
    for (n, (request, row)) in (1..).zip(refused) {
        let told = next_is_understood(&semel, &request.bytes(), n).await;
        assert!(told.starts_with(row), "{told} is not {row}");
    }
    // Chunked, refused, and the chunks hold a request.
    let head = charge(0).key("").header("Transfer-Encoding", "chunked").body("").bytes();
    let chunks = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    let told = next_is_understood(&semel, &[head, chunks.into_bytes()].concat(), 50).await;
    assert!(told.starts_with("400 refused SEM-0102"), "{told}");
    assert!(
        upstream.seen().iter().all(|seen| seen.target == "/v1/charges"),
        "{:?}",
        upstream.seen()
    );
}

#[tokio::test]
async fn after_each_answer_of_semels_own_the_connection_works_or_is_closed() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    ask(semel.addr, &charge(1)).await;
    upstream.next(vec![Act::Reset]);
    ask(semel.addr, &charge(2)).await;
    ask(semel.addr, &super::about("DELETE", 3)).await;
    let answers = [
        (charge(1), "201 replayed"),
        (charge(1).body("{}"), "422 mismatch"),
        (charge(2), "409 in-doubt"),
        (charge(3), "409 void"),
        (charge(4).key("a, b"), "400 refused"),
        (charge(4).set("Authorization", "Hawk a"), "400 refused"),
        (super::about("POST", 1).body(""), "204 -"),
        (charge(1), "410 spent"),
    ];
    for (n, (request, row)) in (100..).zip(answers) {
        let told = next_is_understood(&semel, &request.bytes(), n).await;
        assert!(told.starts_with(row), "{told} is not {row}");
    }
}

#[tokio::test]
async fn pipelined_keyed_requests_are_answered_in_order() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let mut client = Client::connect(semel.addr).await;
    let all: Vec<u8> = [1, 2, 1, 2].iter().flat_map(|n| charge(*n).bytes()).collect();
    client.send(&all).await;
    let mut told = vec![];
    for _ in 0..4 {
        let reply = client.reply("POST").await.unwrap();
        told.push((said(&reply), reply.json()["charge"].as_u64().unwrap()));
    }
    let row = |word: &str, n| (format!("201 {word}"), n);
    assert_eq!(
        told,
        [row("executed", 1), row("executed", 2), row("replayed", 1), row("replayed", 2)]
    );
}

/// A keyed request that says by `framing` where it ends, and behind it what by another reading would
/// still be a part of its body.
fn framed(framing: &str) -> Vec<u8> {
    let key = super::key(1);
    format!(
        "POST /v1/charges HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer a\r\n\
         Idempotency-Key: {key}\r\n{framing}\r\n\r\n\
         0\r\n\r\nPOST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn an_end_that_cannot_be_told_is_refused_with_a_key_too() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, gzip",
        "Content-Length: -1",
    ] {
        let mut client = Client::connect(semel.addr).await;
        client.send(&framed(framing)).await;
        let told = client.reply("POST").await.unwrap_or_else(|e| panic!("{framing}: {e:?}"));
        assert_eq!(told.status, 400, "{framing}");
        assert_eq!(client.rest().await, b"", "{framing}");
    }
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn what_follows_a_length_beside_chunks_is_never_read_as_a_request() {
    // Whoever stands before the gateway and goes by the length has passed the rest as part of the body.
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for framing in [
        "Content-Length: 65\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 65",
    ] {
        let mut client = Client::connect(semel.addr).await;
        client.send(&framed(framing)).await;
        client.reply("POST").await.unwrap();
        assert_eq!(client.rest().await, b"", "closed, as RFC 9112 §6.1 asks: {framing}");
    }
    assert!(
        upstream.seen().iter().all(|seen| seen.target == "/v1/charges"),
        "{:?}",
        upstream.seen()
    );
}

#[tokio::test]
async fn a_head_beyond_all_measure_is_refused_and_the_server_lives() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let many = (0..300).fold(charge(1), |request, n| request.header(&format!("X-{n}"), "1"));
    let long = charge(1).header("X-Long", &"x".repeat(100_000));
    let long_key = charge(1).key(&"k".repeat(100_000));
    let long_target = Request { target: format!("/{}", "a".repeat(100_000)), ..charge(1) };
    for (what, bomb, status) in [
        ("many headers", many, 431),
        ("a long header", long, 431),
        ("a long key", long_key, 431),
        ("a long target", long_target, 414),
    ] {
        let mut client = Client::connect(semel.addr).await;
        client.request(&bomb).await;
        let told = client.reply("POST").await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert!(told.status == status || told.status == 431, "{what}: {}", told.status);
    }
    assert_eq!(upstream.effects(), 0);
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 executed");
}

#[tokio::test]
async fn a_reply_on_a_connection_that_its_upstream_closes_is_whole() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let mut client = Client::connect(semel.addr).await;
    for n in 1..=3 {
        upstream.next(
            reply(201, &[("Connection", "close")], "paid")
                .into_iter()
                .chain([Act::Close])
                .collect(),
        );
        client.request(&charge(n)).await;
        let told = client.reply("POST").await.unwrap();
        assert_eq!((said(&told).as_str(), told.text().as_str()), ("201 executed", "paid"));
        assert_eq!(told.header("connection"), None, "the caller's own connection stays");
    }
}
