//! The key: how it is written, when it is refused, when it is ignored.

use semel::time::{SystemClock, WallClock};

use super::{BODY, charge, key, said};
use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::timed;
use crate::harness::upstream::Upstream;

fn now_ms() -> u64 {
    SystemClock.now().as_unix_ms()
}

const MALFORMED: &str = "400 refused SEM-0102 unknown not-run never";

#[tokio::test]
async fn a_quoted_and_a_bare_key_are_one_key() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 executed");
    let quoted = charge(1).key(&format!("\"{}\"", key(1)));
    assert_eq!(said(&ask(semel.addr, &quoted).await), "201 replayed");
    // The name of a header has no case, the key has.
    let other_name =
        Request::post("/v1/charges", BODY).bearer("caller-one").header("IDEMPOTENCY-KEY", &key(1));
    assert_eq!(said(&ask(semel.addr, &other_name).await), "201 replayed");
    let upper = charge(1).key(&key(1).to_ascii_uppercase());
    assert_eq!(said(&ask(semel.addr, &upper).await), "201 executed");
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_once_runs_nothing() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let long = "k".repeat(256);
    let unreadable = [
        "",
        "\"\"",
        "\"never closed",
        "\"closed\" and more",
        "\"bad \\x escape\"",
        "\"one\", \"two\"",
        &format!("{}, {}", key(1), key(2)),
        &long,
        &format!("\"{long}\""),
        "caf\u{e9}-8e03978e40d543ddbc93",
        "tab\tinside-8e03978e40d543dd",
    ];
    for wrong in unreadable {
        let reply = ask(semel.addr, &charge(1).key(wrong)).await;
        assert_eq!(said(&reply), MALFORMED, "{wrong:?}");
        // RFC 9457: what is wrong is told, what was sent is not.
        assert!(wrong.len() < 8 || !reply.text().contains(wrong), "{}", reply.text());
    }
    let two_lines = charge(1).header("Idempotency-Key", &key(2));
    assert_eq!(said(&ask(semel.addr, &two_lines).await), MALFORMED);
    let twice_the_same = charge(1).header("Idempotency-Key", &key(1));
    assert_eq!(said(&ask(semel.addr, &twice_the_same).await), MALFORMED);
    assert_eq!(upstream.effects(), 0);
    // 255 bytes are a key.
    let longest = charge(1).key(&"k1".repeat(128)[1..]);
    assert_eq!(said(&ask(semel.addr, &longest).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &longest).await), "201 replayed");
}

#[tokio::test]
async fn keys_count_on_post_and_patch_and_are_said_to_be_ignored_elsewhere() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let before = upstream.effects();
        for _ in 0..2 {
            // Not even looked at: unreadable, and without a principal.
            let request = Request::new(method, "/v1/charges").key("one, two");
            assert_eq!(said(&ask(semel.addr, &request).await), "201 ignored", "{method}");
        }
        assert_eq!(upstream.effects(), before + 2, "{method}");
        let unkeyed = ask(semel.addr, &Request::new(method, "/v1/charges")).await;
        assert_eq!(said(&unkeyed), "201 -", "{method}");
    }
    let before = upstream.effects();
    for (n, method) in [(1, "POST"), (2, "PATCH")] {
        let request = Request::new(method, "/v1/charges").key(&key(n)).bearer("caller-one");
        assert_eq!(said(&ask(semel.addr, &request).await), "201 executed", "{method}");
        assert_eq!(said(&ask(semel.addr, &request).await), "201 replayed", "{method}");
    }
    assert_eq!(upstream.effects(), before + 2);
}

#[tokio::test]
async fn without_a_key_nothing_is_promised_and_nothing_is_said() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let request = Request::post("/v1/charges", BODY).bearer("caller-one");
    for n in 1..=2 {
        assert_eq!(said(&ask(semel.addr, &request).await), "201 -");
        assert_eq!(upstream.effects(), n);
    }
}

#[tokio::test]
async fn a_weak_key_works_and_warns() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let ms = now_ms();
    let warned = [
        ((ms / 1000).to_string(), "clock"),
        (ms.to_string(), "clock"),
        ((ms * 1000).to_string(), "clock"),
        ((ms * 1_000_000).to_string(), "clock"),
        ("2026-04-01T12:00:00Z".to_owned(), "clock"),
        ("c232ab00-9414-11ec-b3c8-9f6bdeced846".to_owned(), "clock"),
        ("7".to_owned(), "counter"),
        ("000000000042".to_owned(), "counter"),
        ("order-7".to_owned(), "few-bits"),
        // 19 digits that are no time: 63 bits.
        ("9999999999999999999".to_owned(), "few-bits"),
        ("a3f0a3f0a3f0a3f".to_owned(), "few-bits"),
    ];
    for (key, reason) in &warned {
        for word in ["executed", "replayed"] {
            let reply = ask(semel.addr, &charge(0).key(key)).await;
            assert_eq!(reply.verdict(), Some(word), "{key}");
            let warning = reply.header("idempotency-warning");
            assert_eq!(warning, Some(format!("key-weak;reason={reason}").as_str()), "{key}");
        }
    }
    for strong in [
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        "a3f0a3f0a3f0a3f0",
        "99999999999999999999",
        "order-7-Zk93JsT0qLx2",
    ] {
        let reply = ask(semel.addr, &charge(0).key(strong)).await;
        assert_eq!(
            (reply.verdict(), reply.header("idempotency-warning")),
            (Some("executed"), None)
        );
    }
}

#[tokio::test]
async fn a_key_that_carries_its_time_is_refused_ahead_of_the_clock_and_before_all_memory() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let day = 86_400_000;
    let present = charge(0).key(&timed(0, 1));
    assert_eq!(said(&ask(semel.addr, &present).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &present).await), "201 replayed");
    let soon = charge(0).key(&timed(60_000, 2));
    assert_eq!(said(&ask(semel.addr, &soon).await), "201 executed", "clocks differ by a minute");
    let ahead = charge(0).key(&timed(day, 3));
    let refused = ask(semel.addr, &ahead).await;
    assert_eq!(said(&refused), "400 refused SEM-0104 unknown not-run never");
    let old = charge(0).key(&timed(-31 * day, 4));
    let refused = ask(semel.addr, &old).await;
    assert_eq!(said(&refused), "410 refused SEM-0206 unknown not-run never");
    assert_eq!(upstream.effects(), 2);
    // An inquiry says the same, and voiding cannot promise anything any more.
    let inquiry = Request::get(super::INQUIRY).key(&timed(-31 * day, 4)).bearer("caller-one");
    assert_eq!(ask(semel.addr, &inquiry).await.json()["state"], "too-old");
    let void = Request { method: "DELETE".to_owned(), ..inquiry };
    let refused = ask(semel.addr, &void).await;
    assert_eq!(said(&refused), "410 refused SEM-0206 unknown not-run never");
}

#[tokio::test]
async fn random_bits_that_look_like_a_timed_key_are_a_key_without_a_time() {
    // The Stripe SDK for Python makes its keys of 128 random bits: one in 64 is spelled as a UUIDv7,
    // of the year 5700 or 900. It was refused as dated ahead, or as too old, and so was the charge.
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for random in ["6b588d2e-326f-7b09-8918-84b30dcd6078", "00000d2e-326f-7b09-b918-84b30dcd6078"] {
        let request = charge(0).key(random);
        assert_eq!(said(&ask(semel.addr, &request).await), "201 executed", "{random}");
        assert_eq!(said(&ask(semel.addr, &request).await), "201 replayed", "{random}");
    }
    assert_eq!(upstream.effects(), 2);
}
