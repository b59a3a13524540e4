//! The flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Refusal;
use crate::run::Options;
use crate::target::duration;

/// Tell of any HTTP API whether it is safe to retry
///
/// Puts an API to cases that lose replies, send twice, send at once, change the body, break the
/// service and its store; counts the effects from outside; and says what the API may promise.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct ConformArgs {
    #[command(subcommand)]
    pub(super) command: Option<ConformCommand>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  semel conform --sample reference
  semel conform --target api.toml --strict --html report.html
  semel conform --target api.toml --case 'claim/*' --repeat 20
  semel conform --url http://127.0.0.1:9000 --path /v1/charges \\
    --header 'Content-Type: application/json' --body '{\"reference\":\"{unique}\",\"amount\":{amount}}' \\
    --count-probe '/v1/charges?reference={unique}' --count-pointer /data
  semel conform --url http://127.0.0.1:8080 --origin 127.0.0.1:9000
  semel conform report a.json b.json --html league.html

Exit codes: 0 everything that is required holds, 1 something does not, 2 it could not be told,
130 stopped.";

#[derive(Clone, Debug, Subcommand)]
pub(super) enum ConformCommand {
    Report(ReportArgs),
}

/// Show reports that were written with --json again, several side by side
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  semel conform report a.json
  semel conform report a.json b.json c.json --html league.html --markdown league.md")]
pub(super) struct ReportArgs {
    /// Reports that were written with --json
    #[arg(value_name = "FILE", required = true)]
    pub(super) reports: Vec<PathBuf>,

    /// Write them as Markdown; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(super) markdown: Option<PathBuf>,

    /// Write them as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

/// What is run, and how.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,

    /// Only cases whose id matches; `*` stands for any text, and it can be given again
    #[arg(long = "case", value_name = "GLOB", help_heading = "Cases")]
    pub(super) select: Vec<String>,

    /// Let every SHOULD count, too
    #[arg(long, help_heading = "Cases")]
    pub(super) strict: bool,

    /// End at the first failure that counts
    #[arg(long, help_heading = "Cases")]
    pub(super) fail_fast: bool,

    /// Governs the order of the cases and every choice; random without it
    #[arg(long, value_name = "N", help_heading = "Cases")]
    pub(super) seed: Option<u64>,

    /// Run each case so often; its worst verdict counts
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Cases",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) repeat: u32,

    /// The unit of time: every wait is a multiple of it
    #[arg(long, value_name = "TIME", default_value = "200ms", help_heading = "Cases",
          value_parser = unit)]
    pub(super) unit: Duration,

    /// Cases at once, where the effects of one can be told from another's
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Cases",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) at_once: u8,

    /// How long a reply may take at most
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Cases",
          value_parser = length)]
    pub(super) timeout: Duration,

    /// Test a host that is not this machine. Name it as the URL does
    #[arg(long, value_name = "HOST", help_heading = "Cases")]
    pub(super) i_may_test_this_host: Option<String>,

    #[command(flatten)]
    pub(super) files: FileArgs,

    /// No progress, and of the summary only its end
    #[arg(long, short, help_heading = "Output")]
    pub(super) quiet: bool,

    /// Show the cases and test nothing; with --json as JSON
    #[arg(long, help_heading = "Instead of a test")]
    pub(super) list: bool,

    /// Show the samples and test nothing; with --json as JSON
    #[arg(long, help_heading = "Instead of a test")]
    pub(super) list_samples: bool,

    /// Print the target file that the flags stand for, to start from, and test nothing
    #[arg(long, help_heading = "Instead of a test")]
    pub(super) print_target: bool,

    /// Write the report as JSON; `-`, or no file at all, is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output", num_args = 0..=1,
          default_missing_value = "-")]
    pub(super) json: Option<PathBuf>,
}

/// What is tested.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What is tested")]
pub(super) struct ApiArgs {
    /// The file that describes the API
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "sample"])]
    pub(super) target: Option<PathBuf>,

    /// A sample API of the tester's own: `reference` is right, the others are broken in one thing
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub(super) sample: Option<String>,

    /// Where the API is, in place of a file: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,

    /// Which HTTP is spoken: what a target with TLS picks, or this one alone; 2 on http:// with no word before
    #[arg(long, value_name = "VERSION", value_parser = ["auto", "1.1", "2"])]
    pub(super) http: Option<String>,

    /// Believe certificates of those in this file (PEM) alone
    #[arg(long, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,

    /// Believe any certificate
    #[arg(long, conflicts_with = "cacert")]
    pub(super) insecure: bool,

    /// The tester's own certificates (PEM), for a target that asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,

    /// The key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,

    /// How the operation is sent
    #[arg(long, value_name = "METHOD", default_value = "POST", requires = "url")]
    pub(super) method: String,

    /// Where the operation is sent
    #[arg(long, value_name = "PATH", requires = "url")]
    pub(super) path: Option<String>,

    /// A header of every request, as 'Name: value'; Content-Type goes with the operation alone
    #[arg(long, value_name = "LINE", requires = "url")]
    pub(super) header: Vec<String>,

    /// The operation's body; {unique} and {amount} are filled in
    #[arg(long, value_name = "TEXT", requires = "url")]
    pub(super) body: Option<String>,

    /// The header that bears the key
    #[arg(long, value_name = "NAME", default_value = "Idempotency-Key", requires = "url")]
    pub(super) key_header: String,

    /// Count effects by a GET of this path; {unique} is filled in
    #[arg(long, value_name = "PATH", requires = "url", conflicts_with_all = ["count_command", "origin"])]
    pub(super) count_probe: Option<String>,

    /// Where the number, or the array whose length counts, stands in the probe's JSON (RFC 6901)
    #[arg(long, value_name = "POINTER", requires = "count_probe")]
    pub(super) count_pointer: Option<String>,

    /// Count effects by a command that prints a number; {unique} is filled in
    #[arg(long, value_name = "COMMAND", requires = "url", conflicts_with = "origin")]
    pub(super) count_command: Option<String>,

    /// The API is a gateway: listen here as its upstream, and count there
    #[arg(long, value_name = "ADDR", requires = "url", conflicts_with_all = ["path", "body"])]
    pub(super) origin: Option<SocketAddr>,
}

/// Where reports go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(super) struct FileArgs {
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,

    /// Write the report as Markdown
    #[arg(long, value_name = "FILE")]
    pub(super) markdown: Option<PathBuf>,

    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

/// A length of time that is not zero.
fn length(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err("it is no time at all".to_owned()),
        length => Ok(length),
    }
}

/// A unit that leaves the cases their bounds.
fn unit(given: &str) -> Result<Duration, String> {
    let unit = length(given)?;
    if unit > Duration::from_secs(10) {
        return Err("a unit of more than 10s makes every case wait for minutes".to_owned());
    }
    Ok(unit)
}

impl RunArgs {
    /// How to run.
    ///
    /// # Errors
    /// When this machine gives no seed.
    pub(super) fn options(&self) -> Result<Options, Refusal> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| Refusal(format!("this machine gives no randomness: {error}")))?;
        Ok(Options {
            unit: self.unit,
            patience: self.timeout,
            select: self.select.clone(),
            strict: self.strict,
            fail_fast: self.fail_fast,
            seed: self.seed.unwrap_or_else(|| u64::from(u32::from_le_bytes(random))),
            repeat: self.repeat,
            at_once: usize::from(self.at_once),
            allowed_host: self.i_may_test_this_host.clone(),
        })
    }
}
