//! The reserved path: what this API promises, where a key stands, void, acknowledge, problem pages.
//!
//! The key travels in its header, never in the path: paths are logged, and the key opens the sealed
//! reply. Everything is judged in the caller's own scope, so an unknown key looks exactly like
//! another caller's. Must never run anything.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use semel_core::machine::Answer;
use semel_core::{Key, Policy, RecordId, State};
use serde_json::json;

use super::SOON;
use super::answer::problem_response;
use super::body::Body;
use super::browser::names_read;
use super::service::Shared;
use crate::engine::{Applied, Known, Standing};
use crate::http::cors::preflight;
use crate::http::inquiry::{About, Asked};
use crate::http::problem::{INQUIRY, PROBLEMS, RESERVED, problem_page};
use crate::http::{Problem, rfc3339};

/// Answers a request below [`RESERVED`], to browsers as the `cors` says of the route that it is about: the
/// first one's where it names none.
pub(super) async fn answer(shared: &Shared, request: &Parts) -> Response<Body> {
    let about = About::from_query(request.uri.query().unwrap_or_default());
    let chosen = about.and_then(|about| shared.ways.chosen(&about)).ok().flatten();
    let route = chosen.as_ref().unwrap_or(shared.ways.first());
    let Some(cors) = &route.cors else { return answer_directly(shared, request).await };
    let origin = request.headers.get(header::ORIGIN);
    if preflight(&request.method, &request.headers).is_some() {
        let mut response = Response::new(Body::full(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let names = names_read(route);
        *response.headers_mut() = cors.answer_preflight(origin, "GET, DELETE, POST", &names);
        return response;
    }
    let mut response = answer_directly(shared, request).await;
    cors.allow(origin, response.headers_mut());
    response
}

async fn answer_directly(shared: &Shared, request: &Parts) -> Response<Body> {
    let path = request.uri.path();
    let method = &request.method;
    let done = match path {
        RESERVED => match *method {
            Method::GET | Method::HEAD => {
                let published = shared.protection.published(&shared.engine.store().capabilities());
                Ok(json_response(StatusCode::OK, &published))
            }
            _ => refuse(Problem::method_unknown(&[Method::GET])),
        },
        INQUIRY => match *method {
            Method::GET | Method::HEAD => inquire(shared, request).await,
            Method::DELETE => void(shared, request).await,
            _ => refuse(Problem::method_unknown(&[Method::GET, Method::DELETE])),
        },
        _ if path.strip_prefix(INQUIRY) == Some("/ack") => match *method {
            Method::POST => ack(shared, request).await,
            _ => refuse(Problem::method_unknown(&[Method::POST])),
        },
        _ => match path.strip_prefix(PROBLEMS).and_then(problem_page) {
            Some(page) if *method == Method::GET || *method == Method::HEAD => Ok(text(page)),
            Some(_) => refuse(Problem::method_unknown(&[Method::GET])),
            None => refuse(Problem::path_unknown()),
        },
    };
    done.unwrap_or_else(|problem| problem_response(*problem))
}

/// The record that the request's key and principal name, the key, and what judges its own time.
fn named(shared: &Shared, request: &Parts) -> Result<(RecordId, Key, Policy), Box<Problem>> {
    let about = About::from_query(request.uri.query().unwrap_or_default())?;
    let (service, engine) = (&shared.protection.service, &shared.engine);
    let asked = Asked { service, secret: engine.secret(), now: engine.now() };
    let (id, key) = shared.ways.named(&about, request, &asked)?;
    Ok((id, key, shared.ways.judged_by(&about)?))
}

async fn inquire(shared: &Shared, request: &Parts) -> Result<Response<Body>, Box<Problem>> {
    let (id, key, policy) = named(shared, request)?;
    let known = shared.engine.inquire(id, Some(&key), &policy).await;
    let Known { standing, effect, record, now } =
        known.map_err(|e| Box::new(Problem::store(&e, SOON)))?;
    let mut body = json!({ "state": standing.name(), "effect": effect.name() });
    if let Some(record) = record {
        body["attempt"] = json!(record.attempt);
        body["since"] = json!(rfc3339(match record.state {
            // Lapsed: since its lease ended, as the sweep will write it.
            State::InFlight if standing == Standing::InDoubt => record.lease_end(),
            State::InFlight => record.began(),
            _ => record.since(),
        }));
        if let Some(status) = record.outcome.as_ref().and_then(|outcome| outcome.status) {
            body["status"] = json!(status);
        }
        for (name, span) in [("retention", record.retention), ("memory", record.memory)] {
            body[name] = match (record.state, span.is_forever()) {
                (State::InFlight | State::InDoubt(_), _) => continue,
                (_, true) => json!("forever"),
                (_, false) => json!(record.since().plus(span).since(now).as_ms() / 1000),
            };
        }
    }
    Ok(json_response(StatusCode::OK, &body))
}

async fn void(shared: &Shared, request: &Parts) -> Result<Response<Body>, Box<Problem>> {
    let (id, key, policy) = named(shared, request)?;
    let Applied { answer, record } = shared
        .engine
        .void_for(id, Some(&key), &policy, shared.ways.held())
        .await
        .map_err(|e| Box::new(Problem::store(&e, SOON)))?;
    match (answer, record) {
        (Answer::Voided | Answer::Already, _) => {
            let body = json!({ "state": "void", "effect": "none" });
            Ok(json_response(StatusCode::OK, &body))
        }
        (Answer::TooOld, _) => refuse(Problem::key_too_old()),
        (Answer::TooNew, _) => refuse(Problem::key_ahead(policy.skew)),
        (Answer::InDoubt, record) => {
            refuse(Problem::in_doubt(false, record.map(|record| record.since())))
        }
        (_, Some(record)) => match record.state {
            State::InFlight => {
                let left = record.lease_end().since(shared.engine.now());
                refuse(Problem::in_flight(left.max(SOON)))
            }
            _ => {
                let status = record.outcome.as_ref().and_then(|outcome| outcome.status);
                refuse(Problem::key_used(record.effect(), status, Some(record.since())))
            }
        },
        (_, None) => refuse(Problem::store_unavailable(SOON)),
    }
}

async fn ack(shared: &Shared, request: &Parts) -> Result<Response<Body>, Box<Problem>> {
    let (id, ..) = named(shared, request)?;
    let Applied { answer, record } =
        shared.engine.ack(id).await.map_err(|e| Box::new(Problem::store(&e, SOON)))?;
    match (answer, record.map(|record| (record.state, record))) {
        (Answer::Erased | Answer::Already, _) => {
            let mut response = Response::new(Body::full(Bytes::new()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        (_, Some((State::InFlight, _))) => refuse(Problem::in_flight(SOON)),
        (_, Some((State::InDoubt(_), record))) => {
            refuse(Problem::in_doubt(false, Some(record.since())))
        }
        (_, Some((State::Voided, record))) => refuse(Problem::key_void(Some(record.since()))),
        // Released looks like absent, as it does to an inquiry.
        (_, Some(_) | None) => refuse(Problem::key_unknown()),
    }
}

fn refuse<T>(problem: Problem) -> Result<T, Box<Problem>> {
    Err(Box::new(problem))
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text(page: String) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from(page)));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
