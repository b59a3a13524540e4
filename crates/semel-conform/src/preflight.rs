//! Whether a target can be judged at all: it is there, takes the operation, and can be counted.

use std::sync::Arc;
use std::time::Duration;

use crate::trial::{Operation, Rig, Trial, in_time};
use crate::wire::{Reply, WireError};

/// Sends one operation and counts it.
///
/// # Errors
/// Why nothing that a case found would mean anything, and what to do.
pub(crate) async fn check(rig: &Arc<Rig>) -> Result<(), String> {
    // A peer that takes connections and shakes no hands would keep the run for ever.
    if let Err(error) = in_time(rig.patience, rig.target.address.connect()).await {
        return Err(unreachable(&error));
    }
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
        Err(error @ WireError::Connect { .. }) => return Err(unreachable(&error)),
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
    let lag = counted_once(&trial, &operation, &reply).await?;
    let _ = rig.lag.set(lag);
    told_apart(&trial).await
}

fn unreachable(error: &WireError) -> String {
    match error {
        WireError::TimedOut { seconds } => format!(
            "no connection was made within {seconds} s: start the target, or mend its url (https for TLS alone)"
        ),
        error if error.disbelieved() => {
            format!("{error}: --cacert FILE says whom to believe, --insecure to believe anybody")
        }
        error => format!("{error}: start the target, or mend its url"),
    }
}

/// The effect of the operation that succeeded is counted, as one. How long after the reply it was
/// seen; zero where it was seen at once.
async fn counted_once(
    trial: &Trial,
    operation: &Operation,
    reply: &Reply,
) -> Result<Duration, String> {
    let began = tokio::time::Instant::now();
    let mut late = false;
    loop {
        match trial.effects(operation).await.map_err(told)? {
            1 if !late => return Ok(Duration::ZERO),
            1 => return Ok(began.elapsed()),
            0 if began.elapsed() < trial.units(20) => {
                late = true;
                trial.pause(trial.units(1) / 4).await;
            }
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

/// Where the count names `{unique}`, it tells operations apart.
async fn told_apart(trial: &Trial) -> Result<(), String> {
    if !trial.target().effects.by_operation() {
        return Ok(());
    }
    let other = trial.operation();
    match trial.effects(&other).await.map_err(told)? {
        0 => Ok(()),
        n => Err(format!(
            "the count names {{unique}} and does not heed it: a value that was never sent ({}) counts {n}: mend [effects]",
            other.unique
        )),
    }
}

/// What kept the preflight, or a mending, from its end.
pub(crate) fn told(halt: crate::case::Halt) -> String {
    use crate::case::Halt;
    match halt {
        Halt::Failed { expected, observed } | Halt::Harmed { expected, observed, .. } => {
            format!("expected {expected}; observed {observed}")
        }
        Halt::Skipped(why) | Halt::Inconclusive(why) | Halt::Broken(why) => why,
    }
}
