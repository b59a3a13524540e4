//! What an application adds to be safe to retry: the engine, the tower layer, the stores.
//!
//! Semel answers one question for every retried operation: *did it happen?* The rules live in
//! [`semel_core`]; here they are carried out.

pub mod engine;
pub mod entropy;
pub mod http;
#[cfg(feature = "layer")]
pub mod layer;
pub mod store;
pub mod time;

pub use semel_core as core;
