//! HTTP as a caller sees it: what a route decides, which key a request carries, what it is answered.
//!
//! Everything here is a pure function over values of the `http` crate: no store, no clock, no
//! runtime, so the tower layer and the gateway share it to the byte. It must never decide whether
//! something runs: that is [`semel_core::machine`]'s.
//!
//! The path: [`routes`] picks the [`route`] of a request, [`extract`] reads its key and principal; after
//! the engine, [`reply`] keeps and replays what the handler said, and [`problem`] says everything
//! else, with [`status`] on every answer.

pub mod catalogue;
pub mod cors;
pub mod extract;
pub mod grpc;
pub mod inquiry;
mod instant;
pub mod prefer;
mod principal;
pub mod problem;
pub mod quota;
pub mod reconcile;
pub mod reply;
pub mod route;
pub mod routes;
pub mod status;
pub mod verify;

pub use catalogue::Code;
pub use inquiry::Ways;
pub use instant::rfc3339;
pub use principal::StablePrincipal;
pub use problem::{Problem, Retry};
pub use quota::Quota;
pub use reconcile::Reconcile;
pub use reply::Reply;
pub use route::Route;
pub use routes::{Pattern, Routes};
pub use status::{Status, Word};
