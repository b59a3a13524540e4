//! From the inner service's response to what is settled and what the first caller gets.
//!
//! Must never let a byte of a kept reply out before it is settled: the reply is held here, whole,
//! sharing its memory between store and caller.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, header, response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use semel_core::Effect;

use super::Verdict;
use super::body::{Body, BoxError};
use crate::engine::{Concluded, Executed};
use crate::http::grpc::{self, GrpcCode, GrpcRules, is_grpc};
use crate::http::reply::Reply;
use crate::http::status::{IDEMPOTENCY_EFFECT, IDEMPOTENT_REPLAYED};
use crate::http::{Problem, Route};

/// What the first caller gets, once it is settled.
#[derive(Debug)]
pub(super) enum Live {
    /// The handler's own response.
    Response(Response<Body>),
    /// A problem in its place.
    Problem(Problem),
    /// There is none: the handler gave no complete reply.
    NoReply,
}

/// Nothing but a doubt.
pub(super) const fn in_doubt() -> Executed<Live> {
    Executed { concluded: Concluded::InDoubt, live: Live::NoReply }
}

/// Reads the response as far as it must be known.
pub(super) async fn capture<B>(response: Response<B>, route: &Route) -> Executed<Live>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let verdict = head.extensions.remove::<Verdict>();
    let said = said_effect(&head.headers);
    head.headers.remove(IDEMPOTENCY_EFFECT);
    // Whether this is a replay is Semel's word, and an SDK believes it.
    head.headers.remove(IDEMPOTENT_REPLAYED);
    let status = head.status.as_u16();
    match verdict {
        Some(Verdict::InDoubt) => return in_doubt(),
        Some(Verdict::Released(Some(problem))) => {
            return Executed { concluded: Concluded::Released, live: Live::Problem(problem) };
        }
        Some(Verdict::Released(None)) => return streamed(head, body, Concluded::Released),
        None => {}
    }
    if let Some(concluded) = unsettled(said, status, route) {
        return streamed(head, body, concluded);
    }
    if head.status.is_success() && is_grpc(&head.headers) {
        return hold_call(head, body, route, said).await;
    }
    let announced = body.size_hint().lower();
    if is_stream(&head.headers) || announced > route.reply_max || route.reply_max == 0 {
        return not_kept(head, body, said);
    }
    hold(head, body, route.reply_max, said).await
}

/// What enforcing would settle of a response that is only observed, as far as its head tells.
pub(super) fn concluded_by_head<B>(response: &Response<B>, route: &Route) -> Concluded {
    let status = response.status().as_u16();
    let said = said_effect(response.headers());
    match response.extensions().get::<Verdict>() {
        Some(Verdict::InDoubt) => Concluded::InDoubt,
        Some(Verdict::Released(_)) => Concluded::Released,
        None => unsettled(said, status, route).unwrap_or_else(|| {
            call_by_head(response, said, route).unwrap_or(Concluded::NotKept {
                status: Some(status),
                effect: said.unwrap_or(Effect::of_status(status)),
            })
        }),
    }
}

/// The same of a gRPC call, which tells how it ended in its head only where nothing follows.
fn call_by_head<B>(
    response: &Response<B>,
    said: Option<Effect>,
    route: &Route,
) -> Option<Concluded> {
    if !response.status().is_success() || !is_grpc(response.headers()) {
        return None;
    }
    let code = grpc::status(response.headers(), None);
    let unsettled = code.and_then(|code| unsettled_call(said, code, &route.grpc));
    let effect = said.or(code.map(grpc::effect)).unwrap_or(Effect::Unknown);
    let status = Some(response.status().as_u16());
    Some(unsettled.unwrap_or(Concluded::NotKept { status, effect }))
}

/// A reply that is none to be kept: by the handler's word, or by the route's for its status.
fn unsettled(said: Option<Effect>, status: u16, route: &Route) -> Option<Concluded> {
    if said == Some(Effect::None) || (said.is_none() && route.no_effect.contains(&status)) {
        return Some(Concluded::Released);
    }
    (said.is_none() && route.doubt_on.contains(&status)).then_some(Concluded::InDoubt)
}

fn streamed<B>(head: response::Parts, body: B, concluded: Concluded) -> Executed<Live>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Executed { concluded, live: Live::Response(Response::from_parts(head, Body::boxed(body))) }
}

/// Not seen to its end, so nothing is known of its effect but what the handler says.
fn not_kept<B>(head: response::Parts, body: B, said: Option<Effect>) -> Executed<Live>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let status = Some(head.status.as_u16());
    let effect = said.unwrap_or(Effect::Unknown);
    streamed(head, body, Concluded::NotKept { status, effect })
}

/// `Idempotency-Effect`, from a handler or upstream that knows.
fn said_effect(headers: &HeaderMap) -> Option<Effect> {
    match headers.get(IDEMPOTENCY_EFFECT)?.as_bytes() {
        b"none" => Some(Effect::None),
        b"done" => Some(Effect::Done),
        b"unknown" => Some(Effect::Unknown),
        _ => None,
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let media = media.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    media.eq_ignore_ascii_case(b"text/event-stream")
}

/// Holds the body back until it is whole, or outgrows `max`.
async fn hold<B>(head: response::Parts, body: B, max: u64, said: Option<Effect>) -> Executed<Live>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match read(body, max).await {
        Read::Whole { bytes, trailers } => {
            let effect = said.unwrap_or(Effect::of_status(head.status.as_u16()));
            keep(head, bytes, trailers, effect)
        }
        Read::TooLong(body) => not_kept(head, body, said),
        Read::BrokenOff => in_doubt(),
    }
}

/// The same for the answer to a gRPC call, of which only the end says what it is. A call that ends without
/// a status has broken off, whatever carried it says.
async fn hold_call<B>(
    head: response::Parts,
    body: B,
    route: &Route,
    said: Option<Effect>,
) -> Executed<Live>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (bytes, mut trailers) = match read(body, route.reply_max).await {
        Read::Whole { bytes, trailers } => (bytes, trailers),
        Read::TooLong(body) => return not_kept(head, body, said),
        Read::BrokenOff => return in_doubt(),
    };
    let Some(code) = grpc::status(&head.headers, trailers.as_ref()) else { return in_doubt() };
    // A handler knows only at its end what it did, so its word may come with the trailers.
    let said = said.or_else(|| said_effect(trailers.as_ref()?));
    if let Some(trailers) = &mut trailers {
        trailers.remove(IDEMPOTENCY_EFFECT);
    }
    match unsettled_call(said, code, &route.grpc) {
        Some(concluded) => {
            Executed { concluded, live: Live::Response(whole(head, bytes, trailers)) }
        }
        None if route.reply_max == 0 => {
            let (status, effect) = (Some(head.status.as_u16()), said.unwrap_or(grpc::effect(code)));
            let live = Live::Response(whole(head, bytes, trailers));
            Executed { concluded: Concluded::NotKept { status, effect }, live }
        }
        None => keep(head, bytes, trailers, said.unwrap_or(grpc::effect(code))),
    }
}

/// As [`unsettled`], by the route's word for the status of a call.
fn unsettled_call(said: Option<Effect>, code: GrpcCode, rules: &GrpcRules) -> Option<Concluded> {
    if said == Some(Effect::None) || (said.is_none() && rules.no_effect.contains(&code)) {
        return Some(Concluded::Released);
    }
    (said.is_none() && rules.doubt_on.contains(&code)).then_some(Concluded::InDoubt)
}

/// A whole reply, to be settled and then told.
fn keep(
    head: response::Parts,
    bytes: Bytes,
    trailers: Option<HeaderMap>,
    effect: Effect,
) -> Executed<Live> {
    let reply = Reply::keep(head.status, &head.headers, bytes.clone(), trailers.as_ref());
    let status = Some(head.status.as_u16());
    let concluded = Concluded::Reply { status, effect, plain: Bytes::from(reply.encode()) };
    Executed { concluded, live: Live::Response(whole(head, bytes, trailers)) }
}

fn whole(head: response::Parts, bytes: Bytes, trailers: Option<HeaderMap>) -> Response<Body> {
    let body = match trailers {
        None => Body::full(bytes),
        Some(trailers) => Body::with_trailers(bytes, trailers),
    };
    Response::from_parts(head, body)
}

/// How far a body was read.
enum Read<B> {
    /// To its end.
    Whole { bytes: Bytes, trailers: Option<HeaderMap> },
    /// Until it outgrew its bound: all of it, as it comes.
    TooLong(Held<B>),
    /// It did not come to its end.
    BrokenOff,
}

async fn read<B: http_body::Body<Data = Bytes>>(body: B, max: u64) -> Read<B> {
    let mut body = Box::pin(body);
    let mut held = VecDeque::new();
    let mut len = 0;
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Read::BrokenOff };
        match frame.into_data() {
            Ok(data) => {
                len += data.len() as u64;
                held.push_back(data);
                if len > max {
                    return Read::TooLong(Held { held, rest: body });
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Read::Whole { bytes: join(held, len), trailers }
}

/// One frame, the usual case, is never copied.
fn join(mut held: VecDeque<Bytes>, len: u64) -> Bytes {
    if held.len() <= 1 {
        return held.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(len).unwrap_or(0));
    for data in held {
        whole.extend_from_slice(&data);
    }
    whole.freeze()
}

/// What was held back, then the rest as it comes.
struct Held<B> {
    held: VecDeque<Bytes>,
    rest: Pin<Box<B>>,
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Held<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        match this.held.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => this.rest.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held: u64 = self.held.iter().map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(held.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(held.saturating_add(upper));
        }
        hint
    }
}
