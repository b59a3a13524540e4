//! What is answered in place of a run or a replay (RFC 9457).

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use crate::sample::app::whole;
use crate::sample::{AppBody, Flaw};

/// Why a request is neither run nor answered from a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Unauthenticated,
    Malformed(&'static str),
    PreconditionRequired,
    Mismatch {
        /// What a protection that leaks shows of the record.
        leaked: Option<String>,
    },
    InFlight,
    InDoubt,
    Spent,
    TooOld,
    /// The store is in trouble, and nothing ran.
    Unavailable,
    /// The operation ran, and its outcome is not written down yet.
    NotRecorded,
    /// What a broken protection says where it should know better.
    Failed(StatusCode),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::Mismatch { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InFlight | Self::InDoubt => StatusCode::CONFLICT,
            Self::Spent | Self::TooOld => StatusCode::GONE,
            Self::Unavailable | Self::NotRecorded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(status) => *status,
        }
    }

    /// A short name, and what a caller should know and do.
    fn says(&self) -> (&'static str, String) {
        match self {
            Self::Unauthenticated => {
                ("unauthenticated", "Send `Authorization: Bearer ACCOUNT`.".to_owned())
            }
            Self::Malformed(what) => ("key-malformed", format!("No key can be read: {what}.")),
            Self::PreconditionRequired => {
                ("precondition-required", "Say with If-Match which version you change.".to_owned())
            }
            Self::Mismatch { leaked } => {
                let also = leaked.as_ref().map(|what| format!(" It answered: {what}"));
                let what = "This key belongs to another request; use a new one for this.";
                ("key-reused", format!("{what}{}", also.unwrap_or_default()))
            }
            Self::InFlight => {
                ("in-flight", "The operation is running; try again with this key.".to_owned())
            }
            Self::InDoubt => (
                "in-doubt",
                "Whether the operation happened is not known; it is not run again.".to_owned(),
            ),
            Self::Spent => {
                ("key-spent", "This key was used, and its reply is no longer kept.".to_owned())
            }
            Self::TooOld => ("key-too-old", "This key is older than what is known.".to_owned()),
            Self::Failed(_) => ("failed", "The operation failed.".to_owned()),
            Self::Unavailable => (
                "store-unavailable",
                "Nothing ran, for it could not be protected; try again with this key.".to_owned(),
            ),
            Self::NotRecorded => (
                "not-recorded",
                "The operation ran and is not written down yet; try again with this key."
                    .to_owned(),
            ),
        }
    }

    /// As a reply.
    pub(super) fn reply(&self, flaw: Option<Flaw>) -> Response<AppBody> {
        let status = match (self, flaw) {
            (Self::Mismatch { .. }, Some(Flaw::MismatchAs409)) => StatusCode::CONFLICT,
            _ => self.status(),
        };
        let (code, detail) = self.says();
        let problem = json!({
            "type": format!("urn:sample:problem:{code}"),
            "title": code,
            "status": status.as_u16(),
            "detail": detail,
        });
        let mut reply = match flaw {
            Some(Flaw::PlainErrors) => whole(status, "text/plain", detail),
            _ => whole(status, "application/problem+json", problem.to_string()),
        };
        let soon = matches!(self, Self::InFlight | Self::Unavailable | Self::NotRecorded);
        if soon && flaw != Some(Flaw::NoRetryAfter) {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if *self == Self::Unauthenticated {
            let scheme = HeaderValue::from_static("Bearer");
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        reply
    }
}
