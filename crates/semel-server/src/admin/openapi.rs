//! The admin API as an OpenAPI 3.1 document, written by hand: it is compared with the paths that are
//! served, and a fuzzer of APIs judges the answers by it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::Full;

/// The document.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub(super) fn response() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(DOCUMENT));
    let media = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, media);
    response
}
