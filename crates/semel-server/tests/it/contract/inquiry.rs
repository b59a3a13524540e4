//! The reserved path: what the API promises, and where a key stands.

use super::{INQUIRY, about, charge, key, said};
use crate::harness::Gate;
use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::{Semel, serve};
use crate::harness::upstream::{Act, Upstream, after, reply};

async fn known(semel: &Semel, n: u32) -> serde_json::Value {
    let reply = ask(semel.addr, &about("GET", n)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.json()
}

fn members(told: &serde_json::Value) -> Vec<&str> {
    told.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_promise_can_be_read_before_the_first_write() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr)
        .arg("--retention", "1h")
        .arg("--memory", "forever")
        .arg("--service", "payments")
        .start()
        .await;
    // No key and no principal are needed.
    let told = ask(semel.addr, &Request::get("/.well-known/idempotency")).await.json();
    assert_eq!((&told["service"], &told["inquiry"]), (&"payments".into(), &INQUIRY.into()));
    let route = &told["routes"][0];
    assert_eq!(route["methods"], serde_json::json!(["POST", "PATCH"]));
    assert_eq!(route["key_in"], serde_json::json!({ "header": "idempotency-key" }));
    assert_eq!((&route["key"], &route["principal"]), (&"optional".into(), &"authorization".into()));
    assert_eq!((&route["retention"], &route["memory"]), (&3600.into(), &"forever".into()));
    let promise = route["promise"].as_str().unwrap();
    assert!(promise.contains("until restart"), "the store is in memory: {promise}");
    assert_eq!(
        route["assumptions"][0],
        "a reply with status 401 or 429 is given only before anything happens"
    );
    assert_eq!(
        route["assumptions"][1],
        "the gRPC status PERMISSION_DENIED or RESOURCE_EXHAUSTED or UNAUTHENTICATED is given only before anything happens"
    );
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn each_state_is_told_in_a_word_without_running_or_showing_anything() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let absent = known(&semel, 1).await;
    assert_eq!((&absent["state"], &absent["effect"]), (&"absent".into(), &"none".into()));
    assert_eq!(members(&absent), ["effect", "state"]);

    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "a secret reply")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    let in_flight = known(&semel, 1).await;
    assert_eq!(
        (&in_flight["state"], &in_flight["effect"]),
        (&"in-flight".into(), &"unknown".into())
    );
    assert_eq!(in_flight["attempt"], 1);
    gate.open();
    first.reply("POST").await.unwrap();
    let completed = known(&semel, 1).await;
    assert_eq!((&completed["state"], &completed["effect"]), (&"completed".into(), &"done".into()));
    assert_eq!((&completed["attempt"], &completed["status"]), (&1.into(), &201.into()));
    assert!(completed["retention"].as_u64().is_some_and(|s| s > 86_000 && s <= 86_400));
    assert!(completed["memory"].as_u64().is_some_and(|s| s > 2_591_000 && s <= 2_592_000));
    assert!(!completed.to_string().contains("secret reply"));
    assert!(!completed.to_string().contains(&key(1)), "the key is never repeated");

    upstream.next(vec![Act::Reset]);
    ask(semel.addr, &charge(2)).await;
    let in_doubt = known(&semel, 2).await;
    assert_eq!((&in_doubt["state"], &in_doubt["effect"]), (&"in-doubt".into(), &"unknown".into()));
    assert_eq!(
        (in_doubt.get("status"), in_doubt.get("retention")),
        (None, None),
        "kept without limit"
    );

    upstream.next(reply(429, &[], ""));
    ask(semel.addr, &charge(3)).await;
    assert_eq!(known(&semel, 3).await, absent, "released is absent");

    ask(semel.addr, &about("POST", 1)).await;
    let spent = known(&semel, 1).await;
    assert_eq!(
        (&spent["state"], &spent["effect"], &spent["status"]),
        (&"spent".into(), &"done".into(), &201.into())
    );

    ask(semel.addr, &about("DELETE", 4)).await;
    let void = known(&semel, 4).await;
    assert_eq!((&void["state"], &void["effect"]), (&"void".into(), &"none".into()));
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn another_callers_key_looks_exactly_like_an_unknown_one() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    ask(semel.addr, &charge(1)).await;
    let stranger = |method: &str, n| about(method, n).bearer("somebody-else");
    let untimed = |mut reply: crate::harness::client::Reply| {
        reply.headers.retain(|(name, _)| name != "date");
        reply
    };
    for method in ["GET", "POST"] {
        let of_another = untimed(ask(semel.addr, &stranger(method, 1)).await);
        let unknown = untimed(ask(semel.addr, &stranger(method, 2)).await);
        assert_eq!(of_another, unknown, "{method}");
    }
    // A void in another scope is another key's.
    assert_eq!(ask(semel.addr, &stranger("DELETE", 1)).await.status, 200);
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 replayed");
}

#[tokio::test]
async fn an_inquiry_needs_a_key_and_a_principal_as_any_keyed_request_does() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let rows = [
        (Request::get(INQUIRY).bearer("caller-one"), "400 refused SEM-0101 unknown not-run never"),
        (about("GET", 1).key("one, two"), "400 refused SEM-0102 unknown not-run never"),
        (Request::get(INQUIRY).key(&key(1)), "400 refused SEM-0105 unknown not-run never"),
        (
            Request::get(INQUIRY).key(&key(1)).header("Authorization", "Digest a=\"b\""),
            "400 refused SEM-0106 unknown not-run never",
        ),
        (about("PUT", 1), "405 refused SEM-0110 unknown not-run never"),
        (
            Request::get(&format!("{INQUIRY}/{}", key(1))).bearer("caller-one"),
            "404 refused SEM-0109 unknown not-run never",
        ),
        (
            Request::get("/.well-known/idempotency/nothing"),
            "404 refused SEM-0109 unknown not-run never",
        ),
        (
            Request::new("POST", "/.well-known/idempotency"),
            "405 refused SEM-0110 unknown not-run never",
        ),
    ];
    for (request, row) in rows {
        let reply = ask(semel.addr, &request).await;
        assert_eq!(said(&reply), row, "{} {}", request.method, request.target);
        assert!(reply.status != 405 || reply.header("allow").is_some(), "RFC 9110 §15.5.6");
    }
    assert_eq!(upstream.effects(), 0, "the reserved path is never passed on");
    // Its neighbours are the upstream's.
    for target in ["/.well-known/idempotency-x", "/.well-known", "/x/.well-known/idempotency/key"] {
        assert_eq!(ask(semel.addr, &Request::get(target)).await.status, 201, "{target}");
    }
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn the_type_of_each_problem_leads_to_its_text() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let refused = ask(semel.addr, &charge(1).key("")).await.json();
    let page = ask(semel.addr, &Request::get(refused["type"].as_str().unwrap())).await;
    assert_eq!(page.status, 200);
    assert!(page.text().starts_with("SEM-0102 "), "{}", page.text());
    assert_eq!(upstream.effects(), 0);
}
