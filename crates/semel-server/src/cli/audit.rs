//! `semel audit`: looks a file of acts through.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use semel::core::Secret;
use serde_json::json;

use super::output::{self, Failure};
use super::values::{self, StoreSpec};
use crate::admin::audit::verify::{Verified, verify};
use crate::secret_file;

/// Look through what operators did
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  semel audit verify /var/log/semel-audit --secret-file /etc/semel/secret")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Verify(VerifyArgs),
}

/// Check that no line of an audit file was changed, taken out, put in or moved
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel audit verify /var/log/semel-audit --secret-file /etc/semel/secret
  semel audit verify /var/log/semel-audit --last 1042   at least so many lines must be there

Exit 0: as it was written. 1: it was not. 2: not told, for the file or the secret cannot be read.
Lines cut off at the end are found only by --last: the server's own log names the number of each line.")]
struct VerifyArgs {
    /// What `semel serve --audit-file` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The number of a line that is known to have been written
    #[arg(long, value_name = "N")]
    last: Option<u64>,

    /// The store whose secret it was written under
    #[arg(long, env = "SEMEL_STORE", value_name = "STORE", default_value = "embedded:semel-data",
          value_parser = values::store)]
    store: StoreSpec,

    /// The server secret; default: PATH.secret beside the store
    #[arg(long, env = "SEMEL_SECRET_FILE", value_name = "PATH")]
    secret_file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl AuditArgs {
    /// Runs the verb.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Verb::Verify(args) = self.verb;
        let secret = args.secret()?;
        let name = args.file.display();
        let unread = |error| Failure::unknown(format!("{name} could not be read: {error}"));
        let log = File::open(&args.file).map_err(unread)?;
        let found = verify(&secret, BufReader::new(log)).map_err(unread)?;
        let missing = args.last.filter(|last| found.head.seq < *last);
        let right = found.faults_in_all == 0 && missing.is_none();
        let told = if args.json { as_json(&found, right) } else { as_text(&found, missing) };
        output::data(&told)?;
        Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl VerifyArgs {
    fn secret(&self) -> Result<Secret, Failure> {
        let path = match (&self.secret_file, &self.store) {
            (Some(path), _) => path.clone(),
            (None, StoreSpec::Embedded(dir)) => secret_file::beside(dir),
            (None, StoreSpec::Memory) => {
                return Err(Failure::unknown(
                    "the memory store's secret ended with its process: name another by --secret-file",
                ));
            }
        };
        let secret = secret_file::read(&path)?;
        let missing = || Failure::unknown(format!("there is no secret file {}", path.display()));
        Ok(Secret::new(&secret.ok_or_else(missing)?))
    }
}

fn as_json(found: &Verified, right: bool) -> String {
    let faults: Vec<_> = found
        .faults
        .iter()
        .map(|(line, fault)| json!({ "line": line, "fault": fault.to_string() }))
        .collect();
    let told = json!({
        "as_written": right,
        "lines": found.lines,
        "last": found.head.seq,
        "faults": faults,
        "faults_in_all": found.faults_in_all,
    });
    format!("{told}\n")
}

fn as_text(found: &Verified, missing: Option<u64>) -> String {
    let mut text = String::new();
    for (line, fault) in &found.faults {
        text.push_str(&format!("line {line}: {fault}\n"));
    }
    let more = found.faults_in_all - found.faults.len() as u64;
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    if let Some(last) = missing {
        text.push_str(&format!("line {last} is missing: lines were cut off at the end\n"));
    }
    let verdict = if text.is_empty() { "as written" } else { "not as written" };
    text.push_str(&format!(
        "{verdict}: {} lines, the last is number {}\n",
        found.lines, found.head.seq
    ));
    text
}
