//! The command line: data on stdout, all else on stderr.
//!
//! Exit codes: 0 everything that is required holds, 1 something does not, 2 it could not be told
//! (wrong flags among that), 130 told to stop.
//!
//! 1. `source` finds what is to be tested: a file, flags, or a sample.
//! 2. `progress` shows the run while it lasts.
//! 3. `output` writes the reports; `merge` writes those of runs made before.

mod args;
mod list;
mod merge;
mod output;
mod progress;
mod source;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::SystemTime;

pub use args::ConformArgs;
use args::{ConformCommand, RunArgs};
use output::Outputs;

use crate::report::text::Paint;
use crate::report::verdict::{Outcome, outcome};
use crate::report::{Report, html, json, junit, markdown, text};
use crate::run::{self, RunError};

/// Why a command ends without an answer, as a line for stderr.
struct Refusal(String);

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl ConformArgs {
    /// Does what is asked. `program` is how this command is called: `semel conform`.
    pub async fn run(self, program: &str) -> ExitCode {
        let ended = match self.command {
            Some(ConformCommand::Report(args)) => merge::merge(&args),
            None if self.run.list => list::cases(&self.run),
            None if self.run.list_samples => list::samples(self.run.json.is_some()),
            None if self.run.print_target => source::print(&self.run),
            None => test(self.run, program).await,
        };
        ended.unwrap_or_else(|Refusal(why)| {
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::from(2)
        })
    }
}

async fn test(args: RunArgs, program: &str) -> Result<ExitCode, Refusal> {
    let options = args.options()?;
    let source = source::find(&args, program).await?;
    let outputs = Outputs::open(&[
        (&args.json, |reports| reports.iter().map(json::write).collect()),
        (&args.files.junit, |reports| reports.iter().map(junit::write).collect()),
        (&args.files.markdown, markdown::write),
        (&args.files.html, html::write),
    ])?;
    let began = now();
    let progress = progress::Progress::begin(args.quiet, options.strict);
    let found = run::run_until(source.target, options, stop(), |event| progress.tell(&event)).await;
    progress.end();
    drop(source.sample);
    let findings = match found {
        Ok(findings) => findings,
        Err(error @ RunError::NotMended(_)) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            return Ok(ExitCode::from(Outcome::Interrupted.code()));
        }
        Err(error) => return Err(error.into()),
    };
    let report = Report::of(&findings, began, &source.command);
    let taken = outputs.take_stdout();
    outputs.write(std::slice::from_ref(&report))?;
    let told = if args.quiet { text::end } else { text::write };
    if taken {
        let _ = write!(io::stderr(), "{}", told(&report, paint(&io::stderr())));
    } else {
        output::data(&told(&report, paint(&io::stdout())))?;
    }
    Ok(ExitCode::from(outcome(&report).code()))
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a report says when it was made; no case looks here")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Ends when a person or a supervisor says stop.
async fn stop() {
    let asked = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                biased;
                _ = asked => {}
                _ = terminated.recv() => {}
            }
            return;
        }
        if asked.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
    #[cfg(not(unix))]
    if asked.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Colours only for a person who does not mind them.
fn paint(stream: &impl IsTerminal) -> Paint {
    let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Paint(stream.is_terminal() && !minds && !dumb)
}
