//! Answers of the proxy itself to requests whose key, if any, was never looked at.
//!
//! They have no code of their own: `about:blank` says that the status tells it all (RFC 9457
//! §4.2.1), and the detail says it for people.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::reply_body::ReplyBody;

/// A problem without a code.
pub(crate) fn answer(status: StatusCode, detail: &str) -> Response<ReplyBody> {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = Response::new(ReplyBody::own(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
