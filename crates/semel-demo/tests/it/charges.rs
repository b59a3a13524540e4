use serde_json::json;

use crate::service::{CHARGE, FORM, JSON, Service, me};

#[tokio::test]
async fn a_form_with_brackets_charges() {
    let service = Service::start().await;
    let form = "amount=2000&currency=USD&source=tok_visa&description=a+b&metadata[order]=42+%26+more\
                &shipping[address][line1]=x&shipping[name]=n&expand[0]=customer";
    let answer = service.post("/v1/charges", FORM, form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: application/json"));
    let charge = answer.json();
    for (name, expected) in [
        ("object", json!("charge")),
        ("amount", json!(2000)),
        ("amount_captured", json!(2000)),
        ("amount_refunded", json!(0)),
        ("captured", json!(true)),
        ("currency", json!("usd")),
        ("customer", json!(null)),
        ("description", json!("a b")),
        ("livemode", json!(false)),
        ("metadata", json!({"order": "42 & more"})),
        ("paid", json!(true)),
        ("refunded", json!(false)),
        ("shipping", json!({"address": {"line1": "x"}, "name": "n"})),
        ("status", json!("succeeded")),
    ] {
        assert_eq!(charge[name], expected, "{name}");
    }
    let id = charge["id"].as_str().unwrap();
    assert!(id.starts_with("ch_"));
    assert!(charge["balance_transaction"].as_str().unwrap().starts_with("txn_"));
    assert!(charge["created"].as_u64().unwrap() > 1_700_000_000);
    let booked = service.ledger.find(&me(), id).unwrap();
    assert_eq!(booked.asked.amount, 2000);
    assert_eq!(booked.asked.metadata["order"], "42 & more");
}

#[tokio::test]
async fn json_charges_too() {
    let service = Service::start().await;
    let body = r#"{"amount":1234,"currency":"eur","customer":"cus_1","metadata":{"n":7}}"#;
    let charge = service.post("/v1/charges", JSON, body).await.json();
    assert_eq!(charge["amount"], 1234);
    assert_eq!(charge["customer"], "cus_1");
    assert_eq!(charge["metadata"], json!({"n": "7"}));
}

#[tokio::test]
async fn every_post_charges_whatever_its_key() {
    let service = Service::start().await;
    let headers = format!(
        "authorization: Bearer sk_me\r\nidempotency-key: one-key\r\ncontent-type: {FORM}\r\n"
    );
    for expected in 1..=3 {
        let answer = service.send("POST /v1/charges", &headers, CHARGE).await;
        assert_eq!(answer.status, 200);
        assert_eq!(service.times_charged(), expected);
    }
}

#[tokio::test]
async fn a_request_without_a_good_credential_charges_nobody() {
    let service = Service::start().await;
    for credential in ["", "authorization: Bearer \r\n", "authorization: Digest x\r\n"] {
        let headers = format!("{credential}content-type: {FORM}\r\n");
        let answer = service.send("POST /v1/charges", &headers, CHARGE).await;
        let expected = (401, "invalid_request_error".into(), String::new(), String::new());
        assert_eq!(answer.error(), expected);
    }
    assert_eq!(service.times_charged(), 0);
}

#[tokio::test]
async fn a_bad_request_names_its_parameter_and_charges_nobody() {
    let service = Service::start().await;
    let cases = [
        ("currency=usd&source=tok_visa", "parameter_missing", "amount"),
        ("amount=2000&source=tok_visa", "parameter_missing", "currency"),
        ("amount=2000&currency=usd", "parameter_missing", "source"),
        ("amount=0&currency=usd&source=x", "parameter_invalid_integer", "amount"),
        ("amount=-5&currency=usd&source=x", "parameter_invalid_integer", "amount"),
        ("amount=100000000&currency=usd&source=x", "parameter_invalid_integer", "amount"),
        ("amount=20.00&currency=usd&source=x", "", "amount"),
        ("amount=2000&currency=dollar&source=x", "", "currency"),
        ("amount=2000&currency=usd&source=x&customer=c", "", "source"),
        ("amount=2000&currency=usd&source=x&capture=false", "", "capture"),
        ("amount=2000&currency=usd&source=x&metadata[a][b]=1", "", "metadata[a]"),
        ("amount=2000&amount=1&currency=usd&source=x", "", ""),
    ];
    for (form, code, param) in cases {
        let answer = service.post("/v1/charges", FORM, form).await;
        let expected = (400, "invalid_request_error".into(), code.into(), param.into());
        assert_eq!(answer.error(), expected, "{form}");
    }
    let answer = service.post("/v1/charges", JSON, "[]").await;
    assert_eq!(answer.status, 400);
    let answer = service.post("/v1/charges", "text/plain", CHARGE).await;
    assert_eq!(answer.error().0, 415);
    let huge = "a".repeat(3 << 20);
    assert_eq!(service.post("/v1/charges", FORM, &huge).await.error().0, 400);
    assert_eq!(service.times_charged(), 0);
}

#[tokio::test]
async fn a_declined_card_is_not_charged() {
    let service = Service::start().await;
    let form = "amount=2000&currency=usd&source=tok_chargeDeclined";
    let answer = service.post("/v1/charges", FORM, form).await;
    let expected = (402, "card_error".into(), "card_declined".into(), String::new());
    assert_eq!(answer.error(), expected);
    assert_eq!(answer.json()["error"]["decline_code"], "generic_decline");
    assert_eq!(service.times_charged(), 0);
}
