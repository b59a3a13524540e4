//! Breaking the target and mending it again, whatever comes of the case between.

use std::time::Duration;

use crate::case::{Halt, Outcome};
use crate::control::Act;
use crate::trial::{DECLARED_MAX, Operation, Trial};

/// Kills the service and starts it again.
///
/// # Errors
/// When a command fails.
pub(super) async fn restart(trial: &Trial) -> Outcome {
    trial.act(Act::Kill).await?;
    trial.act(Act::Start).await
}

/// Restarts the service after an operation that had its effect, and looks whether what counts effects
/// still knows of it: a count that was lost with the service cannot show a second one.
///
/// # Errors
/// When a command fails, and [`Halt::Inconclusive`] when the effect is not counted any more.
pub(super) async fn restart_past_effect(trial: &Trial, operation: &Operation) -> Outcome {
    trial.effect_happens(operation).await?;
    restart(trial).await?;
    remembered(trial, operation).await
}

/// Expects that an effect that was counted before a crash is still counted.
///
/// # Errors
/// [`Halt::Inconclusive`] when it is not.
pub(super) async fn remembered(trial: &Trial, operation: &Operation) -> Outcome {
    if trial.effects(operation).await? == 0 {
        let why = "what counts the effects forgot them in the crash: count where a crash does not reach, as in a database";
        return Err(Halt::Inconclusive(why.into()));
    }
    Ok(())
}

/// Does something with a store that may be broken, and mends the store. Where it fails, the run mends
/// it.
///
/// # Errors
/// Those of `what`, and when the store could not be mended.
pub(super) async fn mended<T>(
    trial: &Trial,
    what: impl Future<Output = Result<T, Halt>>,
) -> Result<T, Halt> {
    let got = what.await?;
    trial.act(Act::StoreUp).await?;
    Ok(got)
}

/// How long after a crash a key may stay undecided.
///
/// # Errors
/// [`Halt::Skipped`] when that is longer than a test waits.
pub(super) fn settles_within(trial: &Trial) -> Result<Duration, Halt> {
    let timing = &trial.target().timing;
    if timing.settles_within.is_some() {
        return declared("settles_within", timing.settles_within);
    }
    Ok(match timing.lease {
        Some(lease) => declared("lease", Some(lease))? * 3,
        None => trial.units(20),
    })
}

/// A time that the target file declares.
///
/// # Errors
/// [`Halt::Skipped`] when there is none, or it is longer than a test waits.
pub(super) fn declared(name: &str, time: Option<Duration>) -> Result<Duration, Halt> {
    match time {
        Some(time) if time <= DECLARED_MAX => Ok(time),
        Some(time) => Err(Halt::Skipped(format!(
            "timing.{name} is {time:?}, longer than a test waits: give a test target a shorter one"
        ))),
        None => Err(Halt::Skipped(format!("the target has no timing.{name}"))),
    }
}
