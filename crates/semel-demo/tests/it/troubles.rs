use std::sync::Arc;
use std::time::Duration;

use semel_demo::{Kind, Stopped, Target, Trouble};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::service::{CHARGE, FORM, JSON, Service, charge_request, me, request};

#[tokio::test]
async fn a_dropped_reply_is_an_effect_and_not_one_byte() {
    let service = Service::start().await;
    service.troubles.add(Trouble::once(Kind::DropReply));
    assert_eq!(service.raw(&charge_request()).await, b"");
    assert_eq!(service.times_charged(), 1);
    // Once is once.
    service.charge(CHARGE).await;
    assert_eq!(service.times_charged(), 2);
}

#[tokio::test]
async fn a_dropped_reply_closes_a_connection_that_was_used_before() {
    let service = Service::start().await;
    let kept = String::from_utf8(charge_request()).unwrap().replace("connection: close\r\n", "");
    let mut stream = service.connect(kept.as_bytes()).await;
    let mut first = vec![0; 4096];
    assert!(stream.read(&mut first).await.unwrap() > 0);
    service.troubles.add(Trouble::once(Kind::DropReply));
    tokio::io::AsyncWriteExt::write_all(&mut stream, kept.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    service.ledger.until(|ledger| ledger.times_charged(|_| true) == 2).await;
    // What is left of the first reply, if it came in two reads, and nothing of a second.
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"));
}

#[tokio::test]
async fn a_truncated_reply_promises_its_length_and_breaks_off() {
    let service = Service::start().await;
    service.troubles.add(Trouble::once(Kind::Truncate));
    let answer = service.send("POST /v1/charges", &headers(), CHARGE).await;
    assert_eq!(answer.status, 200);
    let length = answer.head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    assert_eq!(answer.body.len(), length / 2);
    assert!(answer.body.starts_with('{'));
    assert_eq!(service.times_charged(), 1);
}

#[tokio::test]
async fn failing_before_and_after_differ_only_in_the_books() {
    let service = Service::start().await;
    let failed = (500, "api_error".to_owned(), String::new(), String::new());
    service.troubles.add(Trouble::once(Kind::FailBefore));
    assert_eq!(service.post("/v1/charges", FORM, CHARGE).await.error(), failed);
    assert_eq!(service.times_charged(), 0);
    service.troubles.add(Trouble::once(Kind::FailAfter));
    assert_eq!(service.post("/v1/charges", FORM, CHARGE).await.error(), failed);
    assert_eq!(service.times_charged(), 1);
}

#[tokio::test]
async fn trouble_strikes_refunds_and_reads_too() {
    let service = Service::start().await;
    let id = service.charge(CHARGE).await;
    service.troubles.add(Trouble { on: Target::Refunds, ..Trouble::once(Kind::DropReply) });
    let refund = request("POST /v1/refunds", &headers(), &format!("charge={id}&amount=5"));
    assert_eq!(service.raw(&refund).await, b"");
    assert_eq!(service.ledger.refunds(&me()).len(), 1);

    service.troubles.add(Trouble { on: Target::Reads, ..Trouble::once(Kind::FailBefore) });
    assert_eq!(service.get("/v1/balance").await.status, 500);
    assert_eq!(service.get("/v1/balance").await.status, 200);
}

#[tokio::test]
async fn a_refused_request_meets_no_trouble() {
    let service = Service::start().await;
    service.troubles.add(Trouble::once(Kind::DropReply));
    assert_eq!(service.post("/v1/charges", FORM, "amount=x").await.status, 400);
    assert_eq!(service.troubles.list()[0].struck, 0);
}

/// Under paused time a delay passes as soon as every task waits, so only its order can be seen.
#[tokio::test(start_paused = true)]
async fn slow_waits_before_the_effect_and_a_slow_reply_after_it() {
    let service = Service::start().await;
    let delay = Duration::from_secs(120);
    service.troubles.add(Trouble::once(Kind::Slow(delay)));
    let before = tokio::time::Instant::now();
    service.charge(CHARGE).await;
    assert!(before.elapsed() >= delay);

    service.troubles.add(Trouble::once(Kind::SlowReply(delay)));
    let before = tokio::time::Instant::now();
    let mut stream = service.connect(&charge_request()).await;
    service.ledger.until(|ledger| ledger.times_charged(|_| true) == 2).await;
    assert!(before.elapsed() < delay, "the effect did not wait");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(before.elapsed() >= delay, "the reply did");
}

#[tokio::test(start_paused = true)]
async fn the_work_goes_on_when_the_client_has_left() {
    let service = Service::start().await;
    service.troubles.add(Trouble::once(Kind::Slow(Duration::from_secs(120))));
    let stream = service.connect(&charge_request()).await;
    drop(stream);
    let charged = service.ledger.until(|ledger| ledger.times_charged(|_| true) == 1);
    tokio::time::timeout(Duration::from_secs(3600), charged).await.unwrap();
}

#[tokio::test]
async fn a_death_is_an_effect_without_a_reply_and_a_closed_port() {
    let service = Service::start().await;
    service.troubles.add(Trouble::once(Kind::Die));
    assert_eq!(service.raw(&charge_request()).await, b"");
    assert_eq!(service.times_charged(), 1);
    let address = service.address;
    assert_eq!(service.ended.await.unwrap(), Stopped::Died);
    assert!(TcpStream::connect(address).await.is_err());
}

// The clock runs: a paused one would jump over the delay while the sockets are idle.
#[tokio::test]
async fn a_death_takes_the_work_in_hand_with_it() {
    let service = Service::start().await;
    service.troubles.add(Trouble {
        metadata: [("slow".to_owned(), "1".to_owned())].into(),
        ..Trouble::once(Kind::Slow(Duration::from_secs(3600)))
    });
    let slow = request("POST /v1/charges", &headers(), &format!("{CHARGE}&metadata[slow]=1"));
    let mut waiting = service.connect(&slow).await;
    while service.troubles.list()[0].struck == 0 {
        tokio::task::yield_now().await;
    }
    service.troubles.add(Trouble::once(Kind::Die));
    assert_eq!(service.raw(&charge_request()).await, b"");
    let mut rest = Vec::new();
    waiting.read_to_end(&mut rest).await.unwrap_or_default();
    assert_eq!(rest, b"");
    assert_eq!(service.ledger.times_charged(|_| true), 1);
}

#[tokio::test]
async fn a_death_first_asks_the_binary() {
    let service = Service::start().await;
    let asked = Arc::new(Notify::new());
    let told = asked.clone();
    service.troubles.on_death(move || told.notify_one());
    service.troubles.add(Trouble::once(Kind::Die));
    assert_eq!(service.raw(&charge_request()).await, b"");
    asked.notified().await;
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_it_answers_what_it_has_in_hand() {
    let service = Service::start().await;
    let (ledger, troubles) = (service.ledger.clone(), service.troubles.clone());
    troubles.add(Trouble::once(Kind::SlowReply(Duration::from_secs(120))));
    let mut stream = service.connect(&charge_request()).await;
    let idle = service.connect(b"").await;
    ledger.until(|ledger| ledger.times_charged(|_| true) == 1).await;
    let ended = service.ask_to_stop();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(ended.await.unwrap(), Stopped::Asked);
    drop(idle);
}

#[tokio::test]
async fn the_switches_are_set_read_and_removed_over_http() {
    let service = Service::start().await;
    let set =
        r#"{"kind":"slow_reply","delay_ms":1,"times":2,"on":"charges","metadata":{"run":"1"}}"#;
    let answer = service.post("/_trouble", JSON, set).await;
    assert_eq!(answer.status, 201);
    let shown = json!({
        "id": 1, "kind": "slow_reply", "delay_ms": 1, "on": "charges",
        "metadata": {"run": "1"}, "struck": 0, "left": 2,
    });
    assert_eq!(answer.json(), shown);
    service.charge(&format!("{CHARGE}&metadata[run]=1")).await;
    let listed = service.send("GET /_trouble", "", "").await.json();
    assert_eq!((&listed[0]["struck"], &listed[0]["left"]), (&json!(1), &json!(1)));

    for kind in ["fail_before", "fail_after", "drop_reply", "truncate", "die"] {
        let set = format!(r#"{{"kind":"{kind}","standing":true}}"#);
        let shown = service.post("/_trouble", JSON, &set).await.json();
        assert_eq!((&shown["kind"], &shown["left"]), (&json!(kind), &json!(null)));
    }
    assert_eq!(service.send("DELETE /_trouble/1", "", "").await.status, 204);
    assert_eq!(service.send("DELETE /_trouble/1", "", "").await.error().0, 404);
    assert_eq!(service.troubles.list().len(), 5);
    assert_eq!(service.send("DELETE /_trouble", "", "").await.status, 204);
    assert!(service.troubles.list().is_empty());
}

#[tokio::test]
async fn a_switch_that_cannot_be_meant_is_refused() {
    let service = Service::start().await;
    for body in [
        "{}",
        r#"{"kind":"explode"}"#,
        r#"{"kind":"slow"}"#,
        r#"{"kind":"slow","delay_ms":600001}"#,
        r#"{"kind":"die","delay_ms":5}"#,
        r#"{"kind":"die","times":2,"standing":true}"#,
        r#"{"kind":"die","tmies":2}"#,
    ] {
        assert_eq!(service.post("/_trouble", JSON, body).await.error().0, 400, "{body}");
    }
    // A form, which a page of another origin could post unasked.
    assert_eq!(service.post("/_trouble", FORM, r#"{"kind":"die"}"#).await.error().0, 400);
    assert!(service.troubles.list().is_empty());
}

fn headers() -> String {
    format!("authorization: Bearer sk_me\r\ncontent-type: {FORM}\r\n")
}
