//! Breaking the target and mending it again, whatever comes of the case between.

use std::time::Duration;

use crate::case::{Halt, Outcome};
use crate::control::Act;
use crate::trial::Trial;

/// What the target file declares may be waited for up to here; longer times belong to production, and
/// a test target has shorter ones.
const DECLARED_MAX: Duration = Duration::from_secs(120);

/// Kills the service and starts it again.
///
/// # Errors
/// When a command fails.
pub(super) async fn restart(trial: &Trial) -> Outcome {
    trial.act(Act::Kill).await?;
    trial.act(Act::Start).await
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
pub(super) fn settles_within(trial: &Trial) -> Duration {
    let timing = &trial.target().timing;
    let lease = timing.lease.map(|lease| lease * 3);
    timing.settles_within.or(lease).unwrap_or_else(|| trial.units(20))
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
