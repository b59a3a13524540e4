//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::report::Tally;
use crate::run::{self, Options};
use crate::target;

/// Tell of an HTTP API whether it is safe to retry
#[derive(Args, Clone, Debug)]
pub struct ConformArgs {
    /// The file that describes the API
    #[arg(long, value_name = "FILE")]
    pub target: PathBuf,
}

impl ConformArgs {
    /// Tests, reports, and says by the exit code what came of it.
    pub async fn run(self) -> ExitCode {
        let mut out = std::io::stdout();
        let target = match target::read(&self.target) {
            Ok(target) => target,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "error: {error}");
                return ExitCode::from(2);
            }
        };
        match run::run(target, Options::default(), |_| ()).await {
            Ok(findings) => {
                let _ = writeln!(out, "{:?}", Tally::of(&findings));
                ExitCode::SUCCESS
            }
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "error: {error}");
                ExitCode::from(2)
            }
        }
    }
}
