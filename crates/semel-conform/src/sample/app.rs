//! The charges, and the ways that they go.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};

use super::sending::{OPERATION, Sending};
use crate::behaviour::Behaviour;

/// A body of the sample's: whole, in chunks, or cut.
pub type AppBody = BoxBody<Bytes, Broken>;

/// The application ends the connection.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the application ended the connection")]
pub struct Broken;

/// The application. Clones share their books.
#[derive(Clone, Debug, Default)]
pub struct App {
    books: Arc<Mutex<Books>>,
    ledger: Option<Arc<PathBuf>>,
    sending: Option<Sending>,
}

#[derive(Debug, Default)]
struct Books {
    charges: BTreeMap<String, Vec<Value>>,
    calls: BTreeMap<String, u64>,
    made: u64,
    resources: BTreeMap<String, Resource>,
}

#[derive(Clone, Debug)]
struct Resource {
    version: u64,
    body: Bytes,
}

/// What is asked of a charge.
struct Asked {
    reference: String,
    amount: Value,
    behaviour: Option<Behaviour>,
    slow: Duration,
}

impl App {
    /// One that appends the reference of each charge to a file, a line for each: what a crash of its
    /// process cannot make undone.
    #[must_use]
    pub fn with_ledger(path: PathBuf) -> Self {
        Self { ledger: Some(Arc::new(path)), ..Self::default() }
    }

    /// Handles a request in a task of its own, which a caller that leaves does not stop.
    ///
    /// # Errors
    /// [`Broken`] where the behaviour is to end the connection without a reply.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<AppBody>, Broken> {
        let app = self.clone();
        tokio::spawn(async move { app.run(request).await }).await.unwrap_or(Err(Broken))
    }

    /// Handles a request for as long as the future is polled.
    pub(super) async fn run(&self, request: Request<Bytes>) -> Result<Response<AppBody>, Broken> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if path.starts_with("/resources/") {
            return Ok(self.resource(&parts.method, path, &parts.headers, body));
        }
        match (&parts.method, path) {
            (&Method::POST, "/charges" | "/refunds") | (&Method::PATCH, "/charges") => {
                self.charge(&parts.uri, &parts.headers, &body).await
            }
            (&Method::GET, "/charges") => Ok(self.list(&parts.uri)),
            (&Method::GET, path) if path.starts_with("/charges/") => Ok(self.one(path)),
            _ => Ok(problem(StatusCode::NOT_FOUND, "there is nothing here")),
        }
    }

    /// One that sends something on for each charge.
    pub(super) fn sending(sending: Sending) -> Self {
        Self { sending: Some(sending), ..Self::default() }
    }

    /// How often the operation with that reference had its effect.
    #[must_use]
    pub fn effects(&self, reference: &str) -> u64 {
        self.books().charges.get(reference).map_or(0, |charges| charges.len() as u64)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn charge(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response<AppBody>, Broken> {
        let asked = match asked(body) {
            Ok(asked) => asked,
            Err(what) => return Ok(problem(StatusCode::BAD_REQUEST, what)),
        };
        let first = self.call(&asked.reference) == 1;
        if let Some(refused) = refuses(asked.behaviour, first) {
            return Ok(problem(refused, "refused before anything happened"));
        }
        if asked.behaviour == Some(Behaviour::Slow) {
            tokio::time::sleep(asked.slow).await;
        }
        let charge = self.book(&asked, uri, headers);
        match asked.behaviour {
            Some(Behaviour::SlowAfter) => tokio::time::sleep(asked.slow).await,
            Some(Behaviour::Silent) => std::future::pending().await,
            Some(Behaviour::BreaksAfter) => return Err(Broken),
            _ => {}
        }
        Ok(answer(&asked, &charge, headers))
    }

    fn call(&self, reference: &str) -> u64 {
        let mut books = self.books();
        let calls = books.calls.entry(reference.to_owned()).or_default();
        *calls += 1;
        *calls
    }

    /// The effect.
    fn book(&self, asked: &Asked, uri: &Uri, headers: &HeaderMap) -> Value {
        let mut books = self.books();
        if let Some(path) = &self.ledger {
            let file = OpenOptions::new().create(true).append(true).open(path.as_path());
            let written = file.and_then(|mut file| writeln!(file, "{}", asked.reference));
            written.expect("a charge that is not in the ledger was not made");
        }
        books.made += 1;
        let account = headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap_or("?"));
        let charge = json!({
            "id": format!("ch_{}", books.made),
            "reference": asked.reference,
            "amount": asked.amount,
            "path": uri.path(),
            "account": account,
        });
        books.charges.entry(asked.reference.clone()).or_default().push(charge.clone());
        drop(books);
        if let Some(sending) = &self.sending {
            let operation = headers.get(OPERATION).and_then(|value| value.to_str().ok());
            let charge_id = charge.get("id").and_then(Value::as_str).unwrap_or_default();
            sending.send(&asked.reference, operation.unwrap_or(charge_id));
        }
        charge
    }

    fn list(&self, uri: &Uri) -> Response<AppBody> {
        let query = uri.query().unwrap_or_default();
        let wanted = query.split('&').find_map(|pair| pair.strip_prefix("reference="));
        let books = self.books();
        let found: Vec<Value> = match wanted {
            Some(reference) => books.charges.get(reference).cloned().unwrap_or_default(),
            None => books.charges.values().flatten().cloned().collect(),
        };
        json_reply(StatusCode::OK, &json!({ "count": found.len(), "data": found }))
    }

    /// Where a redirect leads.
    fn one(&self, path: &str) -> Response<AppBody> {
        let named = |charge: &&Value| {
            let id = charge.get("id").and_then(Value::as_str);
            id.is_some_and(|id| path.strip_prefix("/charges/") == Some(id))
        };
        match self.books().charges.values().flatten().find(named) {
            Some(charge) => json_reply(StatusCode::OK, charge),
            None => problem(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    /// A document that is read and written whole, with versions (RFC 9110 §13.1.1).
    fn resource(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<AppBody> {
        let mut books = self.books();
        let found = books.resources.get(path).cloned();
        let tag = |version: u64| format!("\"v{version}\"");
        if let Some(wanted) = headers.get(header::IF_MATCH).filter(|_| *method != Method::GET) {
            let held = found.as_ref().is_some_and(|r| {
                wanted.as_bytes() == b"*" || wanted.as_bytes() == tag(r.version).as_bytes()
            });
            if !held {
                return problem(StatusCode::PRECONDITION_FAILED, "another version stands there");
            }
        }
        let with_tag = |status, version: u64, body: Bytes| {
            let mut reply = whole(status, "application/json", body);
            let tag = HeaderValue::try_from(tag(version)).expect("a version is printable");
            reply.headers_mut().insert(header::ETAG, tag);
            reply
        };
        match (method, found) {
            (&Method::GET, Some(found)) => with_tag(StatusCode::OK, found.version, found.body),
            (&Method::PUT, found) => {
                let version = found.map_or(1, |found| found.version + 1);
                books.resources.insert(path.to_owned(), Resource { version, body: body.clone() });
                with_tag(StatusCode::OK, version, body)
            }
            (&Method::DELETE, Some(_)) => {
                books.resources.remove(path);
                no_content()
            }
            (&Method::GET | &Method::DELETE, None) => {
                problem(StatusCode::NOT_FOUND, "there is nothing here")
            }
            _ => problem(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT or DELETE"),
        }
    }
}

fn asked(body: &[u8]) -> Result<Asked, &'static str> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "the body is no JSON")?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let reference = text("reference").ok_or("`reference` is missing")?.to_owned();
    let amount = body.get("amount").cloned().ok_or("`amount` is missing")?;
    let behaviour = match text("behaviour") {
        None | Some("") => None,
        Some(name) => Some(Behaviour::named(name).ok_or("there is no such behaviour")?),
    };
    let slow = Duration::from_millis(body.get("slow_ms").and_then(Value::as_u64).unwrap_or(0));
    Ok(Asked { reference, amount, behaviour, slow })
}

/// The status of a refusal before the effect.
fn refuses(behaviour: Option<Behaviour>, first: bool) -> Option<StatusCode> {
    let status = match behaviour? {
        Behaviour::Invalid => return Some(StatusCode::BAD_REQUEST),
        Behaviour::FailsBefore => StatusCode::INTERNAL_SERVER_ERROR,
        Behaviour::Unauthorized => StatusCode::UNAUTHORIZED,
        Behaviour::Forbidden => StatusCode::FORBIDDEN,
        Behaviour::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Behaviour::Declines => StatusCode::PAYMENT_REQUIRED,
        _ => return None,
    };
    first.then_some(status)
}

/// The reply to a charge that was booked.
fn answer(asked: &Asked, charge: &Value, headers: &HeaderMap) -> Response<AppBody> {
    let id = charge.get("id").and_then(Value::as_str).unwrap_or_default();
    match asked.behaviour {
        Some(Behaviour::NoContent) => no_content(),
        Some(Behaviour::Empty) => whole(StatusCode::OK, "application/json", Bytes::new()),
        Some(Behaviour::Binary) => {
            let all: Vec<u8> = (0..=255).chain(id.bytes()).collect();
            whole(StatusCode::OK, "application/octet-stream", all)
        }
        Some(Behaviour::Redirect) => {
            let mut reply = whole(StatusCode::SEE_OTHER, "text/plain", "see there");
            set(&mut reply, "location", &format!("/charges/{id}"));
            reply
        }
        Some(Behaviour::Large) => {
            let mut body = id.as_bytes().repeat(1_600_000 / id.len().max(1));
            body.push(b'.');
            whole(StatusCode::OK, "application/octet-stream", body)
        }
        Some(Behaviour::Streamed) => streamed(charge),
        Some(Behaviour::Compressed) => compressed(charge, headers),
        Some(Behaviour::Headers) => {
            let mut reply = json_reply(StatusCode::CREATED, charge);
            for link in ["</charges>; rel=\"collection\"", "</help, me>; rel=\"help\""] {
                let link = HeaderValue::from_static(link);
                reply.headers_mut().append(header::LINK, link);
            }
            set(&mut reply, "location", &format!("/charges/{id}"));
            set(&mut reply, "etag", &format!("\"{id}\""));
            set(&mut reply, "content-language", "en");
            reply
        }
        Some(Behaviour::Cookie) => {
            let mut reply = json_reply(StatusCode::CREATED, charge);
            set(&mut reply, "set-cookie", &format!("session={id}; HttpOnly"));
            reply
        }
        Some(Behaviour::FailsAfter) => problem(StatusCode::INTERNAL_SERVER_ERROR, "it broke"),
        Some(Behaviour::Truncates) => truncated(charge),
        _ => json_reply(StatusCode::CREATED, charge),
    }
}

fn set(reply: &mut Response<AppBody>, name: &'static str, value: &str) {
    let value = HeaderValue::try_from(value).expect("a charge's id is printable");
    reply.headers_mut().insert(name, value);
}

fn streamed(charge: &Value) -> Response<AppBody> {
    let text = charge.to_string();
    let half = text.len() / 2;
    let parts = [text.get(..half), text.get(half..)];
    let parts: Vec<Result<Frame<Bytes>, Broken>> = parts
        .into_iter()
        .flatten()
        .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part.as_bytes()))))
        .collect();
    let body = StreamBody::new(stream::iter(parts)).boxed();
    typed(StatusCode::CREATED, "application/json", body)
}

fn truncated(charge: &Value) -> Response<AppBody> {
    let text = charge.to_string();
    let half = Bytes::copy_from_slice(text.as_bytes().get(..text.len() / 2).unwrap_or_default());
    let parts = [Ok(Frame::data(half)), Err(Broken)];
    let body = StreamBody::new(stream::iter(parts)).boxed();
    let mut reply = typed(StatusCode::CREATED, "application/json", body);
    set(&mut reply, "content-length", &text.len().to_string());
    reply
}

fn compressed(charge: &Value, headers: &HeaderMap) -> Response<AppBody> {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    if !accepted.into_iter().any(|v| v.to_str().is_ok_and(|v| v.contains("gzip"))) {
        return json_reply(StatusCode::CREATED, charge);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(charge.to_string().as_bytes());
    written.expect("a vector takes all that is written");
    let body = encoder.finish().expect("a vector takes all that is written");
    let mut reply = whole(StatusCode::CREATED, "application/json", body);
    set(&mut reply, "content-encoding", "gzip");
    set(&mut reply, "vary", "Accept-Encoding");
    reply
}

pub(super) fn whole(
    status: StatusCode,
    media: &'static str,
    body: impl Into<Bytes>,
) -> Response<AppBody> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed();
    typed(status, media, body)
}

fn typed(status: StatusCode, media: &'static str, body: AppBody) -> Response<AppBody> {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}

pub(super) fn no_content() -> Response<AppBody> {
    let mut reply = whole(StatusCode::NO_CONTENT, "", "");
    reply.headers_mut().remove(header::CONTENT_TYPE);
    reply
}

pub(super) fn json_reply(status: StatusCode, value: &Value) -> Response<AppBody> {
    whole(status, "application/json", value.to_string())
}

fn problem(status: StatusCode, detail: &str) -> Response<AppBody> {
    let body = json!({ "status": status.as_u16(), "detail": detail });
    whole(status, "application/problem+json", body.to_string())
}
