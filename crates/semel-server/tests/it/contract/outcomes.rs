//! What the upstream says, or fails to say, and what that makes of the key.

use super::{BEGAN_AND_IN_DOUBT, IN_DOUBT, about, charge, parameter, said};
use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream, raw, reply, then};

#[tokio::test]
async fn a_final_reply_is_kept_whatever_its_status() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let kept = [200, 201, 202, 303, 400, 402, 403, 404, 409, 410, 422, 500, 501, 505];
    for (n, status) in (1..).zip(kept) {
        upstream.next(reply(status, &[("X-Own", "1")], format!("says {status}")));
        let first = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&first), format!("{status} executed"));
        assert_eq!(first.header("stripe-should-retry"), None, "the upstream's reply as it was");
        let again = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&again), format!("{status} replayed"));
        assert_eq!((again.text(), again.header("x-own")), (format!("says {status}"), Some("1")));
        // The SDKs would ask again for the same stored reply.
        let hopeless = status == 409 || status >= 500;
        assert_eq!(again.header("stripe-should-retry"), hopeless.then_some("false"), "{status}");
        let known = ask(semel.addr, &about("GET", n)).await.json();
        let effect = if status < 400 { "done" } else { "unknown" };
        assert_eq!((&known["state"], &known["effect"]), (&"completed".into(), &effect.into()));
        assert_eq!(known["status"], status);
    }
    assert_eq!(upstream.effects(), kept.len());
}

#[tokio::test]
async fn a_status_that_is_given_before_anything_happens_releases_the_key() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for (n, status) in [(1, 401), (2, 429)] {
        for _ in 0..2 {
            upstream.next(reply(status, &[("Retry-After", "7")], "not now"));
            let refused = ask(semel.addr, &charge(n)).await;
            assert_eq!(said(&refused), format!("{status} released"));
            assert_eq!(
                (refused.text().as_str(), refused.header("retry-after")),
                ("not now", Some("7"))
            );
            assert_eq!(ask(semel.addr, &about("GET", n)).await.json()["state"], "absent");
        }
        // A released key takes any request: nothing was remembered of the first.
        let other = ask(semel.addr, &charge(n).body("{\"amount\":7}")).await;
        assert_eq!(said(&other), "201 executed");
        assert_eq!(parameter(&other, "attempt").as_deref(), Some("3"));
    }
    assert_eq!(upstream.effects(), 6);
}

#[tokio::test]
async fn a_gateways_failure_further_up_leaves_it_open_and_reaches_the_first_caller_as_it_is() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for (n, status) in [(1, 502), (2, 503), (3, 504)] {
        upstream.next(reply(status, &[("X-From", "further-up")], "bad luck"));
        let first = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&first), format!("{status} in-doubt"));
        assert_eq!(
            (first.text().as_str(), first.header("x-from")),
            ("bad luck", Some("further-up"))
        );
        let again = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&again), IN_DOUBT);
        let told = again.json();
        assert_eq!(told["inquire"], super::INQUIRY);
        assert!(told["since"].as_str().is_some_and(|since| since.contains('T')), "{told}");
        // The SDKs would ask twice more within a second; doubt does not end that soon.
        assert_eq!(again.header("stripe-should-retry"), Some("false"));
        assert_eq!(ask(semel.addr, &about("GET", n)).await.json()["state"], "in-doubt");
    }
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn the_upstreams_own_word_on_the_effect_counts_and_goes_no_further() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let rows = [
        // status, word, first answer, retry, effect in the inquiry
        (400, "none", "400 released", "201 executed", "done"),
        (503, "none", "503 released", "201 executed", "done"),
        (402, "done", "402 executed", "402 replayed", "done"),
        (503, "done", "503 executed", "503 replayed", "done"),
        (429, "done", "429 executed", "429 replayed", "done"),
        (401, "unknown", "401 executed", "401 replayed", "unknown"),
        // No word of ours: as if nothing had been said.
        (400, "perhaps", "400 executed", "400 replayed", "unknown"),
        (429, "perhaps", "429 released", "201 executed", "done"),
    ];
    for (n, (status, word, first, retry, effect)) in (1..).zip(rows) {
        upstream.next(reply(status, &[("Idempotency-Effect", word)], "x"));
        let told = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&told), first, "{status} {word}");
        assert_eq!(told.header("idempotency-effect"), None);
        let again = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&again), retry, "{status} {word}");
        assert_eq!(again.header("idempotency-effect"), None);
        let known = ask(semel.addr, &about("GET", n)).await.json();
        assert_eq!(known["effect"], effect, "{status} {word}");
    }
}

#[tokio::test]
async fn no_connection_means_that_nothing_happened() {
    let semel = serve(Upstream::nowhere().await).start().await;
    for _ in 0..2 {
        let reply = ask(semel.addr, &charge(1)).await;
        assert_eq!(said(&reply), "502 released SEM-0401 none not-run same-key");
        assert!(reply.header("retry-after").is_some());
        assert_eq!(ask(semel.addr, &about("GET", 1)).await.json()["state"], "absent");
    }
}

#[tokio::test]
async fn no_whole_reply_is_in_doubt_for_each_way_to_break_off() {
    let upstream = Upstream::start().await;
    // The time for a connection is no part of the time for an answer.
    let patience =
        serve(upstream.addr).arg("--reply-timeout", "150ms").arg("--connect-timeout", "10m");
    let semel = patience.start().await;
    let head = "HTTP/1.1 201 Created\r\n";
    let broken = [
        ("reset before the first byte", vec![Act::Reset]),
        ("reset after the first byte", then(raw("H"), Act::Reset)),
        (
            "closed after the head",
            then(raw(format!("{head}Content-Length: 9\r\n\r\n")), Act::Close),
        ),
        ("one byte short", then(raw(format!("{head}Content-Length: 3\r\n\r\nab")), Act::Close)),
        (
            "without its last chunk",
            then(raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")), Act::Close),
        ),
        (
            "with a chunk that is no chunk",
            then(raw(format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n")), Act::Close),
        ),
        (
            "two lengths",
            then(
                raw(format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")),
                Act::Close,
            ),
        ),
        ("endless head", then(raw(format!("{head}X-Long: {}", "x".repeat(600_000))), Act::Close)),
    ];
    let mut effects = 0;
    for (n, (what, script)) in (1..).zip(broken) {
        upstream.next(script);
        effects += 1;
        let first = ask(semel.addr, &charge(n)).await;
        assert_eq!(said(&first), BEGAN_AND_IN_DOUBT, "{what}");
        assert_eq!(first.json()["inquire"], super::INQUIRY, "{what}");
        assert_eq!(said(&ask(semel.addr, &charge(n)).await), IN_DOUBT, "{what}");
        assert_eq!(upstream.effects(), effects, "{what}");
    }
}

#[tokio::test]
async fn bytes_beyond_a_reply_are_no_part_of_it_and_of_no_other() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    upstream.next(raw(format!("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok{forged}")));
    let first = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&first).as_str(), first.text().as_str()), ("201 executed", "ok"));
    assert_eq!(ask(semel.addr, &charge(1)).await.text(), "ok");
    for n in 2..5 {
        let next = ask(semel.addr, &charge(n)).await;
        assert_eq!(next.json()["charge"], upstream.effects(), "its own reply");
    }
}

#[tokio::test]
async fn the_upstream_sees_the_derived_key_and_no_word_of_the_callers() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let forging = Request::post("/v1/charges", super::BODY)
        .key(&super::key(1))
        .bearer("caller-one")
        .header("Idempotency-Attempt", "77")
        .header("Idempotency-Attempt", "78")
        .header("Idempotency-Fence", "99999999999999")
        .header("Idempotency-Effect", "none")
        .header("Connection", "Idempotency-Key, Idempotency-Fence");
    upstream.next(reply(401, &[], ""));
    ask(semel.addr, &forging).await;
    ask(semel.addr, &forging).await;
    ask(semel.addr, &charge(2)).await;
    let seen = upstream.seen();
    let one = |n: usize, name: &str| {
        let all = seen[n].all(name);
        assert_eq!(all.len(), 1, "{name}: {all:?}");
        all[0].to_owned()
    };
    let keys: Vec<String> = (0..3).map(|n| one(n, "idempotency-key")).collect();
    assert_eq!(keys[0], keys[1], "the same at each attempt");
    assert_ne!(keys[0], keys[2]);
    for key in &keys {
        // RFC 9562 §5.8: a UUIDv8.
        assert_eq!((key.len(), key.as_bytes()[14]), (36, b'8'), "{key}");
        assert!(!key.contains("8e03978e"), "never the caller's own");
    }
    let attempts: Vec<String> = (0..3).map(|n| one(n, "idempotency-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "1"]);
    let fence = |n| one(n, "idempotency-fence").parse::<u64>().unwrap();
    assert!(fence(0) < fence(1), "{} {}", fence(0), fence(1));
    assert!(fence(1) < 99_999_999_999_999);
}
