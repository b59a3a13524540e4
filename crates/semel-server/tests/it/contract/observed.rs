//! A route that only observes: everything runs, and what enforcing would have answered is counted.

use super::{BODY, charge, key, said};
use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::{Semel, serve};
use crate::harness::upstream::{Upstream, after, reply};
use crate::harness::{Gate, eventually};

const FILE: &str = "[defaults]\nmode = \"observe\"\nrequired = \"required\"\nweak = \"reject\"
body_max = \"1KiB\"\n[[route]]\npath = \"/enforced\"\nmode = \"enforce\"\n";

async fn counted(semel: &Semel, would: &str, times: u32) {
    let line = format!("semel_observed_total{{would=\"{would}\"}} {times}");
    eventually(&line, || async {
        let asked = Request::get("/metrics").set("Host", "127.0.0.1");
        let metrics = ask(semel.admin, &asked).await.text();
        metrics.lines().any(|told| told == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_is_refused_delayed_or_failed_and_all_of_it_counted() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 ignored");
    counted(&semel, "executed", 1).await;
    // The same again runs again: a retry is known, and not answered from the record.
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 ignored");
    counted(&semel, "replayed", 1).await;
    assert_eq!(said(&ask(semel.addr, &charge(1).body("{}")).await), "201 ignored");
    counted(&semel, "mismatch", 1).await;
    for (n, refused) in [
        (1, Request::post("/v1/charges", BODY)),
        (2, Request::post("/v1/charges", BODY).key(&key(2))),
        (3, charge(3).key("7")),
        (4, charge(3).key("")),
        (5, charge(4).set("Content-Type", "text/plain").body("x".repeat(2000))),
    ] {
        assert_eq!(ask(semel.addr, &refused).await.status, 201, "{:?}", refused.headers);
        counted(&semel, "refused", n).await;
    }
    upstream.next(reply(429, &[], ""));
    assert_eq!(said(&ask(semel.addr, &charge(5)).await), "429 ignored");
    counted(&semel, "released", 1).await;
    upstream.next(reply(503, &[], ""));
    assert_eq!(said(&ask(semel.addr, &charge(6)).await), "503 ignored");
    counted(&semel, "in-doubt", 1).await;
    assert_eq!(upstream.effects(), 10);
    for seen in upstream.seen() {
        let own = ["idempotency-attempt", "idempotency-fence"].map(|name| seen.header(name));
        assert_eq!(own, [None, None], "as if Semel were not there");
    }
    let caller = &upstream.seen()[0];
    assert_eq!(caller.header("idempotency-key"), Some(key(1).as_str()));
    let published = ask(semel.addr, &Request::get("/.well-known/idempotency")).await.json();
    let promise = published["routes"][1]["promise"].as_str().unwrap();
    assert!(promise.starts_with("none: keys are observed"), "{promise}");
}

#[tokio::test]
async fn a_duplicate_in_flight_does_not_wait_and_enforcing_begins_empty() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "first")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 ignored");
    counted(&semel, "in-flight", 1).await;
    gate.open();
    assert_eq!(said(&first.reply("POST").await.unwrap()), "201 ignored");
    counted(&semel, "executed", 1).await;
    let enforced = Request { target: "/enforced".to_owned(), ..charge(1) };
    assert_eq!(said(&ask(semel.addr, &enforced).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &enforced).await), "201 replayed");
    assert_eq!(upstream.effects(), 3);
}
