//! `semel demo`: its flags.

use std::process::ExitCode;

use clap::Args;

use super::output::Failure;

/// Try it: a sample payment service, the gateway before it, and a page to play with
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  semel demo

It takes the ports 8080, 8081 and 8082 of loopback, or any others when those are taken. Its store
is the durable one, in a temporary directory that is removed at the end.")]
pub(crate) struct DemoArgs {
    /// What is logged: warn, info, debug, or by module as in warn,semel=debug
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

impl DemoArgs {
    /// Runs until told to stop.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        crate::demo::run(self).await
    }
}
