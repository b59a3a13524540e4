//! The command line: noun, then verb. Data goes to stdout, all else to stderr.
//!
//! Exit codes: 0 yes, 1 no, 2 could not tell (wrong flags among them), 130 told twice to stop.

pub(crate) mod audit;
pub(crate) mod callers;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod keys;
pub(crate) mod output;
pub(crate) mod remote;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod suggest;
pub(crate) mod values;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::Explicit;
use output::Failure;
use semel_conform::cli::ConformArgs;

/// Makes every retry safe: sends each operation once, replays its reply, and says so when it does
/// not know.
#[derive(Debug, Parser)]
#[command(name = "semel", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Try it: semel demo\nTest an API: semel conform --sample reference\nUse it: semel serve --upstream http://127.0.0.1:9000"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Audit(audit::AuditArgs),
    Config(Box<config::ConfigArgs>),
    Conform(Box<ConformArgs>),
    Demo(demo::DemoArgs),
    Keys(keys::KeysArgs),
    Store(store::StoreArgs),
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let explicit = Explicit::of(&matches);
    // One provider for the whole process; a second one would panic at the first handshake.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    assert!(installed.is_ok(), "nothing before main installs a TLS provider");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&Failure::unknown(format!("no threads: {error}"))),
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => args.run(&explicit).await,
            Command::Audit(args) => args.run(),
            Command::Config(args) => args.run(&explicit),
            Command::Conform(args) => Ok(args.run("semel conform").await),
            Command::Demo(args) => args.run().await,
            Command::Keys(args) => args.run().await,
            Command::Store(args) => args.run().await,
        }
    });
    match ended {
        Ok(code) => code,
        Err(failure) => output::fail(&failure),
    }
}
