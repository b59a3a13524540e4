//! `idempotent` 2.0: its tower layer on the memory store.
//!
//! As its README says: keys are scoped by the caller, and a handler that refused a request before it did
//! anything marks its reply `no-store`. The lease is 2 s in place of 60 s, so that lease cases end in time.

use std::error::Error;
use std::time::Duration;

use axum::middleware::map_response;
use axum::response::Response;
use http::header::{CACHE_CONTROL, HeaderValue};
use idempotent::memory::MemoryStore;
use idempotent::middleware::IdempotencyLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let layer = IdempotencyLayer::new(MemoryStore::builder().try_build()?)
        .processing_ttl(Duration::from_secs(2))
        .scope(|parts| Some(parts.headers.get("x-user-id")?.to_str().ok()?.to_owned()));
    let app = semel_league::charges().layer(map_response(refused_before)).layer(layer);
    semel_league::serve(app).await?;
    Ok(())
}

/// The charges answer so only before anything happened.
async fn refused_before(mut reply: Response) -> Response {
    if matches!(reply.status().as_u16(), 400 | 401 | 403 | 429) {
        reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    reply
}
