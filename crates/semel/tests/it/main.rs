//! The integration tests of the library, in one binary.
#![allow(clippy::unwrap_used, reason = "what a test expects and does not find fails it")]

mod cors;
mod door;
#[cfg(feature = "embedded")]
mod embedded;
mod engine;
mod errors;
mod grpc;
mod harness;
mod layer;
mod meters;
mod observe;
mod principals;
mod reauthorize;
mod secrecy;
mod spool;
mod store_down;
mod stores;
mod zoo;
