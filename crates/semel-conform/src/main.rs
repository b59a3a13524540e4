//! `semel-conform`: the tester as a command of its own. `semel conform` is the same.

use std::process::ExitCode;

use clap::Parser;
use semel_conform::cli::ConformArgs;

#[derive(Debug, Parser)]
#[command(name = "semel-conform", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    args: ConformArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().args.run("semel-conform").await
}
