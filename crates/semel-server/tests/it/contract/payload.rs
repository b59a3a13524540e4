//! What makes a request the same request: identity, fingerprint, and a body that is read whole.

use super::{BODY, REUSED, charge, key, said};
use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::{Semel, serve};
use crate::harness::upstream::Upstream;

#[tokio::test]
async fn one_key_for_another_request_is_a_mismatch_that_names_parts_and_no_values() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let first = Request::post("/v1/charges?expand=a", "{\"amount\":1200,\"card\":\"4242-secret\"}")
        .key(&key(1))
        .bearer("caller-one");
    assert_eq!(said(&ask(semel.addr, &first).await), "201 executed");
    let target = |target: &str| Request { target: target.to_owned(), ..first.clone() };
    let others = [
        (Request { method: "PATCH".to_owned(), ..first.clone() }, "method"),
        (first.clone().set("Host", "other.test"), "host"),
        (target("/v1/refunds?expand=a"), "path"),
        (target("/v1/charges?expand=b"), "query"),
        (target("/v1/charges"), "query"),
        (first.clone().body("{\"amount\":9900,\"card\":\"4242-secret\"}"), "body"),
        (first.clone().body(""), "body"),
        (first.clone().set("Content-Type", "application/x-www-form-urlencoded"), "body"),
    ];
    for (other, part) in others {
        let reply = ask(semel.addr, &other).await;
        assert_eq!(said(&reply), REUSED, "{part}");
        let told = reply.json();
        assert_eq!(told["differs"], serde_json::json!([part]), "{told}");
        assert_eq!(told["inquire"], super::INQUIRY);
        for value in ["secret", "1200", "9900", "expand", "shop.test"] {
            assert!(!reply.text().contains(value), "{value} is told: {told}");
        }
    }
    let several = target("/v1/refunds?expand=b").body("{}");
    let reply = ask(semel.addr, &several).await;
    assert_eq!(reply.json()["differs"], serde_json::json!(["path", "query", "body"]));
    // The original is none the worse for it.
    assert_eq!(said(&ask(semel.addr, &first).await), "201 replayed");
    assert_eq!(upstream.effects(), 1);
}

/// Sends `one` and then `other` under one key, and returns what is said to the other.
async fn pair(semel: &Semel, n: u32, media: &str, one: &[u8], other: &[u8]) -> String {
    let request = charge(n).set("Content-Type", media);
    assert_eq!(said(&ask(semel.addr, &request.clone().body(one)).await), "201 executed");
    said(&ask(semel.addr, &request.body(other)).await)
}

#[tokio::test]
async fn json_is_compared_by_value_and_exactly() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let deep =
        |n: usize, space: &str| format!("{}1{space}{}", "[".repeat(n), "]".repeat(n)).into_bytes();
    let same: [(&[u8], &[u8]); 10] = [
        (b"{\"a\":1,\"b\":[1,2]}", b" {\n \"b\" : [1, 2],\t\"a\":1 } "),
        (b"{\"a\":1}", b"{\"a\":1.0}"),
        (b"{\"a\":100}", b"{\"a\":1e2}"),
        (b"{\"a\":0}", b"{\"a\":-0}"),
        (b"{\"a\":1e999999999}", b"{\"a\":10E999999998}"),
        (b"{\"a\":\"\\u00e9\"}", "{\"a\":\"\u{e9}\"}".as_bytes()),
        // Compared by their bytes, which are the same.
        (b"{\"a\":1,\"a\":2}", b"{\"a\":1,\"a\":2}"),
        (b"{\"a\":\"\xff\"}", b"{\"a\":\"\xff\"}"),
        (b"{\"a\":\"\\ud800\"}", b"{\"a\":\"\\ud800\"}"),
        (&deep(128, ""), &deep(128, " ")),
    ];
    for (n, (one, other)) in (100..).zip(same) {
        let told = pair(&semel, n, "application/json", one, other).await;
        assert_eq!(told, "201 replayed", "{}", String::from_utf8_lossy(other));
    }
    let different: [(&[u8], &[u8]); 9] = [
        (b"{\"a\":[1,2]}", b"{\"a\":[2,1]}"),
        (b"{\"a\":1}", b"{\"a\":\"1\"}"),
        (b"{\"a\":null}", b"{}"),
        (b"{\"a\":100000000000000000001}", b"{\"a\":100000000000000000000}"),
        (b"{\"a\":0.1}", b"{\"a\":0.10000000000000000001}"),
        (b"{\"a\":1e999999999}", b"{\"a\":1e999999998}"),
        // No value could be agreed upon, so bytes count.
        (b"{\"a\":1,\"a\":2}", b"{\"a\":1, \"a\":2}"),
        (b"{\"a\":1,\"a\":2}", b"{\"a\":2}"),
        (&deep(129, ""), &deep(129, " ")),
    ];
    for (n, (one, other)) in (200..).zip(different) {
        let told = pair(&semel, n, "application/json", one, other).await;
        assert_eq!(told, REUSED, "{}", String::from_utf8_lossy(other));
    }
    // Parameters of the media type do not count, and `+json` is JSON.
    let request =
        charge(300).set("Content-Type", "application/problem+json; v=1").body("{\"a\":1}");
    assert_eq!(said(&ask(semel.addr, &request).await), "201 executed");
    let other = request.set("Content-Type", "application/problem+json").body("{ \"a\": 1 }");
    assert_eq!(said(&ask(semel.addr, &other).await), "201 replayed");
}

#[tokio::test]
async fn multipart_is_compared_by_its_parts_and_all_else_by_its_bytes() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let form = |boundary: &str, value: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n{value}\r\n--{boundary}--\r\n"
        )
    };
    let upload = |boundary: &str, value: &str| {
        charge(1)
            .set("Content-Type", &format!("multipart/form-data; boundary={boundary}"))
            .body(form(boundary, value))
    };
    assert_eq!(said(&ask(semel.addr, &upload("aaa", "12")).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &upload("bbb", "12")).await), "201 replayed");
    assert_eq!(said(&ask(semel.addr, &upload("bbb", "13")).await), REUSED);
    let packed = |bytes: &[u8]| charge(2).header("Content-Encoding", "gzip").body(bytes);
    assert_eq!(said(&ask(semel.addr, &packed(b"{\"a\":1}")).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &packed(b"{\"a\":1}")).await), "201 replayed");
    assert_eq!(said(&ask(semel.addr, &packed(b"{\"a\": 1}")).await), REUSED);
    assert_eq!(pair(&semel, 3, "text/plain", b"a b", b"a  b").await, REUSED);
    assert_eq!(
        pair(&semel, 4, "application/octet-stream", b"\0\xff", b"\0\xff").await,
        "201 replayed"
    );
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_and_never_run_unprotected() {
    const TOO_LARGE: &str = "413 refused SEM-0107 unknown not-run never";
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--body-max", "1KiB").start().await;
    let fits = charge(1).set("Content-Type", "text/plain").body("x".repeat(1024));
    assert_eq!(said(&ask(semel.addr, &fits).await), "201 executed");
    assert_eq!(upstream.seen()[0].body.len(), 1024);

    // Announced: refused before a byte of it is sent.
    let mut client = Client::connect(semel.addr).await;
    let head = charge(2).header("Content-Length", "1025").body("");
    client.request(&head).await;
    let reply = client.reply("POST").await.unwrap();
    assert_eq!(said(&reply), TOO_LARGE);
    assert_eq!(reply.json()["limit"], 1024);

    // In chunks: refused once it crosses the cap, though its end has not come.
    let mut client = Client::connect(semel.addr).await;
    client.request(&charge(3).header("Transfer-Encoding", "chunked").body("")).await;
    let chunk = [b"200\r\n".as_slice(), &[b'x'; 0x200], b"\r\n"].concat();
    for _ in 0..3 {
        client.send(&chunk).await;
    }
    assert_eq!(said(&client.reply("POST").await.unwrap()), TOO_LARGE);

    // Without a key the cap is not Semel's business.
    let unkeyed = Request::post("/up", "").body("x".repeat(5000));
    assert_eq!(said(&ask(semel.addr, &unkeyed).await), "201 -");
    assert_eq!(upstream.effects(), 2);
    // A refusal leaves nothing behind: the same key runs once its request is right.
    assert_eq!(said(&ask(semel.addr, &charge(2).body(BODY)).await), "201 executed");
}

#[tokio::test]
async fn a_body_of_some_mebibytes_in_any_framing_is_one_request() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let body = "x".repeat(3 << 20);
    let request = charge(1).set("Content-Type", "text/plain");
    assert_eq!(said(&ask(semel.addr, &request.clone().body(&body)).await), "201 executed");
    let mut client = Client::connect(semel.addr).await;
    client.request(&request.header("Transfer-Encoding", "chunked").body("")).await;
    for part in body.as_bytes().chunks(1 << 20) {
        client.send(format!("{:x}\r\n", part.len()).as_bytes()).await;
        client.send(part).await;
        client.send(b"\r\n").await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(said(&client.reply("POST").await.unwrap()), "201 replayed");
    let seen = upstream.seen();
    assert_eq!((seen.len(), seen[0].body.len()), (1, 3 << 20));
}
