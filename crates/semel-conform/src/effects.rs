//! How often an operation had its effect, asked of the world and never of the target's own replies.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::case::Halt;
use crate::target::Effects;
use crate::trial::{Operation, Trial};
use crate::wire::Request;

/// A command that counts or breaks may take so long.
const COMMAND_PATIENCE: Duration = Duration::from_secs(20);

/// Counts an operation's effects; all effects, where the target cannot tell one from another.
///
/// # Errors
/// [`Halt::Broken`] when the count could not be had: no count is never zero.
pub(crate) async fn count(trial: &Trial, operation: &Operation) -> Result<u64, Halt> {
    let values = trial.values(operation);
    match &trial.target().effects {
        Effects::Origin(_) => {
            let app = trial.origin().ok_or_else(|| {
                Halt::Broken(
                    "effects are to be counted at the tester's upstream, but none runs".into(),
                )
            })?;
            Ok(app.effects(&operation.unique))
        }
        Effects::Command(command) => {
            let printed = shell(&command.fill(&values)).await.map_err(Unanswered::broken)?;
            let number = printed.trim();
            number.parse().map_err(|_| {
                Halt::Broken(format!(
                    "the command that counts effects printed {number:?}, no number"
                ))
            })
        }
        Effects::Probe { path, pointer } => {
            let found = probe(trial, operation, &path.fill(&values), pointer).await?;
            number(&found).ok_or_else(|| {
                Halt::Broken(format!(
                    "the probe that counts effects found {found} at {pointer:?}, neither a number nor an array"
                ))
            })
        }
    }
}

/// What stands at the pointer of the JSON that a `GET` of tenant A's gets.
///
/// # Errors
/// [`Halt::Broken`] when there is no such thing.
pub(crate) async fn probe(
    trial: &Trial,
    operation: &Operation,
    path: &str,
    pointer: &str,
) -> Result<Value, Halt> {
    let broken = |what: String| Halt::Broken(format!("the probe GET {path}: {what}"));
    let mut request = Request::new("GET", path);
    for (name, value) in trial.credentials(operation.tenant) {
        request = request.add(name, value);
    }
    let reply = trial.quietly(&request).await.map_err(|error| broken(error.to_string()))?;
    if reply.status != 200 {
        return Err(broken(format!("answered {}", reply.brief())));
    }
    let json = reply.json().ok_or_else(|| broken(format!("no JSON: {}", reply.brief())))?;
    let found = json.pointer(pointer).cloned();
    found.ok_or_else(|| broken(format!("there is nothing at {pointer:?} in {}", reply.brief())))
}

fn number(found: &Value) -> Option<u64> {
    match found {
        Value::Array(items) => u64::try_from(items.len()).ok(),
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// Why a command did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It said so.
    #[error("{0}")]
    Refused(String),
    /// It could not be asked, or said nothing in time: nobody knows what it did.
    #[error("{0}")]
    Unknown(String),
}

impl Unanswered {
    /// As the end of a case that cannot go on without it.
    pub(crate) fn broken(self) -> Halt {
        Halt::Broken(self.to_string())
    }
}

/// Runs a command by `sh -c` and returns what it printed.
///
/// # Errors
/// When it could not be run, took too long, or did not exit with 0; with what it said.
pub(crate) async fn shell(command: &str) -> Result<String, Unanswered> {
    let mut process = Command::new("sh");
    process.args(["-c", command]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_PATIENCE, process.output()).await;
    let output = match output {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(Unanswered::Unknown(format!("`{command}` could not be run: {error}")));
        }
        Err(_) => {
            let why = format!("`{command}` did not end within {COMMAND_PATIENCE:?}");
            return Err(Unanswered::Unknown(why));
        }
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = format!("`{command}` ended with {}: {}", output.status, said.trim());
        return Err(Unanswered::Refused(why));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
