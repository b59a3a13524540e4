//! The layer before a service that answers in gRPC: what is kept, what is released, what is in doubt, and
//! how a problem is told.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use semel::core::{Secret, Store};
use semel::engine::{Engine, EngineConfig};
use semel::entropy::SystemEntropy;
use semel::http::route::Demand;
use semel::http::{Route, Routes};
use semel::layer::{Body, Protection, SemelLayer};
use semel::store::MemoryStore;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::harness::TokioClock;

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
/// One message of two bytes.
const MESSAGE: &[u8] = &[0, 0, 0, 0, 2, 8, 7];
const REPLY: &[u8] = &[0, 0, 0, 0, 1, 42];

/// How the service ends its next call.
#[derive(Clone, Copy, Debug)]
enum End {
    /// A message, then trailers with these fields.
    Trailers(&'static [(&'static str, &'static str)]),
    /// No message, and the status in the head.
    HeadOnly(&'static str),
    /// A message, and no trailers.
    NoStatus,
}

type Boxed = tower::util::BoxCloneService<Request<Full<Bytes>>, Response<Body>, Infallible>;

struct Api {
    service: Boxed,
    end: Arc<Mutex<End>>,
    calls: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Got {
    http: u16,
    word: String,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Got {
    /// As a client reads it: from the trailers, else from the head.
    fn grpc_status(&self) -> &str {
        let said = self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"));
        said.unwrap().to_str().unwrap()
    }
}

impl Api {
    async fn new(route: Route) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(TokioClock::new(), &SystemEntropy));
        let engine = Engine::start(store, Secret::new(&[7; 32]), EngineConfig::default());
        let engine = engine.await.unwrap();
        let end = Arc::new(Mutex::new(End::Trailers(&[("grpc-status", "0")])));
        let calls = Arc::new(AtomicU32::new(0));
        let (ending, counting) = (Arc::clone(&end), Arc::clone(&calls));
        let inner = service_fn(move |request: Request<Body>| {
            let (end, calls) = (*ending.lock().unwrap(), Arc::clone(&counting));
            async move {
                request.into_body().collect().await.unwrap();
                calls.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(answer(end))
            }
        });
        let protection = Protection::new("test", Routes::new(route));
        let layer = SemelLayer::new(engine, protection).unwrap();
        Self { service: layer.layer(inner).boxed_clone(), end, calls }
    }

    fn ends(&self, end: End) {
        *self.end.lock().unwrap() = end;
    }

    async fn call(&self, body: &'static [u8]) -> Got {
        let request = Request::post("http://api/pay.v1.Payments/Charge")
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers")
            .header("authorization", "Bearer alice")
            .header("idempotency-key", KEY)
            .body(Full::from(body))
            .unwrap();
        let response = self.service.clone().ready().await.unwrap().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let word = head.headers["idempotency-status"].to_str().unwrap();
        let word = word.split(';').next().unwrap().to_owned();
        let (http, headers) = (head.status.as_u16(), head.headers);
        Got { http, word, headers, body: body.to_bytes(), trailers }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

type Answer = UnsyncBoxBody<Bytes, Infallible>;

fn answer(end: End) -> Response<Answer> {
    let head = Response::builder().header("content-type", "application/grpc");
    let message = Frame::data(Bytes::from_static(REPLY));
    let (head, frames) = match end {
        End::HeadOnly(status) => (head.header("grpc-status", status), vec![]),
        End::NoStatus => (head, vec![message]),
        End::Trailers(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            (head, vec![message, Frame::trailers(fields.collect())])
        }
    };
    let frames = frames.into_iter().map(Ok::<_, Infallible>);
    head.body(StreamBody::new(stream::iter(frames)).boxed_unsync()).unwrap()
}

#[tokio::test]
async fn a_call_that_worked_is_replayed_with_its_message_and_its_trailers() {
    let api = Api::new(Route::gateway()).await;
    api.ends(End::Trailers(&[("grpc-status", "0"), ("x-receipt", "7")]));
    let first = api.call(MESSAGE).await;
    let replay = api.call(MESSAGE).await;
    assert_eq!((&first.word[..], &replay.word[..]), ("executed", "replayed"));
    for got in [&first, &replay] {
        assert_eq!((got.http, &got.body[..]), (200, REPLY));
        assert_eq!(got.headers["content-type"], "application/grpc");
        assert_eq!(got.trailers["grpc-status"], "0");
        assert_eq!(got.trailers["x-receipt"], "7");
    }
    assert_eq!(api.calls(), 1);
}

#[tokio::test]
async fn a_refusal_before_anything_happened_releases_the_key() {
    let api = Api::new(Route::gateway()).await;
    for (released, end) in [
        ("7", End::HeadOnly("7")),
        ("8", End::Trailers(&[("grpc-status", "8")])),
        ("16", End::HeadOnly("16")),
    ] {
        api.ends(end);
        let got = api.call(MESSAGE).await;
        assert_eq!((&got.word[..], got.grpc_status()), ("released", released));
    }
    api.ends(End::Trailers(&[("grpc-status", "0")]));
    assert_eq!(api.call(MESSAGE).await.word, "executed");
    assert_eq!(api.calls(), 4);
}

#[tokio::test]
async fn an_end_that_says_nothing_of_the_effect_is_in_doubt_and_runs_no_second_time() {
    for end in [
        End::Trailers(&[("grpc-status", "4")]),
        End::HeadOnly("14"),
        End::Trailers(&[("grpc-status", "1")]),
    ] {
        let api = Api::new(Route::gateway()).await;
        api.ends(end);
        let first = api.call(MESSAGE).await;
        assert_eq!(first.word, "in-doubt", "{end:?}");
        let retry = api.call(MESSAGE).await;
        assert_eq!((&retry.word[..], retry.grpc_status()), ("in-doubt", "10"), "{end:?}");
        assert_eq!(api.calls(), 1);
    }
}

#[tokio::test]
async fn a_call_that_ends_without_a_status_has_broken_off() {
    let api = Api::new(Route::gateway()).await;
    api.ends(End::NoStatus);
    let got = api.call(MESSAGE).await;
    assert_eq!((&got.word[..], got.grpc_status(), got.http), ("in-doubt", "10", 200));
}

#[tokio::test]
async fn any_other_failure_is_the_reply_of_the_operation() {
    let api = Api::new(Route::gateway()).await;
    api.ends(End::HeadOnly("9"));
    assert_eq!(api.call(MESSAGE).await.word, "executed");
    let replay = api.call(MESSAGE).await;
    assert_eq!((&replay.word[..], replay.grpc_status()), ("replayed", "9"));
    assert_eq!(api.calls(), 1);
}

#[tokio::test]
async fn the_handlers_own_word_may_come_with_the_trailers_and_goes_no_further() {
    let api = Api::new(Route::default()).await;
    api.ends(End::Trailers(&[("grpc-status", "13"), ("idempotency-effect", "none")]));
    let got = api.call(MESSAGE).await;
    assert_eq!(got.word, "released");
    assert!(!got.trailers.contains_key("idempotency-effect"));
}

#[tokio::test]
async fn a_problem_is_told_as_a_status_with_details() {
    let api = Api::new(Route { demand: Demand::Required, ..Route::gateway() }).await;
    api.call(MESSAGE).await;
    let other: &'static [u8] = &[0, 0, 0, 0, 2, 8, 9];
    let got = api.call(other).await;
    assert_eq!((&got.word[..], got.grpc_status(), got.http), ("mismatch", "3", 200));
    assert_eq!(got.headers["content-type"], "application/grpc");
    assert!(got.headers["grpc-message"].to_str().unwrap().contains("belongs to another request"));
    assert!(got.headers.contains_key("grpc-status-details-bin"));
    assert!(got.body.is_empty() && !got.headers.contains_key("content-length"));
}

#[tokio::test]
async fn a_stream_of_messages_bears_no_key() {
    let two: &'static [u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let api = Api::new(Route::gateway()).await;
    for body in [two, &MESSAGE[..6], &[]] {
        let got = api.call(body).await;
        assert_eq!((&got.word[..], got.grpc_status()), ("refused", "3"));
    }
    assert_eq!(api.calls(), 0);
    let off = Api::new(Route { demand: Demand::Off, ..Route::gateway() }).await;
    let got = off.call(two).await;
    assert_eq!((&got.word[..], got.grpc_status()), ("ignored", "0"));
}

#[tokio::test]
async fn a_message_that_was_spooled_is_one_message_too() {
    const LEN: usize = 400 << 10;
    let mut message = vec![0_u8; 5 + LEN];
    message[1..5].copy_from_slice(&u32::try_from(LEN).unwrap().to_be_bytes());
    let message: &'static [u8] = Box::leak(message.into_boxed_slice());
    let api = Api::new(Route { body_memory_max: 1000, ..Route::gateway() }).await;
    assert_eq!(api.call(message).await.word, "executed");
    assert_eq!(api.call(&message[..LEN]).await.word, "refused");
    assert_eq!(api.call(message).await.word, "replayed");
}
