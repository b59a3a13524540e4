//! Whether a target can be judged at all: it is there, takes the operation, and can be counted.

use std::sync::Arc;

use crate::trial::{Rig, Trial};
use crate::wire::WireError;

/// Sends one operation and counts it.
///
/// # Errors
/// Why nothing that a case found would mean anything, and what to do.
pub(crate) async fn check(rig: &Arc<Rig>) -> Result<(), String> {
    let begun = Trial::begin(Arc::clone(rig), "preflight", 0).await;
    let trial = begun.map_err(|(_, halt)| told(halt))?;
    let operation = trial.operation();
    let before = trial.effects(&operation).await.map_err(told)?;
    if before != 0 {
        return Err(format!(
            "a value that was never sent ({}) counts {before} effects already: let the count look at {{unique}}",
            operation.unique
        ));
    }
    let reply = match trial.try_send(&operation).await {
        Ok(reply) => reply,
        Err(error @ WireError::Connect { .. }) => {
            return Err(format!("{error}: start the target, or mend its url"));
        }
        Err(error) => return Err(format!("the operation got no reply: {error}")),
    };
    match reply.status {
        200..=299 => {}
        300..=399 => {
            let to = reply.header("location").unwrap_or_default();
            return Err(format!(
                "the operation is redirected to {to:?} ({}): the tester follows no redirect; describe the operation as it is there",
                reply.status
            ));
        }
        401 | 403 => {
            return Err(format!(
                "the target refuses tenant A: {}; set [tenant_a] headers that it accepts",
                reply.brief()
            ));
        }
        _ => return Err(format!("the plain operation does not succeed: {}", reply.brief())),
    }
    let began = tokio::time::Instant::now();
    loop {
        match trial.effects(&operation).await.map_err(told)? {
            1 => return Ok(()),
            0 if began.elapsed() < trial.units(20) => trial.pause(trial.units(1) / 4).await,
            0 => {
                return Err(format!(
                    "the operation succeeded ({}) and its effect is not counted: mend [effects]",
                    reply.brief()
                ));
            }
            n => {
                return Err(format!(
                    "one operation counts {n} effects: mend [effects], so that one is one"
                ));
            }
        }
    }
}

fn told(halt: crate::case::Halt) -> String {
    use crate::case::Halt;
    match halt {
        Halt::Failed { expected, observed } => format!("expected {expected}; observed {observed}"),
        Halt::Skipped(why) | Halt::Inconclusive(why) | Halt::Broken(why) => why,
    }
}
