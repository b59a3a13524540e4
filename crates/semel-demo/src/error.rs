//! Every refusal, and the error object that the SDKs decode: `{error: {type, code, message, param}}`.
//!
//! The service says no more than a payment service would: nothing here speaks of idempotency.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::form::FormError;
use crate::ledger::LedgerError;
use crate::reply;

/// Why a request was answered with an error object.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum ApiError {
    #[error(
        "You did not provide an API key. Send it in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
    )]
    CredentialMissing,
    #[error("Invalid API key. This service takes any key, as 'Authorization: Bearer KEY'.")]
    CredentialInvalid,
    #[error("The body must be application/x-www-form-urlencoded or application/json.")]
    MediaType,
    #[error("The body is not a JSON object: {0}")]
    Json(String),
    #[error("The form cannot be read: {0}")]
    Form(#[from] FormError),
    #[error("The body did not arrive whole, or is too large.")]
    Body,
    #[error("Missing required param: {0}.")]
    ParamMissing(&'static str),
    #[error("Invalid {param}: {wants}.")]
    ParamInvalid { param: String, wants: &'static str },
    #[error("Received unknown parameter: {0}")]
    ParamUnknown(String),
    #[error("Your card was declined.")]
    CardDeclined,
    #[error("{error}")]
    Ledger { param: &'static str, error: LedgerError },
    #[error("Unrecognized request URL ({method}: {path}).")]
    NoSuchRoute { method: String, path: String },
    #[error("No such trouble: {0}.")]
    NoSuchTrouble(u64),
    #[error("Trouble is switched on: this request failed before it charged or refunded anything.")]
    FailedBefore,
    #[error("Trouble is switched on: this request failed after it had its effect.")]
    FailedAfter,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::CredentialMissing | Self::CredentialInvalid => StatusCode::UNAUTHORIZED,
            Self::CardDeclined => StatusCode::PAYMENT_REQUIRED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Ledger { error: LedgerError::NoSuchCharge(_), .. }
            | Self::NoSuchRoute { .. }
            | Self::NoSuchTrouble(_) => StatusCode::NOT_FOUND,
            Self::FailedBefore | Self::FailedAfter => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::CardDeclined => "card_error",
            Self::FailedBefore | Self::FailedAfter => "api_error",
            _ => "invalid_request_error",
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::CardDeclined => Some("card_declined"),
            Self::ParamMissing(_) => Some("parameter_missing"),
            Self::ParamUnknown(_) => Some("parameter_unknown"),
            Self::Ledger { error, .. } => match error {
                LedgerError::NoSuchCharge(_) => Some("resource_missing"),
                LedgerError::AlreadyRefunded(_) => Some("charge_already_refunded"),
                LedgerError::AmountOutOfRange(_) => Some("parameter_invalid_integer"),
                LedgerError::RefundTooLarge { .. } => None,
            },
            _ => None,
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::ParamMissing(param) | Self::Ledger { param, .. } => Some(param),
            Self::ParamInvalid { param, .. } | Self::ParamUnknown(param) => Some(param),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = Map::new();
        error.insert("type".into(), self.kind().into());
        error.insert("message".into(), self.to_string().into());
        if let Some(code) = self.code() {
            error.insert("code".into(), code.into());
        }
        if let Some(param) = self.param() {
            error.insert("param".into(), param.into());
        }
        if matches!(self, Self::CardDeclined) {
            error.insert("decline_code".into(), "generic_decline".into());
        }
        let body = Value::Object(Map::from_iter([("error".into(), Value::Object(error))]));
        reply::json(self.status(), &body)
    }
}
