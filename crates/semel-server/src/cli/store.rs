//! `semel store`: the store itself. `stats` asks a running server; the others work on the directory
//! of a server that is stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use semel::core::store::{Filter, Page};
use semel::core::{Store, Timestamp};
use semel::entropy::{SystemEntropy, random};
use semel::store::embedded::{EmbeddedOptions, EmbeddedStore, OpenError};
use semel::time::{SystemClock, WallClock};
use serde_json::json;

use super::output::{self, Failure};
use super::remote::{Remote, RemoteArgs};
use super::values::{self, StoreSpec};
use crate::secret_file;

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
    Init(InitArgs),
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

/// Read every record of a stopped server's store; exit 1 when some cannot be read
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  semel store check --store embedded:/var/lib/semel")]
struct PlaceArgs {
    /// The store of a server that is stopped
    #[arg(long, env = "SEMEL_STORE", value_name = "STORE", default_value = "embedded:semel-data",
          value_parser = values::store)]
    store: StoreSpec,

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
struct InitArgs {
    /// Where to make it
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

impl StoreArgs {
    /// Runs the verb.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::Stats(args) => stats(args).await?,
            Verb::Check(args) => check(&args).await?,
            Verb::Init(args) => init(args)?,
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

async fn check(args: &PlaceArgs) -> Result<(), Failure> {
    let dir = directory(&args.store)?;
    let store = match EmbeddedStore::open(dir, EmbeddedOptions::default()) {
        Ok(store) => store,
        Err(error @ OpenError::Damaged { .. }) => return Err(Failure::no(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut by_state = std::collections::BTreeMap::<&str, u64>::new();
    let mut after = None;
    loop {
        let page = Page { after, limit: 1000 };
        let listing = store
            .list(Filter::default(), page)
            .await
            .map_err(|error| Failure::no(error.to_string()))?;
        for (_, record) in &listing.records {
            *by_state.entry(record.state.name()).or_default() += 1;
        }
        after = listing.next;
        if after.is_none() {
            break;
        }
    }
    let told = json!({ "store": dir.display().to_string(), "readable": true, "records": by_state });
    output::data(&output::shown(&told, args.json))
}

fn init(args: InitArgs) -> Result<(), Failure> {
    let dir = directory(&args.store)?;
    let path = args.secret_file.unwrap_or_else(|| secret_file::beside(dir));
    secret_file::check_place(&path, dir)?;
    let lost = secret_file::read(&path)?.is_some();
    match EmbeddedStore::open(dir, EmbeddedOptions::default()) {
        Err(OpenError::Missing { .. }) => {}
        Ok(_) | Err(OpenError::AlreadyOpen { .. }) => {
            return Err(Failure::no(format!("{} holds a store already", dir.display())));
        }
        Err(error) => return Err(error.into()),
    }
    let birth = if lost {
        if !args.yes {
            output::confirm(&format!(
                "The secret {} had a store. Make an empty one in its place, so that a retry of what it ran runs again?",
                path.display()
            ))?;
        }
        SystemClock.now()
    } else {
        Timestamp::ZERO
    };
    EmbeddedStore::create(dir, EmbeddedOptions::default(), birth)?;
    output::note(&format!("made the store {}", dir.display()));
    if !lost {
        secret_file::create(&path, &random(&SystemEntropy))?;
        output::note(&format!("made the server secret {}: keep a copy of it", path.display()));
    }
    Ok(())
}
