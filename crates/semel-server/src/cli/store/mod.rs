//! `semel store`: the store itself. `stats` asks a running server; the others work on the directory
//! of a server that is stopped.

mod damage;
mod lives;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output::{self, Failure};
use super::remote::{Remote, RemoteArgs};
use super::values::{self, StoreSpec};
use clap::{ArgGroup, Args, Subcommand};

/// Look after the store
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel store stats
  semel store check --store embedded:/var/lib/semel")]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Stats(StatsArgs),
    Check(PlaceArgs),
    Repair(RepairArgs),
    Init(InitArgs),
    Accept(AcceptArgs),
}

/// Show how a running server's store is: keys, bytes, what it survives
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel store stats
  semel store stats --json | jq .stats.keys")]
struct StatsArgs {
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Read every byte of a stopped server's store; exit 1 when something is damaged
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  semel store check --store embedded:/var/lib/semel

Exit 0: sound. 1: damaged. 2: not told, for the directory is in use, holds no store, or cannot be read.")]
struct PlaceArgs {
    /// The store of a server that is stopped
    #[arg(long, env = "SEMEL_STORE", value_name = "STORE", default_value = "embedded:semel-data",
          value_parser = values::store)]
    store: StoreSpec,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Set damage aside, so that a stopped server's store opens again
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel store repair --store embedded:/var/lib/semel --begin-anew
  semel store repair --store embedded:/var/lib/semel --quarantine --yes

A damaged STORE file cannot be set aside: restore a copy of the directory.

The damaged bytes are kept in quarantine files. A key whose latest record was among them looks new,
and a retry of what it ran runs again. --begin-anew refuses at least those keys that carry their own
time (UUIDv7) from before now; --quarantine is for when the loss is known to do no harm.")]
#[command(group(ArgGroup::new("choice").required(true).args(["quarantine", "begin_anew"])))]
pub(super) struct RepairArgs {
    #[command(flatten)]
    place: InitArgs,

    /// Go on as the store that it was
    #[arg(long)]
    quarantine: bool,

    /// Begin another life of the store
    #[arg(long)]
    begin_anew: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Make an empty store, also in place of one that was lost
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel store init --store embedded:/var/lib/semel
  semel store init --store embedded:/var/lib/semel --yes   in place of a lost one

In place of a lost store, every key that it knew is unknown: a retry of what it ran runs again. Only
keys that carry their own time (UUIDv7) from before this moment are refused.")]
pub(super) struct InitArgs {
    /// The store's directory
    #[arg(long, env = "SEMEL_STORE", value_name = "STORE", default_value = "embedded:semel-data",
          value_parser = values::store)]
    store: StoreSpec,

    /// The server secret; default: PATH.secret beside the store, made if there is none
    #[arg(long, env = "SEMEL_SECRET_FILE", value_name = "PATH")]
    secret_file: Option<PathBuf>,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Accept the store that is there, another one or an older copy, in place of the one that was known
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  semel store accept --store embedded:/var/lib/semel

Every key that only the known store knew is unknown from now on: a retry of what it ran runs again.
An older copy begins another life, so that its newer self is refused should it turn up. Only keys that carry their own time (UUIDv7) from before this moment are refused.")]
struct AcceptArgs {
    #[command(flatten)]
    place: InitArgs,
}

impl StoreArgs {
    /// Runs the verb.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::Stats(args) => stats(args).await?,
            Verb::Check(args) => return damage::check(&args.store, args.json),
            Verb::Repair(args) => return damage::repair(args).await,
            Verb::Init(args) => lives::init(args).await?,
            Verb::Accept(args) => lives::accept(args.place).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn directory(store: &StoreSpec) -> Result<&Path, Failure> {
    match store {
        StoreSpec::Embedded(dir) => Ok(dir),
        StoreSpec::Memory => Err(Failure::unknown("the memory store has no directory")),
    }
}

async fn stats(args: StatsArgs) -> Result<(), Failure> {
    let told = Remote::new(&args.remote)?.get("/v1/store").await?;
    output::data(&output::shown(&told, args.remote.json))
}
