//! A tower layer that makes a service safe to retry.
//!
//! For each request
//! 1. the path and method pick a [`Route`](crate::http::Route);
//! 2. without a key the request passes through, streamed and untouched;
//! 3. with one, the body is read whole (into a file beyond the route's `body_memory_max`), the key is claimed, and the inner service runs in a task that
//!    does not die with its client;
//! 4. its reply is settled, durably, before the first byte leaves; a retry gets the same reply.
//!
//! A handler reads its [`Attempt`](crate::engine::Attempt) from the request's extensions: the key to
//! pass on, the fence, the number of the attempt; an `Arc<Route>` beside it tells the rules that it
//! runs under. It says that nothing happened by
//! `Idempotency-Effect: none` on its reply, or by a [`Verdict`] among the reply's extensions.
//!
//! # Order in a stack
//! Authenticate, authorize, limit rates, *then* this layer: refusals by what stands before it never
//! reach the store, and a replay passes authentication again by its place in the stack.
//!
//! # Caveats
//! - The inner service is called through the clone that was polled ready.
//! - A reply is held back until it is whole (up to the route's `reply_max`), for it must be durable
//!   before it leaves. A stream (`text/event-stream`), or a reply that outgrows the cap, is completed
//!   with its reply marked *not kept*, durably, before its first byte leaves.
//! - A panic in the handler, or an error of the inner service, leaves the key *in doubt*.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use axum::{Extension, Router, routing::post};
//! use semel::engine::{Attempt, Engine, EngineConfig};
//! use semel::http::{Route, Routes, route::PrincipalSource};
//! use semel::layer::{Protection, SemelLayer};
//! use semel::{core::Secret, entropy::SystemEntropy, store::MemoryStore, time::SystemClock};
//!
//! async fn charge(attempt: Option<Extension<Attempt>>) -> String {
//!     // Pass `attempt.key()` on as the Idempotency-Key of your own call.
//!     format!("charged at attempt {}", attempt.map_or(0, |a| a.number()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new(Arc::new(SystemClock), &SystemEntropy));
//! let engine = Engine::start(store, Secret::new(&[7; 32]), EngineConfig::default()).await?;
//! let route = Route { principal: PrincipalSource::Authorization, ..Route::default() };
//! let protection = Protection::new("shop", Routes::new(route));
//! let app: Router = Router::new()
//!     .route("/charges", post(charge))
//!     .layer(SemelLayer::new(engine, protection)?);
//! # drop(app);
//! # Ok(())
//! # }
//! ```

mod answer;
mod body;
mod browser;
mod capture;
mod keyed;
mod meters;
mod observe;
mod path;
mod promise;
mod quota;
mod reauthorize;
mod reconcile;
mod reserved;
mod service;
mod spool;
mod twins;

pub use body::{Body, BoxError};
pub use promise::Protection;
pub use service::{Semel, SemelLayer};

use semel_core::Span;

use crate::http::Problem;

/// What a caller is told to wait where nothing better is known.
const SOON: Span = Span::from_secs(1);

/// What an inner service says of its own execution, among the extensions of its response.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing happened, and there is proof: no byte of the request could have been acted on. The
    /// problem, if any, is what the caller is told in place of the response.
    Released(Option<Problem>),
    /// It may have happened: there is no complete reply. The response is not used.
    InDoubt,
}
