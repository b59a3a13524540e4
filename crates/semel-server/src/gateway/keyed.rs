//! A keyed request on its way to the upstream: what is added to it, and what is certain afterwards.

use http::{HeaderValue, Response, StatusCode};
use semel::core::Span;
use semel::engine::Attempt;
use semel::http::route::{Forward, KeySource};
use semel::http::status::{IDEMPOTENCY_ATTEMPT, IDEMPOTENCY_FENCE, IDEMPOTENCY_KEY};
use semel::http::{Problem, Route};
use semel::layer::Verdict;

use super::reply_body::ReplyBody;
use super::upstream::Unanswered;

/// What a caller is told to wait before it tries an upstream again that could not be reached.
const RETRY_AFTER: Span = Span::from_secs(1);

/// Tells the upstream which operation this is, under which fence, and at which attempt. Where callers
/// send their keys in a header of another name, the upstream finds its key there, too.
pub(super) fn introduce(headers: &mut http::HeaderMap, attempt: &Attempt, route: &Route) {
    let key = match route.forward {
        Forward::Derived => HeaderValue::try_from(attempt.key()),
        Forward::Caller => HeaderValue::from_bytes(attempt.caller_key().as_bytes()),
    };
    let key = key.expect("keys are printable ASCII");
    if let KeySource::Header(name) = &route.key {
        headers.insert(name, key.clone());
    }
    headers.insert(IDEMPOTENCY_KEY, key);
    headers.insert(IDEMPOTENCY_ATTEMPT, HeaderValue::from(attempt.number()));
    headers.insert(IDEMPOTENCY_FENCE, HeaderValue::from(attempt.fence().0));
}

/// Nothing of the request was sent: the key may run again.
pub(super) fn unsent(reason: &str, attempt: &Attempt) -> Response<ReplyBody> {
    tracing::warn!(record = attempt.id().short(), reason, "released: the request was not sent");
    verdict(Verdict::Released(Some(Problem::upstream_unreachable(false, RETRY_AFTER))))
}

/// What is certain when no answer came.
pub(super) fn unanswered(error: &Unanswered, attempt: &Attempt) -> Response<ReplyBody> {
    match error {
        Unanswered::NotSent { reason } => unsent(reason, attempt),
        Unanswered::Unknown { .. } | Unanswered::TooSlow { .. } => {
            let record = attempt.id().short();
            tracing::warn!(record, %error, "in doubt: the request may have been acted on");
            verdict(Verdict::InDoubt)
        }
    }
}

fn verdict(verdict: Verdict) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::own(""));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.extensions_mut().insert(verdict);
    response
}
