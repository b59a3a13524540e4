//! The objects that the service answers with, in the shape that the SDKs decode.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::charge::{Charge, Currency, Payer, Refund};

/// A reply with a JSON body.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response {
    let media_type = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, media_type)], body.to_string()).into_response()
}

pub(crate) fn charge(charge: &Charge) -> Value {
    let asked = &charge.asked;
    let customer = match &asked.payer {
        Payer::Source(_) => None,
        Payer::Customer(customer) => Some(customer),
    };
    json!({
        "id": charge.id,
        "object": "charge",
        "amount": asked.amount,
        "amount_captured": asked.amount,
        "amount_refunded": charge.amount_refunded,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": charge.id.replacen("ch_", "txn_", 1),
        "billing_details": {"address": null, "email": null, "name": null, "phone": null, "tax_id": null},
        "calculated_statement_descriptor": "SEMEL DEMO",
        "captured": true,
        "created": charge.created,
        "currency": asked.currency.to_string(),
        "customer": customer,
        "description": asked.description,
        "disputed": false,
        "failure_code": null,
        "failure_message": null,
        "fraud_details": {},
        "livemode": false,
        "metadata": asked.metadata,
        "on_behalf_of": null,
        "outcome": {
            "network_status": "approved_by_network", "reason": null,
            "seller_message": "Payment complete.", "type": "authorized",
        },
        "paid": true,
        "payment_intent": null,
        "payment_method": null,
        "payment_method_details": null,
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": null,
        "refunded": charge.left() == 0,
        "review": null,
        "shipping": asked.shipping,
        "source": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": "succeeded",
        "transfer_data": null,
        "transfer_group": null,
    })
}

pub(crate) fn refund(refund: &Refund) -> Value {
    json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": refund.id.replacen("re_", "txn_", 1),
        "charge": refund.charge,
        "created": refund.created,
        "currency": refund.currency.to_string(),
        "metadata": refund.metadata,
        "payment_intent": null,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": "succeeded",
        "transfer_reversal": null,
    })
}

pub(crate) fn list(url: &str, data: &[Value], has_more: bool) -> Value {
    json!({"object": "list", "data": data, "has_more": has_more, "url": url})
}

pub(crate) fn balance(balance: &BTreeMap<Currency, i64>) -> Value {
    let available: Vec<Value> = balance
        .iter()
        .map(|(currency, amount)| {
            let currency = currency.to_string();
            json!({"amount": amount, "currency": currency, "source_types": {"card": amount}})
        })
        .collect();
    json!({"object": "balance", "available": available, "livemode": false, "pending": []})
}
