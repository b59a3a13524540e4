//! Refusals of the admin API, as problem details (RFC 9457).

use http::StatusCode;
use semel::core::StoreError;
use serde_json::{Value, json};

/// An answer: a status and what is told.
pub(super) type Told = (StatusCode, Value);

/// A refusal. `detail` says what was wrong, and what to do.
pub(super) fn refused(status: StatusCode, detail: impl Into<String>) -> Told {
    let title = status.canonical_reason().unwrap_or("Refused");
    let problem = json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail.into(),
    });
    (status, problem)
}

/// Whether this is told as a problem: nothing else has a `type`.
pub(super) fn is_problem(told: &Value) -> bool {
    told.get("type").is_some()
}

/// The store gave no answer, so nothing can be told.
pub(super) fn store_failed(error: &StoreError) -> Told {
    refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
