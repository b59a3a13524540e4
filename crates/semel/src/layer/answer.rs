//! From the engine's answer to the response: fresh, replayed, or a problem. Never "failed" where it
//! is "unknown".

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use semel_core::{Fingerprint, Record, Span, Timestamp};

use super::SOON;
use super::body::Body;
use super::capture::Live;
use crate::engine::{Answered, Recording, Refusal};
use crate::http::reply::{Reply, Trailers};
use crate::http::status::{IDEMPOTENCY_STATUS, STRIPE_SHOULD_RETRY};
use crate::http::{Problem, Route, Status, Word, grpc};

/// What the caller's own request says, to judge the answer by.
pub(super) struct Asked<'a> {
    pub(super) route: &'a Route,
    pub(super) fingerprint: &'a Fingerprint,
    pub(super) headers: &'a HeaderMap,
    pub(super) now: Timestamp,
}

/// Among a response's extensions: it is Semel's own, not the inner service's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own;

/// The response to a keyed request.
pub(super) fn respond(answered: Answered<Live>, asked: &Asked<'_>) -> Response<Body> {
    match answered {
        Answered::Executed { live: Live::Response(response), record } => {
            with_status(response, remembered(Word::Executed, &record, asked.now))
        }
        Answered::Released { live: Live::Response(response) } => {
            with_status(response, Status::new(Word::Released))
        }
        Answered::Released { live: Live::Problem(problem) } => problem_response(problem),
        Answered::Doubted { live: Some(Live::Response(response)), record } => {
            with_status(response, Status::new(Word::InDoubt).attempt(record.attempt))
        }
        // It could not be reached this time, but an earlier attempt may have got through.
        Answered::Doubted { live: Some(Live::Problem(problem)), record } => {
            let after = problem.retry_after.unwrap_or(SOON);
            let status = Status::new(Word::InDoubt).attempt(record.attempt);
            problem_response(Problem::upstream_unreachable(true, after).with_status(status))
        }
        Answered::Doubted { live: Some(Live::NoReply) | None, record } => {
            let status = Status::new(Word::InDoubt).attempt(record.attempt);
            problem_response(Problem::in_doubt(true, Some(record.since())).with_status(status))
        }
        Answered::Replayed { plain, record, now } => replay(&plain, &record, now, asked),
        Answered::Refused(refusal) => problem_response(problem(refusal, asked)),
        Answered::Executed { live: Live::Problem(_) | Live::NoReply, .. }
        | Answered::Released { live: Live::NoReply } => {
            unreachable!("only a doubt or a release comes without a response")
        }
    }
}

fn with_status(mut response: Response<Body>, status: Status) -> Response<Body> {
    response.headers_mut().insert(IDEMPOTENCY_STATUS, status.to_value());
    response
}

/// How long reply and key stay known from now.
fn remembered(word: Word, record: &Record, now: Timestamp) -> Status {
    let left = |span: Span| match span.is_forever() {
        true => Span::FOREVER,
        false => record.since().plus(span).since(now),
    };
    Status::new(word)
        .attempt(record.attempt)
        .retention(left(record.retention))
        .memory(left(record.memory))
}

fn replay(plain: &Bytes, record: &Record, now: Timestamp, asked: &Asked<'_>) -> Response<Body> {
    let reply = match Reply::decode(plain) {
        Ok(reply) => reply,
        Err(error) => {
            tracing::error!(%error, "a stored reply cannot be read");
            return problem_response(Problem::record_unreadable());
        }
    };
    let status = remembered(Word::Replayed, record, now).age(now.since(record.since()));
    let mut response = reply.replay(&status, asked.headers);
    response.extensions_mut().insert(Own);
    match response.extensions_mut().remove::<Trailers>() {
        None => response.map(Body::full),
        Some(Trailers(trailers)) => response.map(|body| Body::with_trailers(body, trailers)),
    }
}

fn problem(refusal: Refusal, asked: &Asked<'_>) -> Problem {
    match refusal {
        Refusal::InFlight { retry_after, .. } => Problem::in_flight(retry_after),
        Refusal::InDoubt { since } => Problem::in_doubt(false, Some(since)),
        Refusal::Mismatch { first, effect } => {
            Problem::mismatch(effect, first.differs(asked.fingerprint))
        }
        Refusal::Spent(record) => {
            let status = record.outcome.as_ref().and_then(|outcome| outcome.status);
            let word = remembered(Word::Spent, &record, asked.now);
            Problem::key_spent(record.effect(), status).with_status(word)
        }
        Refusal::NotKept(record) => {
            let status = record.outcome.as_ref().and_then(|outcome| outcome.status);
            let word = remembered(Word::Spent, &record, asked.now);
            Problem::reply_not_kept(record.effect(), status).with_status(word)
        }
        Refusal::Void { since } => Problem::key_void(Some(since)),
        Refusal::TooOld => Problem::key_too_old(),
        Refusal::TooNew => Problem::key_ahead(asked.route.policy.skew),
        Refusal::Store(error) => Problem::store(&error, SOON),
        Refusal::NotRecorded { effect, recording, .. } => match recording {
            Recording::GoesOn => Problem::not_recorded(effect, SOON),
            Recording::Stopped => Problem::recording_stopped(effect, SOON),
            Recording::Lost => Problem::outcome_lost(effect),
        },
        Refusal::Overloaded => Problem::overloaded(SOON),
        Refusal::Draining => Problem::draining(SOON),
        // The engine's own task broke: what it had begun is not known here.
        Refusal::Interrupted => Problem::in_doubt(true, None),
    }
}

/// A problem as a response with our body type. The problem itself stands among the extensions, for a
/// caller that is told of it in another way: see [`in_grpc`].
pub(super) fn problem_response(problem: Problem) -> Response<Body> {
    let told = problem.clone();
    let mut response = problem.into_response().map(Body::full);
    response.extensions_mut().insert(Own);
    response.extensions_mut().insert(told);
    response
}

/// The same answer for a caller that speaks gRPC: a problem is told as a status. What stands in the head
/// beside it (warnings, what browsers are told) stays.
pub(super) fn in_grpc(response: Response<Body>) -> Response<Body> {
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let (spoken, body) = grpc::problem::response(problem).into_parts();
    let (mut head, _json) = response.into_parts();
    for name in [header::CONTENT_LENGTH, STRIPE_SHOULD_RETRY] {
        head.headers.remove(name);
    }
    head.headers.extend(spoken.headers);
    head.status = spoken.status;
    Response::from_parts(head, Body::full(body))
}
