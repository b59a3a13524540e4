//! The `semel` command: a gateway that makes any HTTP API safe to retry, and the tools beside it.
//!
//! The path of a request: [`listen`] takes the connection, [`gateway`] refuses what is ambiguous,
//! `semel::layer` claims and settles, [`gateway`] forwards. No rule about keys lives here.

mod admin;
mod banner;
mod cli;
mod config;
mod demo;
mod descriptors;
mod gateway;
mod known_store;
mod listen;
mod memories;
mod open;
mod peer;
mod principals;
mod reload;
mod secret_file;
mod serve;
mod stop;
mod telemetry;
mod tls;

use std::process::ExitCode;

/// Some forty allocations a request, many of them freed by another thread than they were made by.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
