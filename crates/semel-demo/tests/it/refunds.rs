use crate::service::{CHARGE, FORM, JSON, Service, me};

#[tokio::test]
async fn a_charge_goes_back_in_parts_and_no_further() {
    let service = Service::start().await;
    let id = service.charge(CHARGE).await;

    let form = format!("charge={id}&amount=500&reason=duplicate&metadata[a]=b");
    let refund = service.post("/v1/refunds", FORM, &form).await.json();
    assert_eq!(refund["object"], "refund");
    assert_eq!(refund["amount"], 500);
    assert_eq!(refund["charge"], id.as_str());
    assert_eq!(refund["currency"], "usd");
    assert_eq!(refund["reason"], "duplicate");
    assert_eq!(refund["metadata"]["a"], "b");
    assert_eq!(refund["status"], "succeeded");
    let charge = service.get(&format!("/v1/charges/{id}")).await.json();
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&500.into(), &false.into()));

    let too_much = format!(r#"{{"charge":"{id}","amount":1501}}"#);
    let answer = service.post("/v1/refunds", JSON, &too_much).await;
    let expected = (400, "invalid_request_error".into(), String::new(), "amount".into());
    assert_eq!(answer.error(), expected);

    let rest = service.post("/v1/refunds", JSON, &format!(r#"{{"charge":"{id}"}}"#)).await.json();
    assert_eq!(rest["amount"], 1500);
    let charge = service.get(&format!("/v1/charges/{id}")).await.json();
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&2000.into(), &true.into()));

    let again = service.post("/v1/refunds", FORM, &format!("charge={id}")).await;
    assert_eq!(again.error().2, "charge_already_refunded");
    assert_eq!(service.ledger.refunds(&me()).len(), 2);
}

#[tokio::test]
async fn what_cannot_be_refunded_is_named() {
    let service = Service::start().await;
    let id = service.charge(CHARGE).await;
    let missing = service.post("/v1/refunds", FORM, "charge=ch_none").await;
    let expected = |status, code: &str, param: &str| {
        (status, "invalid_request_error".to_owned(), code.to_owned(), param.to_owned())
    };
    assert_eq!(missing.error(), expected(404, "resource_missing", "charge"));
    let nothing = service.post("/v1/refunds", FORM, "amount=5").await;
    assert_eq!(nothing.error(), expected(400, "parameter_missing", "charge"));
    let zero = service.post("/v1/refunds", FORM, &format!("charge={id}&amount=0")).await;
    assert_eq!(zero.error(), expected(400, "parameter_invalid_integer", "amount"));

    let headers = format!("authorization: Bearer sk_you\r\ncontent-type: {FORM}\r\n");
    let foreign = service.send("POST /v1/refunds", &headers, &format!("charge={id}")).await;
    assert_eq!(foreign.error(), expected(404, "resource_missing", "charge"));
    assert!(service.ledger.refunds(&me()).is_empty());
}
