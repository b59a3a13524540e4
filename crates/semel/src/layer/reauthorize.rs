//! Before a replay: the caller asks the service itself, with its own credentials, whether it may still
//! see what it once got.
//!
//! For a door that only passes credentials on, such as a gateway: there a stored reply would go to
//! whoever shows principal and key, even after the service has shut that principal out. Must change
//! nothing: the question is a safe request, and whatever the answer, the record stays.

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Request, Response, Uri, header};
use tower::{Service, ServiceExt};

use super::body::{Body, BoxError};
use super::path::plain;
use crate::http::route::{KeySource, Reauthorize, Route};
use crate::http::status::IDEMPOTENCY_STATUS;
use crate::http::{Status, Word};

/// The question, with what `request` says of its sender.
pub(super) fn question(route: &Route, request: &Parts) -> Option<Request<Body>> {
    let Reauthorize { method, path } = route.reauthorize.as_ref()?;
    let mut question = Request::new(Body::full(Bytes::new()));
    *question.method_mut() = method.clone();
    // Without its question there would be a replay that nobody was asked about.
    let path = path.parse().expect("the route's path was parsed when the layer was made");
    *question.uri_mut() = at(&request.uri, path);
    *question.version_mut() = request.version;
    *question.headers_mut() = of_the_sender(&request.headers, route);
    *question.extensions_mut() = request.extensions.clone();
    Some(question)
}

pub(super) fn at(target: &Uri, path: PathAndQuery) -> Uri {
    let mut target = target.clone().into_parts();
    target.path_and_query = Some(path.clone());
    Uri::from_parts(target).unwrap_or_else(|_| Uri::from(path))
}

/// All headers but those that speak of the body, of the key, or of a condition on the resource.
pub(super) fn of_the_sender(headers: &HeaderMap, route: &Route) -> HeaderMap {
    const OTHERS: [HeaderName; 6] = [
        header::TRANSFER_ENCODING,
        header::TRAILER,
        header::EXPECT,
        header::RANGE,
        header::UPGRADE,
        crate::http::prefer::PREFER,
    ];
    let key = match &route.key {
        KeySource::Header(name) => Some(name),
        KeySource::Body(_) => None,
    };
    let speaks_of_the_request = |name: &HeaderName| {
        ["content-", "if-", "idempotency-"].iter().any(|p| name.as_str().starts_with(p))
            || OTHERS.contains(name)
            || key == Some(name)
    };
    let kept = headers.iter().filter(|(name, _)| !speaks_of_the_request(name));
    let mut sender = HeaderMap::new();
    for (name, value) in kept {
        sender.append(name, value.clone());
    }
    sender
}

/// Asks. `Some` is what the caller gets in place of the replay.
pub(super) async fn refusal<S, RB>(
    inner: S,
    question: Request<Body>,
) -> Result<Option<Response<Body>>, S::Error>
where
    S: Service<Request<Body>, Response = Response<RB>>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    let mut answer = plain(inner.oneshot(question).await?);
    if answer.status().is_success() {
        return Ok(None);
    }
    answer.headers_mut().insert(IDEMPOTENCY_STATUS, Status::new(Word::Refused).to_value());
    Ok(Some(answer))
}
