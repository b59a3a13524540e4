//! What is kept of a reply, and how it is said again.

use super::{charge, parameter, parameters, said};
use crate::harness::client::{Reply, Request, ask};
use crate::harness::semel::{Semel, serve};
use crate::harness::upstream::{Upstream, raw, reply};

/// Sends a charge and its retry.
async fn twice(semel: &Semel, request: &Request) -> (Reply, Reply) {
    let first = ask(semel.addr, request).await;
    assert_eq!(first.verdict(), Some("executed"));
    let again = ask(semel.addr, request).await;
    assert_eq!(again.verdict(), Some("replayed"));
    (first, again)
}

#[tokio::test]
async fn a_replay_is_the_reply_byte_for_byte_with_repeated_headers() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let headers = [
        ("Content-Type", "application/octet-stream"),
        ("Link", "</a>; rel=next"),
        ("X-One", "1"),
        ("Link", "</b>; rel=prev"),
        ("Location", "/v1/charges/ch_1"),
        ("ETag", "\"7\""),
        ("X-Latin", "caf\u{e9}"),
        ("Vary", "Accept, Origin"),
    ];
    let body: Vec<u8> = (0..=255).collect();
    upstream.next(reply(201, &headers, &body));
    let (first, again) = twice(&semel, &charge(1)).await;
    assert_eq!((first.body.as_slice(), again.body.as_slice()), (&body[..], &body[..]));
    for name in ["content-type", "link", "x-one", "location", "etag", "x-latin"] {
        assert_eq!(first.all(name), again.all(name), "{name}");
    }
    assert_eq!(again.all("link"), ["</a>; rel=next", "</b>; rel=prev"]);
    assert_eq!(again.header("vary"), Some("Accept"), "Origin is answered afresh");
    assert_eq!(again.header("content-length"), Some("256"));
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
}

#[tokio::test]
async fn empty_replies_stay_empty() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let scripts = [
        (204, reply(204, &[("X-Own", "1")], "")),
        (200, reply(200, &[("X-Own", "1")], "")),
        (200, raw("HTTP/1.1 200 OK\r\nX-Own: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        (
            201,
            raw(
                "HTTP/1.1 201 Created\r\nX-Own: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ),
        ),
    ];
    for (n, (status, script)) in (1..).zip(scripts) {
        upstream.next(script);
        let (first, again) = twice(&semel, &charge(n)).await;
        for reply in [first, again] {
            assert_eq!(
                (reply.status, reply.body.len(), reply.header("x-own")),
                (status, 0, Some("1"))
            );
            let lengths = reply.all("content-length").len();
            assert!(lengths <= 1 && (status != 204 || lengths == 0), "RFC 9110 §8.6");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_a_connection_a_session_or_a_moment_is_not_said_again() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let once = [
        ("Set-Cookie", "session=secret"),
        ("WWW-Authenticate", "Bearer"),
        ("Authentication-Info", "nextnonce=\"a\""),
        ("Server", "shop/1"),
        ("Retry-After", "7"),
        ("RateLimit-Remaining", "3"),
        ("X-RateLimit-Limit", "9"),
        ("X-Request-Id", "r-1"),
        ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("Access-Control-Allow-Origin", "https://shop.test"),
        ("Idempotency-Status", "replayed"),
    ];
    let mut headers = once.to_vec();
    headers.push(("Date", "Tue, 01 Jan 2019 00:00:00 GMT"));
    headers.push(("X-Stays", "1"));
    upstream.next(reply(201, &headers, "x"));
    let (first, again) = twice(&semel, &charge(1)).await;
    assert_eq!(first.header("set-cookie"), Some("session=secret"), "the first caller has its own");
    assert_eq!(first.header("ratelimit-remaining"), Some("3"));
    // An upstream's word for Semel's header is never passed on as Semel's.
    assert_eq!(first.all("idempotency-status").len(), 1);
    assert_eq!(again.header("x-stays"), Some("1"));
    for (name, value) in once {
        assert!(!again.all(name).contains(&value), "{name} is said again");
    }
    let dates = again.all("date");
    assert_eq!(dates.len(), 1, "{dates:?}");
    assert!(!dates[0].contains("2019"), "a fresh one: {dates:?}");
}

#[tokio::test]
async fn a_replay_is_not_to_be_stored_unless_its_origin_said_so() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let (first, again) = twice(&semel, &charge(1)).await;
    assert_eq!(
        (first.header("cache-control"), again.header("cache-control")),
        (None, Some("no-store"))
    );
    upstream.next(reply(201, &[("Cache-Control", "private, max-age=60")], "x"));
    let (_, again) = twice(&semel, &charge(2)).await;
    assert_eq!(again.all("cache-control"), ["private, max-age=60"]);
}

#[tokio::test]
async fn trailers_are_kept_and_come_after_the_body_again() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    upstream.next(raw(
        "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\
         Trailer: grpc-status\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n",
    ));
    let request = charge(1).header("TE", "trailers").header("Connection", "TE");
    let (first, again) = twice(&semel, &request).await;
    for reply in [first, again] {
        assert_eq!(reply.body, b"ok");
        assert_eq!(reply.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
    }
}

#[tokio::test]
async fn a_retry_that_refuses_the_stored_coding_gets_it_decoded() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    // The bytes of `printf paid | gzip -n`.
    let packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x2b\x48\xcc\x4c\x01\0\x38\xab\x8e\xfd\x04\0\0\0";
    upstream.next(reply(
        201,
        &[("Content-Encoding", "gzip"), ("Content-Type", "text/plain")],
        packed,
    ));
    let accepting = charge(1).header("Accept-Encoding", "gzip, br");
    let (first, again) = twice(&semel, &accepting).await;
    assert_eq!((first.body.as_slice(), again.body.as_slice()), (&packed[..], &packed[..]));
    assert_eq!(again.header("content-encoding"), Some("gzip"));
    let plain = ask(semel.addr, &charge(1).header("Accept-Encoding", "identity")).await;
    assert_eq!((said(&plain).as_str(), plain.text().as_str()), ("201 replayed", "paid"));
    assert_eq!(
        (plain.header("content-encoding"), plain.header("content-length")),
        (None, Some("4"))
    );
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn the_status_header_says_how_long_reply_and_key_stay_known() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--retention", "1h").arg("--memory", "2h").start().await;
    let (first, again) = twice(&semel, &charge(1)).await;
    let names = |reply: &Reply| parameters(reply).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(names(&first), ["attempt", "retention", "memory"]);
    assert_eq!(names(&again), ["attempt", "retention", "memory", "age"]);
    for (reply, name, most) in
        [(&first, "retention", 3600), (&again, "retention", 3600), (&again, "memory", 7200)]
    {
        let left: u64 = parameter(reply, name).unwrap().parse().unwrap();
        assert!((most - 30..=most).contains(&left), "{name} {left}");
    }
    assert_eq!(parameter(&again, "attempt").as_deref(), Some("1"));
    let age: u64 = parameter(&again, "age").unwrap().parse().unwrap();
    assert!(age < 30, "{age}");
    let semel =
        serve(upstream.addr).arg("--retention", "forever").arg("--memory", "forever").start().await;
    let (_, again) = twice(&semel, &charge(1)).await;
    assert_eq!(parameter(&again, "memory").as_deref(), Some("forever"));
}

#[tokio::test]
async fn a_reply_outlived_by_its_retention_is_gone_and_the_key_known() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr)
        .arg("--retention", "1s")
        .arg("--memory", "1h")
        .arg("--store-deadline", "100ms")
        .start()
        .await;
    ask(semel.addr, &charge(1)).await;
    let spent = crate::harness::eventually("retention ends", || async {
        let reply = ask(semel.addr, &charge(1)).await;
        (reply.status != 201).then_some(reply)
    })
    .await;
    assert_eq!(said(&spent), "410 spent SEM-0204 done not-run never");
    assert_eq!(spent.json()["recorded_status"], 201);
    assert_eq!(ask(semel.addr, &super::about("GET", 1)).await.json()["state"], "spent");
    let other = ask(semel.addr, &charge(1).body("{}")).await;
    assert_eq!(said(&other), "410 spent SEM-0204 done not-run never");
    assert_eq!(upstream.effects(), 1);
}
