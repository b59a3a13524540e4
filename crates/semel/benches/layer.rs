//! What the layer adds to a request: `cargo bench -p semel --bench layer`.
//!
//! A service that answers 1 KB, bare and behind the layer on a memory store, called one request at a
//! time on one thread. Rounds are interleaved; of each the median latency is taken, and the median
//! of the differences is printed with their range.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program that prints a table"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use semel::core::Secret;
use semel::core::fingerprint::{FingerprintRules, JsonBodies};
use semel::engine::{Engine, EngineConfig};
use semel::entropy::SystemEntropy;
use semel::http::route::PrincipalSource;
use semel::http::{Route, Routes};
use semel::layer::{Body, Protection, SemelLayer};
use semel::store::MemoryStore;
use semel::time::SystemClock;
use tower::{Layer, Service, service_fn};

const ROUNDS: usize = 15;
const CALLS: usize = 2_000;

/// A JSON document of about 1 KB.
fn document() -> Bytes {
    let items: Vec<String> = (0..18)
        .map(|n| format!("{{\"sku\":\"item-{n:04}\",\"amount\":{n}50,\"note\":\"a few words\"}}"))
        .collect();
    Bytes::from(format!("{{\"customer\":\"c-1\",\"items\":[{}]}}", items.join(",")))
}

async fn reply<B: http_body::Body<Data = Bytes>>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let read = request.into_body().collect().await.map(|b| b.to_bytes().len());
    Ok(Response::new(Full::new(Bytes::from(vec![b'x'; 1024 + read.unwrap_or(0) / 4096]))))
}

struct Caller {
    number: u64,
    body: Bytes,
}

impl Caller {
    fn request(&mut self, key: Option<u64>) -> Request<Full<Bytes>> {
        self.number += 1;
        let number = key.unwrap_or(self.number);
        Request::post("/charges")
            .header("host", "api.example")
            .header("content-type", "application/json")
            .header("idempotency-key", format!("8e03978e-40d5-43dd-bc93-{number:012x}"))
            .body(Full::new(self.body.clone()))
            .unwrap()
    }
}

/// The median latency of a round, in microseconds.
async fn round<S, RB>(service: &mut S, caller: &mut Caller, key: Option<u64>) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>, Error = Infallible>,
    RB: http_body::Body<Data = Bytes>,
{
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let request = caller.request(key);
        let began = Instant::now();
        let response = service.call(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.map(|b| b.to_bytes());
        latencies.push(began.elapsed().as_nanos());
        assert!(body.is_ok_and(|b| b.len() >= 1024));
    }
    latencies.sort_unstable();
    latencies[CALLS / 2] as f64 / 1000.0
}

async fn protect(
    json: JsonBodies,
) -> impl Service<Request<Full<Bytes>>, Response = Response<Body>, Error = Infallible> {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock), &SystemEntropy));
    let secret = Secret::new(&[7; 32]);
    let engine = Engine::start(store, secret, EngineConfig::default()).await.unwrap();
    let route = Route {
        principal: PrincipalSource::None,
        fingerprint: FingerprintRules { json, ..FingerprintRules::default() },
        ..Route::default()
    };
    let protection = Protection::new("bench", Routes::new(route));
    SemelLayer::new(engine, protection).unwrap().layer(service_fn(reply::<Body>))
}

fn row(name: &str, mut added: Vec<f64>, goal: f64) {
    added.sort_by(f64::total_cmp);
    let (median, low, high) = (added[ROUNDS / 2], added[0], added[ROUNDS - 1]);
    println!("{name:<34} {median:>7.2} [{low:.2} to {high:.2}]   goal {goal:.0}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut caller = Caller { number: 0, body: document() };
    println!("1 request of {} bytes at a time, {ROUNDS} rounds of {CALLS}", caller.body.len());
    println!("added to the median latency, in µs     median [range]");
    let mut bare = service_fn(reply::<Full<Bytes>>);
    let mut bytes = protect(JsonBodies::Bytes).await;
    let mut value = protect(JsonBodies::ByValue).await;
    let (mut by_bytes, mut by_value, mut replayed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let base = round(&mut bare, &mut caller, None).await;
        by_bytes.push(round(&mut bytes, &mut caller, None).await - base);
        let base = round(&mut bare, &mut caller, None).await;
        by_value.push(round(&mut value, &mut caller, None).await - base);
        replayed.push(round(&mut bytes, &mut caller, Some(0)).await);
    }
    row("first run, fingerprint by bytes", by_bytes, 5.0);
    row("first run, fingerprint by JSON value", by_value, 12.0);
    replayed.sort_by(f64::total_cmp);
    println!("replay, whole latency                {:>7.2}", replayed[ROUNDS / 2]);
}
