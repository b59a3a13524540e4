//! `semel keys reconcile`: the upstream is asked now.

use clap::Args;
use serde_json::{Value, json};

use super::Which;
use crate::cli::output::{self, Failure};
use crate::cli::remote::{Remote, RemoteArgs};

/// Ask the upstream what became of a key in doubt, by its route's look-up
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel keys reconcile ID
  semel keys reconcile --key KEY --principal 'Bearer sk_live_1'

What is found settles the key. What is not found releases it, but only after the grace, and only where
the look-up is declared consistent; that takes a second.")]
pub(super) struct ReconcileArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    remote: RemoteArgs,
}

impl ReconcileArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let remote = Remote::new(&self.remote)?;
        let id = self.which.find(&remote).await?;
        let told = remote.post(&format!("/v1/keys/{id}/reconcile"), &json!({})).await?;
        output::note(&format!("{}: {id}", told["done"].as_str().unwrap_or("done")));
        match &told["record"] {
            Value::Null => Ok(()),
            record => output::data(&output::shown(record, self.remote.json)),
        }
    }
}
