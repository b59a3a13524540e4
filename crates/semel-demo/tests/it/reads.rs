use serde_json::{Value, json};

use crate::service::{CHARGE, FORM, Service};

fn ids(list: &Value) -> Vec<&str> {
    assert_eq!(list["object"], "list");
    assert_eq!(list["url"], "/v1/charges");
    list["data"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn charges_are_listed_newest_first_page_by_page() {
    let service = Service::start().await;
    let empty = service.get("/v1/charges").await.json();
    assert_eq!((ids(&empty), &empty["has_more"]), (vec![], &json!(false)));

    let mut made = Vec::new();
    for _ in 0..12 {
        made.insert(0, service.charge(CHARGE).await);
    }
    let list = service.get("/v1/charges").await.json();
    assert_eq!(
        (ids(&list), &list["has_more"]),
        (made[..10].iter().map(String::as_str).collect(), &json!(true))
    );
    let list = service.get("/v1/charges?limit=3").await.json();
    assert_eq!(ids(&list), made[..3]);
    let list = service.get(&format!("/v1/charges?limit=9&starting_after={}", made[2])).await.json();
    assert_eq!(
        (ids(&list), &list["has_more"]),
        (made[3..].iter().map(String::as_str).collect(), &json!(false))
    );
}

#[tokio::test]
async fn a_list_that_cannot_be_meant_is_refused() {
    let service = Service::start().await;
    for (query, status, code, param) in [
        ("limit=0", 400, "", "limit"),
        ("limit=101", 400, "", "limit"),
        ("limit=x", 400, "", "limit"),
        ("starting_after=ch_none", 404, "resource_missing", "starting_after"),
        ("idempotncy_key=x", 400, "parameter_unknown", "idempotncy_key"),
    ] {
        let answer = service.get(&format!("/v1/charges?{query}")).await;
        let expected = (status, "invalid_request_error".into(), code.into(), param.into());
        assert_eq!(answer.error(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_charge_is_found_by_the_key_that_the_service_saw() {
    let service = Service::start().await;
    let keyed = |key: &str| {
        format!("authorization: Bearer sk_me\r\nidempotency-key: {key}\r\ncontent-type: {FORM}\r\n")
    };
    let one = service.send("POST /v1/charges", &keyed("key-1"), CHARGE).await.json();
    let two = service.send("POST /v1/charges", &keyed("\"key-2\""), CHARGE).await.json();
    service.charge(CHARGE).await;

    for (query, expected) in [("key-1", &one), ("key-2", &two), ("%22key-2%22", &two)] {
        let found = service.get(&format!("/v1/charges?idempotency_key={query}")).await.json();
        assert_eq!(found["data"], json!([expected]), "{query}");
    }
    let none = service.get("/v1/charges?idempotency_key=key-3").await.json();
    assert!(ids(&none).is_empty());
}

#[tokio::test]
async fn one_charge_is_shown_to_its_owner_alone() {
    let service = Service::start().await;
    let id = service.charge(CHARGE).await;
    let path = format!("/v1/charges/{id}");
    assert_eq!(service.get(&path).await.json()["id"], id.as_str());

    let expected = (404, "invalid_request_error".into(), "resource_missing".into(), "id".into());
    let other = format!("GET {path}");
    for headers in [
        "authorization: Bearer sk_you\r\n",
        "authorization: Bearer sk_me\r\nstripe-account: acct_1\r\n",
    ] {
        assert_eq!(service.send(&other, headers, "").await.error(), expected);
    }
    assert_eq!(service.get("/v1/charges/ch_none").await.error(), expected);
    for path in ["/v1/charges", &path, "/v1/balance"] {
        assert_eq!(service.send(&format!("GET {path}"), "", "").await.error().0, 401, "{path}");
    }
}

#[tokio::test]
async fn the_balance_is_charges_less_refunds_by_currency() {
    let service = Service::start().await;
    let id = service.charge("amount=2000&currency=usd&source=x").await;
    service.charge("amount=300&currency=eur&source=x").await;
    service.post("/v1/refunds", FORM, &format!("charge={id}&amount=150")).await;
    let balance = service.get("/v1/balance").await.json();
    assert_eq!(balance["object"], "balance");
    let amounts: Vec<(&Value, &Value)> = balance["available"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (&a["currency"], &a["amount"]))
        .collect();
    assert_eq!(amounts, [(&json!("eur"), &json!(300)), (&json!("usd"), &json!(1850))]);
}

#[tokio::test]
async fn an_unknown_route_or_method_gets_an_error_object() {
    let service = Service::start().await;
    assert_eq!(service.get("/v1/nothing").await.error().0, 404);
    assert_eq!(service.send("DELETE /v1/charges", "", "").await.error().0, 404);
}
