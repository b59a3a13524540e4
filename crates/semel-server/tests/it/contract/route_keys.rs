//! What a route of the file asks of a key: whether, where, on which methods, and what it looks like.

use super::{BODY, REUSED, charge, key, said};
use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::Upstream;

const MISSING: &str = "400 refused SEM-0101 unknown not-run never";
const MALFORMED: &str = "400 refused SEM-0102 unknown not-run never";
const WEAK: &str = "400 refused SEM-0103 unknown not-run never";
const UUID: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn to(path: &str) -> Request {
    Request::post(path, BODY).bearer("caller-one")
}

#[tokio::test]
async fn a_missing_key_is_refused_where_it_is_required_and_nowhere_else() {
    let upstream = Upstream::start().await;
    let file =
        "[defaults]\nrequired = \"required\"\n[[route]]\npath = \"/open\"\nrequired = \"optional\"
[[route]]\npath = \"/off\"\nrequired = \"off\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let refused = ask(semel.addr, &to("/v1/charges")).await;
    assert_eq!(said(&refused), MISSING);
    assert!(
        refused.text().contains("`idempotency-key`"),
        "where it is expected: {}",
        refused.text()
    );
    assert_eq!(said(&ask(semel.addr, &to("/v1/charges").key(&key(1))).await), "201 executed");
    // A method on which keys do not count needs none.
    assert_eq!(ask(semel.addr, &Request::get("/v1/charges")).await.status, 201);
    assert_eq!(said(&ask(semel.addr, &to("/open")).await), "201 -");
    for _ in 0..2 {
        let ignored = ask(semel.addr, &to("/off").key("?? \"no key, too")).await;
        assert_eq!(said(&ignored), "201 ignored");
    }
    assert_eq!((upstream.effects_at("/off"), upstream.effects()), (2, 5));
}

#[tokio::test]
async fn a_weak_key_is_refused_where_the_route_says_so() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/strict\"\nweak = \"reject\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    for (weak, reason) in
        [("1774872000", "clock"), ("000000000042", "counter"), ("order-7", "few-bits")]
    {
        let refused = ask(semel.addr, &to("/strict").key(weak)).await;
        assert_eq!(said(&refused), WEAK, "{weak}");
        assert_eq!(refused.json()["weakness"], reason);
        assert!(!refused.text().contains(weak), "a key is never repeated: {}", refused.text());
        let warned = ask(semel.addr, &to("/other").key(weak)).await;
        assert_eq!(said(&warned), "201 executed");
        let warning = format!("key-weak;reason={reason}");
        assert_eq!(warned.header("idempotency-warning"), Some(warning.as_str()));
    }
    assert_eq!(said(&ask(semel.addr, &to("/strict").key(&key(1))).await), "201 executed");
    assert_eq!((upstream.effects_at("/strict"), upstream.effects()), (1, 4));
}

#[tokio::test]
async fn of_a_uuid_letter_case_does_not_count_and_nothing_else_is_a_key() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/uuid\"\nkey_format = \"uuid\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let upper = UUID.to_ascii_uppercase();
    assert_eq!(said(&ask(semel.addr, &to("/uuid").key(UUID)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &to("/uuid").key(&upper)).await), "201 replayed");
    let quoted = format!("\"{upper}\"");
    assert_eq!(said(&ask(semel.addr, &to("/uuid").key(&quoted)).await), "201 replayed");
    for other in ["order-7-Zk93JsT0qLx2", "{8e03978e-40d5-43dd-bc93-6894a57f9324}"] {
        assert_eq!(said(&ask(semel.addr, &to("/uuid").key(other)).await), MALFORMED, "{other}");
    }
    // Elsewhere keys are compared byte for byte: two keys.
    let other = UUID.replace("8e03", "8e04");
    let upper = other.to_ascii_uppercase();
    assert_eq!(said(&ask(semel.addr, &to("/any").key(&other)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &to("/any").key(&upper)).await), "201 executed");
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn a_key_in_another_header_counts_and_its_caller_stays_unknown_upstream() {
    let upstream = Upstream::start().await;
    let file =
        "[[route]]\npath = \"/x\"\nkey_in = \"header:X-Request-Key\"\nrequired = \"required\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let request = to("/x").header("X-Request-Key", &key(1));
    assert_eq!(said(&ask(semel.addr, &request).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &request).await), "201 replayed");
    assert_eq!(said(&ask(semel.addr, &request.clone().body("{}")).await), REUSED);
    let refused = ask(semel.addr, &to("/x").key(&key(1))).await;
    assert_eq!(said(&refused), MISSING);
    assert!(refused.text().contains("`x-request-key`"), "{}", refused.text());
    let seen = &upstream.seen()[0];
    let derived = seen.header("idempotency-key").unwrap();
    assert_eq!(seen.all("x-request-key"), [derived], "the upstream finds it where it looks");
    assert!(!derived.contains("8e03978e"), "never the caller's own");
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_key_in_the_body_counts_by_its_pointer() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/b\"\nkey_in = \"body:/meta/key\"\nrequired = \"required\"
fingerprint.exclude = [\"/sent_at\"]\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let body = |key: &str, rest: &str| format!("{{\"meta\":{{\"key\":\"{key}\"}}{rest}}}");
    let with = |text: String| to("/b").body(text);
    let first = with(body(&key(1), ",\"amount\":1,\"sent_at\":1"));
    assert_eq!(said(&ask(semel.addr, &first).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &first).await), "201 replayed");
    let later = with(body(&key(1), ",\"amount\":1,\"sent_at\":2"));
    assert_eq!(said(&ask(semel.addr, &later).await), "201 replayed");
    let other = with(body(&key(1), ",\"amount\":2"));
    assert_eq!(said(&ask(semel.addr, &other).await), REUSED);
    let missing = ask(semel.addr, &with("{\"amount\":1}".to_owned())).await;
    assert_eq!(said(&missing), MISSING);
    assert!(missing.text().contains("`/meta/key`"), "{}", missing.text());
    for unreadable in ["{\"meta\":{\"key\":7}}", "{\"meta\":", "{\"meta\":{\"key\":\"\"}}"] {
        let refused = ask(semel.addr, &with(unreadable.to_owned())).await;
        assert_eq!(said(&refused), MALFORMED, "{unreadable}");
    }
    // The key header says nothing here, and the body goes on as it came.
    assert_eq!(said(&ask(semel.addr, &first.clone().key(&key(9))).await), "201 replayed");
    assert_eq!(upstream.seen()[0].body, first.body);
    // An inquiry carries the key in the usual header.
    let state = ask(semel.addr, &super::about("GET", 1)).await.json();
    assert_eq!((&state["state"], upstream.effects()), (&"completed".into(), 1));
}

#[tokio::test]
async fn put_and_delete_count_where_the_route_lists_them() {
    let upstream = Upstream::start().await;
    let file =
        "[[route]]\npath = \"/opt\"\nmethods = [\"PUT\", \"DELETE\"]\n[[route]]\npath = \"/some\"
match_methods = [\"PUT\"]\nmethods = [\"PUT\"]\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let send = |method: &str, path: &str, n: u32| Request {
        method: method.to_owned(),
        target: path.to_owned(),
        ..charge(n)
    };
    for (method, n) in [("PUT", 1), ("DELETE", 2)] {
        let request = send(method, "/opt", n);
        assert_eq!(said(&ask(semel.addr, &request).await), "201 executed", "{method}");
        assert_eq!(said(&ask(semel.addr, &request).await), "201 replayed", "{method}");
    }
    for request in [send("POST", "/opt", 3), send("PUT", "/other", 4), send("DELETE", "/some", 5)] {
        assert_eq!(said(&ask(semel.addr, &request).await), "201 ignored", "{}", request.target);
    }
    // What a route does not match falls under the defaults.
    assert_eq!(said(&ask(semel.addr, &send("PUT", "/some", 6)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &send("POST", "/some/more", 7)).await), "201 executed");
    assert_eq!(upstream.effects(), 7);
}

#[tokio::test]
async fn the_first_route_that_matches_decides_by_whole_segments() {
    let upstream = Upstream::start().await;
    let file =
        "[[route]]\npath = \"/v1/charges\"\nmatch_methods = [\"POST\"]\nrequired = \"required\"
[[route]]\npath = \"/v1\"\nrequired = \"off\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    for path in ["/v1/charges", "/v1/charges/7/capture", "/v1/charges?expand=a"] {
        assert_eq!(said(&ask(semel.addr, &to(path)).await), MISSING, "{path}");
    }
    for path in ["/v1/chargesheet", "/v1", "/v1/refunds"] {
        assert_eq!(said(&ask(semel.addr, &to(path).key(&key(1))).await), "201 ignored", "{path}");
    }
    assert_eq!(said(&ask(semel.addr, &to("/v2").key(&key(1))).await), "201 executed");
}
