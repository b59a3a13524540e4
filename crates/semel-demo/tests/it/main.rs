//! The sample payment service over real sockets.

#![allow(clippy::unwrap_used, reason = "the whole crate is tests")]

mod charges;
mod page;
mod reads;
mod refunds;
mod service;
mod troubles;
