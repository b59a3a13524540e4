//! HTTP as a caller sees it: what a route decides, which key a request carries, what it is answered.
//!
//! Everything here is a pure function over values of the `http` crate: no store, no clock, no
//! runtime, so the tower layer and the gateway share it to the byte. It must never decide whether
//! something runs: that is [`semel_core::machine`]'s.
//!
//! The path: [`route`] picks the rules of a request, [`extract`] reads its key and principal; after
//! the engine, [`reply`] keeps and replays what the handler said, and [`problem`] says everything
//! else, with [`status`] on every answer.

pub mod catalogue;
mod instant;
pub mod problem;
pub mod reply;
pub mod route;
pub mod status;

pub use catalogue::Code;
pub use instant::rfc3339;
pub use problem::{Problem, Retry};
pub use reply::Reply;
pub use route::{Route, Routes};
pub use status::{Status, Word};
