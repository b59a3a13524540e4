//! The `semel` binary over real sockets.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod admin;
mod admin_fuzz;
mod admin_tokens;
mod callers_tls;
mod cli;
mod config;
mod conform;
mod connections;
mod contract;
mod contract_page;
mod crowded;
mod demo;
mod demo_taken;
mod flags_page;
mod framing;
mod grpc;
mod harness;
mod keyed;
mod kill;
mod longer_memory;
mod older_copy;
mod proxy;
mod start;
mod stop;
mod stripe;
mod tls;
mod websocket;
