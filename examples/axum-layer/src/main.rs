//! An axum service behind Semel's layer: a small API of charges, kept safe in one call of `.layer()`.
//!
//! ```sh
//! cargo run -p example-axum-layer -- --store embedded:charges-data
//! curl -i http://127.0.0.1:9000/charges -H 'Authorization: Bearer me' \
//!   -H 'Content-Type: application/json' -H 'Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324' \
//!   -d '{"reference":"order-1","amount":1200}'
//! ```
//!
//! The charges are those of the tester's sample, which go every way that a retry can meet. So the
//! tests of this example put the layer to `semel conform`.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use clap::Parser;
use http::{Method, StatusCode};
use semel::core::{Policy, Secret, Span, Store, Timestamp};
use semel::engine::{Engine, EngineConfig};
use semel::entropy::{SystemEntropy, random};
use semel::http::{Pattern, Route, Routes};
use semel::layer::{Protection, SemelLayer};
use semel::store::MemoryStore;
use semel::store::embedded::{EmbeddedOptions, EmbeddedStore};
use semel::time::SystemClock;
use semel_conform::sample::App;
use tokio::net::TcpListener;

/// A small API of charges that is safe to retry.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// embedded:PATH, or memory:
    #[arg(long, default_value = "memory:")]
    store: String,
    /// A file to which the reference of each charge is appended
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// How long a claim holds without being renewed, in milliseconds
    #[arg(long, default_value_t = 10_000)]
    lease_ms: u64,
    /// How long a reply can be replayed, in milliseconds
    #[arg(long, default_value_t = 86_400_000)]
    retention_ms: u64,
    /// How long a key is known to be used, in milliseconds
    #[arg(long, default_value_t = 30 * 86_400_000)]
    memory_ms: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (store, secret) = open(&args.store)?;
    let deadline = Span::from_ms(args.lease_ms / 2);
    let config = EngineConfig { deadline, ..EngineConfig::default() };
    let engine = Engine::start(store, secret, config).await?;
    let charge = route(&args);
    // Documents are put whole: by itself that is safe to repeat, but a retry of a write that won would
    // meet its own version. With a key it gets its success again.
    let document = Route { methods: vec![Method::PUT, Method::DELETE], ..charge.clone() };
    let documents = Pattern { prefix: "/resources".to_owned(), methods: Vec::new() };
    let routes = Routes::new(charge).with(documents, document);
    let protection = Protection::new("charges", routes);
    let app = Router::new()
        .fallback(charges)
        .with_state(args.ledger.clone().map_or_else(App::default, App::with_ledger))
        .layer(SemelLayer::new(engine, protection)?);
    axum::serve(TcpListener::bind(args.listen).await?, app).await?;
    Ok(())
}

/// Bytes of a reply that are kept for replay.
const REPLY_MAX: u64 = 4 << 20;

/// A store, and the secret that keys it. Both are kept: with another secret, every key would look new.
fn open(store: &str) -> Result<(Arc<dyn Store>, Secret), Box<dyn Error>> {
    let Some(path) = store.strip_prefix("embedded:") else {
        let store = MemoryStore::new(Arc::new(SystemClock), &SystemEntropy);
        return Ok((Arc::new(store), Secret::new(&random(&SystemEntropy))));
    };
    let (path, beside) = (Path::new(path), format!("{path}.secret"));
    if let Ok(bytes) = std::fs::read(&beside) {
        let secret = bytes.try_into().map_err(|_| format!("{beside} does not hold 32 bytes"))?;
        let store = EmbeddedStore::open(path, options())?;
        return Ok((Arc::new(store), Secret::new(&secret)));
    }
    // Kept before there is a store, so that no record is ever written under a secret that is not; and for
    // its owner alone, since it opens the replies.
    let secret: [u8; 32] = random(&SystemEntropy);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    let store = EmbeddedStore::create(path, options(), Timestamp::ZERO)?;
    Ok((Arc::new(store), Secret::new(&secret)))
}

/// Room for the largest reply that is kept, and its head.
fn options() -> EmbeddedOptions {
    let reply_cap = u32::try_from(REPLY_MAX).expect("4 MiB fit") + (64 << 10);
    EmbeddedOptions { reply_cap, segment_bytes: 4 * reply_cap, ..EmbeddedOptions::default() }
}

/// What this service decides about its keys.
fn route(args: &Args) -> Route {
    let policy = Policy {
        lease: Span::from_ms(args.lease_ms),
        retention: Span::from_ms(args.retention_ms),
        memory: Span::from_ms(args.memory_ms),
        ..Policy::default()
    };
    // 401 and 429 are given before anything is booked. A large reply is 1.6 MB, and is kept, too.
    Route { no_effect: vec![401, 429], reply_max: REPLY_MAX, policy, ..Route::default() }
}

async fn charges(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 8 << 20).await else {
        let mut refused = Response::new(Body::from("the body is too large, or did not come whole"));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return refused;
    };
    match app.handle(http::Request::from_parts(parts, body)).await {
        Ok(reply) => reply.map(Body::new),
        // A handler that panics has said nothing about its effect: the key is in doubt.
        Err(broken) => panic!("the charge ended without an answer: {broken}"),
    }
}
