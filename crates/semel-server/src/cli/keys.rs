//! `semel keys`: what a running server knows of its keys.

mod reconcile;

use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use semel::core::RecordId;
use serde_json::{Value, json};

use super::output::{self, Failure};
use super::remote::{Remote, RemoteArgs};

/// Look at keys, and settle those in doubt
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel keys list --state in-doubt
  semel keys show --key 8e03978e-40d5-43dd-bc93-6894a57f9324 --principal 'Bearer sk_live_1'
  semel keys resolve ID --done --status 201")]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Show(ShowArgs),
    Resolve(ResolveArgs),
    Reconcile(reconcile::ReconcileArgs),
    Void(VoidArgs),
    Erase(EraseArgs),
}

/// List records, in the order of their ids
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel keys list --state in-doubt
  semel keys list --limit 10000 --json | jq -r .state | sort | uniq -c")]
struct ListArgs {
    /// Only in this state
    #[arg(long, value_name = "STATE",
          value_parser = ["in-flight", "in-doubt", "completed", "released", "spent", "void"])]
    state: Option<String>,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Which record.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "key"])))]
struct Which {
    /// The record's id, as `semel keys list` shows it
    #[arg(value_name = "ID", value_parser = id)]
    id: Option<RecordId>,

    /// The caller's idempotency key; its id is computed on the server
    #[arg(long, env = "SEMEL_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,

    /// Whose key it is: the value of the header that --scope names (`Bearer …` by default)
    #[arg(
        long,
        env = "SEMEL_PRINCIPAL",
        hide_env_values = true,
        value_name = "VALUE",
        requires = "key"
    )]
    principal: Option<String>,

    /// The path that the key was sent to, where routes differ in how they read keys
    #[arg(long, value_name = "PATH", requires = "key")]
    path: Option<String>,

    /// The method that the key was sent by, where methods of that path differ
    #[arg(long, value_name = "METHOD", requires = "path")]
    method: Option<String>,
}

fn id(given: &str) -> Result<RecordId, String> {
    RecordId::parse(given)
        .ok_or_else(|| "an id is 64 hexadecimal digits; `semel keys list` shows them".to_owned())
}

/// Show one record
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  semel keys show ID
  semel keys show --key KEY --principal 'Bearer sk_live_1' --json
  semel keys show --key KEY --principal acme --path /v1/charges --method PUT")]
struct ShowArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Say what happened to a key in doubt. It cannot be unsaid
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("word").required(true).args(["done", "released"])))]
#[command(after_help = "\
Examples:
  semel keys resolve ID --done               it happened; retries get 410 reply-not-kept
  semel keys resolve ID --done --status 201  the same, and the status is known
  semel keys resolve ID --released           it did not happen; the next retry runs

Released is refused until the grace has passed: the request may still be under way.")]
struct ResolveArgs {
    /// It happened
    #[arg(long)]
    done: bool,

    /// It did not happen, and nothing of it is under way
    #[arg(long)]
    released: bool,

    /// The HTTP status that was answered
    #[arg(long, value_name = "N", requires = "done",
          value_parser = clap::value_parser!(u16).range(200..600))]
    status: Option<u16>,

    #[command(flatten)]
    act: ActArgs,
}

/// Make sure that an operation never runs, where it has not yet. It cannot be undone
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  semel keys void --key KEY --principal 'Bearer sk_live_1'

A key that has not come yet is named by --key. One in doubt cannot be voided: that would not undo what
may have run. Nor can a UUIDv7 that is older than memory: it may have run and been forgotten.")]
struct VoidArgs {
    #[command(flatten)]
    act: ActArgs,
}

/// Drop a stored reply; the key stays known to be used. It cannot be undone
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  semel keys erase ID --yes")]
struct EraseArgs {
    #[command(flatten)]
    act: ActArgs,
}

/// What all acts take.
#[derive(Args, Debug)]
struct ActArgs {
    #[command(flatten)]
    which: Which,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    remote: RemoteArgs,
}

impl KeysArgs {
    /// Runs the verb.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::List(args) => list(args).await?,
            Verb::Show(args) => {
                let remote = Remote::new(&args.remote)?;
                let id = args.which.find(&remote).await?;
                let record = remote.get(&format!("/v1/keys/{id}")).await?;
                output::data(&output::shown(&record, args.remote.json))?;
            }
            Verb::Resolve(args) => {
                let (asked, word) = if args.released {
                    (
                        "say that it did NOT happen, so that the next retry runs it",
                        json!({ "outcome": "released" }),
                    )
                } else {
                    ("say that it happened", json!({ "outcome": "done", "status": args.status }))
                };
                args.act.run("resolve", asked, &word).await?;
            }
            Verb::Reconcile(args) => args.run().await?,
            Verb::Void(args) => {
                // The key goes along: its own time may say that it may have run and been forgotten.
                let named = args.act.which.named().unwrap_or_else(|| json!({}));
                args.act.run("void", "make sure that it never runs", &named).await?;
            }
            Verb::Erase(args) => {
                args.act.run("erase", "drop its reply for good", &json!({})).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Which {
    /// The key itself, as the server is told of it.
    fn named(&self) -> Option<Value> {
        let key = self.key.as_ref()?;
        Some(json!({
            "key": key, "principal": self.principal, "path": self.path, "method": self.method,
        }))
    }

    async fn find(&self, remote: &Remote) -> Result<String, Failure> {
        if let Some(id) = self.id {
            return Ok(id.to_string());
        }
        let asked = self.named().unwrap_or_else(|| json!({}));
        let found = remote.post("/v1/keys/find", &asked).await?;
        match found["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(Failure::unknown("the server named no id")),
        }
    }
}

impl ActArgs {
    async fn run(&self, verb: &str, asked: &str, body: &Value) -> Result<(), Failure> {
        let remote = Remote::new(&self.remote)?;
        let id = self.which.find(&remote).await?;
        if !self.yes {
            output::confirm(&format!("{id}: {asked}?"))?;
        }
        let told = remote.post(&format!("/v1/keys/{id}/{verb}"), body).await?;
        output::note(&format!("{}: {id}", told["done"].as_str().unwrap_or("done")));
        match &told["record"] {
            Value::Null => Ok(()),
            record => output::data(&output::shown(record, self.remote.json)),
        }
    }
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let mut left = args.limit;
    let mut after: Option<String> = None;
    let mut first = true;
    while left > 0 {
        let mut path = format!("/v1/keys?limit={}", left.min(1000));
        if let Some(state) = &args.state {
            path.push_str(&format!("&state={state}"));
        }
        if let Some(after) = &after {
            path.push_str(&format!("&after={after}"));
        }
        let page = remote.get(&path).await?;
        let records: Vec<&Value> = page["keys"].as_array().into_iter().flatten().collect();
        if first && !args.remote.json && !records.is_empty() {
            output::data(&format!(
                "{}\n",
                row(["ID", "STATE", "EFFECT", "ATTEMPT", "STATUS", "SINCE"])
            ))?;
        }
        first = false;
        let lines: String = records.iter().map(|record| line(record, args.remote.json)).collect();
        output::data(&lines)?;
        for one in page["unreadable"].as_array().into_iter().flatten() {
            output::note(&format!("not listed: {}", one["why"].as_str().unwrap_or("unreadable")));
        }
        left = left.saturating_sub(records.len());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            return Ok(());
        }
    }
    output::note("there are more; raise --limit");
    Ok(())
}

fn line(record: &Value, as_json: bool) -> String {
    if as_json {
        return format!("{record}\n");
    }
    let text = |name: &str| match &record[name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let cells = ["id", "state", "effect", "attempt", "status", "since"].map(text);
    format!("{}\n", row(cells.each_ref().map(String::as_str)))
}

fn row([id, state, effect, attempt, status, since]: [&str; 6]) -> String {
    format!("{id:<64}  {state:<9}  {effect:<7}  {attempt:>7}  {status:>6}  {since}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_rows_for_people_and_objects_for_programs() {
        let record = json!({ "id": "ab", "state": "in-doubt", "status": null, "attempt": 2 });
        assert!(line(&record, false).contains("in-doubt"));
        assert_eq!(line(&record, false).split_whitespace().count(), 6);
        assert_eq!(line(&record, true), format!("{record}\n"));
        assert!(output::shown(&record, false).contains("state           in-doubt\n"));
    }
}
