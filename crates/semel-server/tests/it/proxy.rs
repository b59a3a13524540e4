//! What passes through the gateway without a key.

use crate::harness::client::{Broken, Client, Request, ask, try_ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream, after, raw, reply, then};
use crate::harness::{Gate, within};

#[tokio::test]
async fn an_unkeyed_request_passes_through_untouched() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let request = Request::post("/v1/charges?x=1&y=%20", "{\"amount\":1}").header("X-Mine", "a, b");
    let reply = ask(semel.addr, &request).await;
    assert_eq!((reply.status, reply.text().as_str()), (201, "{\"charge\":1}"));
    assert_eq!(reply.header("x-charge"), Some("ch_1"));
    assert_eq!(reply.header("idempotency-status"), None);
    let seen = upstream.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/charges?x=1&y=%20"));
    assert_eq!(seen.body, b"{\"amount\":1}");
    assert_eq!(seen.header("host"), Some("shop.test"));
    assert_eq!(seen.header("x-mine"), Some("a, b"));
    assert_eq!(seen.header("via"), Some("1.1 semel"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.test"));
    // Twice means twice: it bears no key.
    ask(semel.addr, &request).await;
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn what_means_one_connection_goes_no_further() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    upstream.next(raw(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n\
         X-Kept: 1\r\nIdempotency-Effect: none\r\nContent-Length: 2\r\n\r\nok",
    ));
    let request = Request::get("/")
        .header("Connection", "X-Secret, Host")
        .header("X-Secret", "1")
        .header("Keep-Alive", "1")
        .header("Idempotency-Attempt", "7")
        .header("Idempotency-Fence", "7");
    let reply = ask(semel.addr, &request).await;
    assert_eq!(reply.header("x-kept"), Some("1"));
    for gone in ["x-hop", "keep-alive", "idempotency-effect"] {
        assert_eq!(reply.header(gone), None, "{gone}");
    }
    let seen = upstream.seen().remove(0);
    for gone in ["x-secret", "keep-alive", "idempotency-attempt", "idempotency-fence"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(seen.header("host"), Some("shop.test"));
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    // Down: the first part of a reply arrives while the upstream still holds the rest.
    let gate = Gate::closed();
    let mut script = raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    script.extend(after(&gate, raw("6\r\nsecond\r\n0\r\n\r\n")));
    upstream.next(script);
    let mut client = Client::connect(semel.addr).await;
    client.request(&Request::get("/stream")).await;
    assert_eq!(client.head().await.unwrap().status, 200);
    assert_eq!(client.bytes(10).await, b"5\r\nfirst\r\n");
    gate.open();
    assert_eq!(client.bytes(16).await, b"6\r\nsecond\r\n0\r\n\r\n");

    // Up: 8 MiB in chunks, more than any buffer on the way.
    let mut client = Client::connect(semel.addr).await;
    client.send(b"PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..128 {
        client.send(&chunk).await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.reply("PUT").await.unwrap().status, 201);
    assert_eq!(upstream.seen()[1].body.len(), 8 << 20);
}

#[tokio::test]
async fn replies_without_a_body_stay_without_one() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let mut client = Client::connect(semel.addr).await;
    upstream.next(raw("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"));
    client.request(&Request::new("HEAD", "/")).await;
    let head = client.reply("HEAD").await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("12345")));
    upstream.next(reply(204, &[], ""));
    client.request(&Request::new("DELETE", "/")).await;
    let empty = client.reply("DELETE").await.unwrap();
    assert_eq!((empty.status, empty.header("transfer-encoding")), (204, None));
    upstream.next(reply(304, &[("ETag", "\"a\"")], ""));
    client.request(&Request::get("/")).await;
    assert_eq!(client.reply("GET").await.unwrap().header("etag"), Some("\"a\""));
    // The connection is in step after all of them.
    client.request(&Request::post("/", "{}")).await;
    assert_eq!(client.reply("POST").await.unwrap().status, 201);
}

#[tokio::test]
async fn trailers_reach_who_asks_for_them() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    upstream.next(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"));
    let request = Request::get("/").header("TE", "trailers").header("Connection", "TE");
    let reply = ask(semel.addr, &request).await;
    assert_eq!(reply.body, b"ok");
    assert_eq!(reply.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    assert_eq!(upstream.seen()[0].header("te"), Some("trailers"));
}

#[tokio::test]
async fn a_body_is_asked_for_before_it_is_sent() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let mut client = Client::connect(semel.addr).await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(client.head().await.unwrap().status, 100);
    client.send(b"{}").await;
    assert_eq!(client.reply("POST").await.unwrap().status, 201);
    assert_eq!(upstream.seen()[0].header("expect"), None);
}

#[tokio::test]
async fn a_connection_changes_its_protocol_and_carries_bytes() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let switched =
        raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    upstream.next(then(switched, Act::Echo));
    let mut client = Client::connect(semel.addr).await;
    client
        .request(&Request::get("/ws").header("Connection", "Upgrade").header("Upgrade", "echo"))
        .await;
    let reply = client.head().await.unwrap();
    assert_eq!((reply.status, reply.header("upgrade")), (101, Some("echo")));
    client.send(b"hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
}

#[tokio::test]
async fn an_upstream_that_fails_is_told_as_such() {
    let semel = serve(Upstream::nowhere().await).start().await;
    let reply = ask(semel.addr, &Request::post("/", "{}")).await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("nothing of the request was sent"), "{}", reply.text());

    let upstream = Upstream::start().await;
    let patience =
        serve(upstream.addr).arg("--reply-timeout", "100ms").arg("--connect-timeout", "10m");
    let semel = patience.start().await;
    upstream.next(vec![Act::Reset]);
    let reply = ask(semel.addr, &Request::post("/", "{}")).await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("may have acted"), "{}", reply.text());
    upstream.next(vec![Act::Wait(Gate::closed())]);
    assert_eq!(ask(semel.addr, &Request::post("/", "{}")).await.status, 504);
    // A reply that breaks off breaks off here too: it is never passed on as whole.
    upstream.next(then(raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Act::Close));
    let broken = try_ask(semel.addr, &Request::get("/")).await;
    assert!(matches!(broken, Err(Broken::Truncated(_))), "{broken:?}");
}

#[tokio::test]
async fn bytes_beyond_a_reply_answer_no_other_request() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    upstream.next(raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{forged}")));
    let mut client = Client::connect(semel.addr).await;
    client.request(&Request::get("/one")).await;
    assert_eq!(client.reply("GET").await.unwrap().text(), "ok");
    for _ in 0..3 {
        client.request(&Request::post("/two", "{}")).await;
        let reply = client.reply("POST").await.unwrap();
        assert_ne!(reply.text(), "forged");
    }
}

#[tokio::test]
async fn ambiguous_requests_reach_nobody() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for (bytes, status) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400),
        ("CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n", 501),
    ] {
        let mut client = Client::connect(semel.addr).await;
        client.send(bytes.as_bytes()).await;
        let reply = client.reply("POST").await.unwrap_or_else(|e| panic!("{bytes}: {e:?}"));
        assert_eq!(reply.status, status, "{bytes}");
        client.rest().await;
    }
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn two_lengths_at_once_reach_the_upstream_as_one() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    // RFC 9112 §6.3: the chunks count. By the length, "GET /smuggled" would be another request.
    let body = "0\r\n\r\n";
    for pair in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", body.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}", body.len()),
    ] {
        let mut client = Client::connect(semel.addr).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{pair}\r\n\r\n{body}").as_bytes()).await;
        client.reply("POST").await.unwrap();
        let seen = upstream.seen().pop().unwrap();
        let framed = [seen.header("content-length"), seen.header("transfer-encoding")];
        assert_eq!(framed.iter().flatten().count(), 1, "{framed:?}");
        assert_eq!(seen.body, b"");
    }
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let many: String = (0..500).map(|n| format!("X-{n}: 1\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(200_000));
    for bomb in [many, long] {
        let mut client = Client::connect(semel.addr).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{bomb}\r\n").as_bytes()).await;
        let what = bomb.len();
        let refused = client.reply("GET").await.unwrap_or_else(|e| panic!("{what} bytes: {e:?}"));
        assert_eq!(refused.status, 431, "{what} bytes");
    }
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn a_slow_head_and_a_body_that_stalls_are_cut_off() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr)
        .arg("--head-timeout", "100ms")
        .arg("--body-pause", "100ms")
        .start()
        .await;
    let mut slow = Client::connect(semel.addr).await;
    slow.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-").await;
    within("a slow head is cut off", slow.rest()).await;
    let mut stalled = Client::connect(semel.addr).await;
    stalled.send(&Request::charge("k-1", "{}").header("Content-Length", "9").bytes()).await;
    let reply = stalled.reply("POST").await.unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["code"], "SEM-0108");
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn an_upstream_may_lie_behind_a_path_and_under_its_own_name() {
    let upstream = Upstream::start().await;
    let url = format!("http://{}/base/", upstream.addr);
    let semel = serve(upstream.addr).arg("--upstream", &url).flag("--own-host").start().await;
    ask(semel.addr, &Request::get("/v1?x=1")).await;
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.target, "/base/v1?x=1");
    assert_eq!(seen.header("host"), Some(upstream.addr.to_string().as_str()));
}
