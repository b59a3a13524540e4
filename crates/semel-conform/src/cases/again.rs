//! Sending an operation again where no particular answer is asked for, and what must hold all the
//! same: at most one effect, and no success without one.

use std::time::Duration;

use tokio::time::Instant;

use super::saying::is_final;
use crate::case::{Halt, Harm, Outcome, expect};
use crate::trial::{Operation, Trial};
use crate::wire::{Reply, WireError};

/// Sends the operation; `None` where no whole reply came.
///
/// # Errors
/// [`Halt::Broken`] without a connection.
pub(super) async fn once(trial: &Trial, operation: &Operation) -> Result<Option<Reply>, Halt> {
    whatever(trial.try_send(operation).await)
}

/// Whatever came; `None` where no whole reply did.
///
/// # Errors
/// [`Halt::Broken`] without a connection.
pub(super) fn whatever(got: Result<Reply, WireError>) -> Result<Option<Reply>, Halt> {
    match got {
        Ok(reply) => Ok(Some(reply)),
        Err(error @ WireError::Connect { .. }) => Err(Halt::Broken(error.to_string())),
        Err(_) => Ok(None),
    }
}

/// Sends the operation so many times, one after the other.
///
/// # Errors
/// [`Halt::Broken`] without a connection.
pub(super) async fn times(
    trial: &Trial,
    operation: &Operation,
    times: usize,
) -> Result<Vec<Reply>, Halt> {
    let mut replies = Vec::new();
    for _ in 0..times {
        replies.extend(once(trial, operation).await?);
        trial.pause(trial.units(1) / 2).await;
    }
    Ok(replies)
}

/// Sends the operation until the answer is final, and no longer than so; the last reply, if there was
/// any. What breaks off is sent again, and so is what finds nobody listening.
pub(super) async fn persist(
    trial: &Trial,
    operation: &Operation,
    patience: Duration,
) -> Option<Reply> {
    let began = Instant::now();
    let mut last = None;
    loop {
        if let Ok(reply) = trial.try_send(operation).await {
            if is_final(&reply) {
                return Some(reply);
            }
            last = Some(reply);
        }
        if began.elapsed() >= patience {
            return last;
        }
        trial.pause(trial.units(1)).await;
    }
}

/// Waits for late effects, and expects at most one. Returns how many there are.
///
/// # Errors
/// [`Halt::Harmed`] with the count.
pub(super) async fn at_most_one(trial: &Trial, operation: &Operation) -> Result<u64, Halt> {
    trial.linger(2).await;
    let count = trial.effects(operation).await?;
    if count <= 1 {
        return Ok(count);
    }
    let (expected, observed) = ("at most one effect".to_owned(), format!("{count} effects"));
    Err(Halt::Harmed { harm: Harm::Doubled, expected, observed })
}

/// Expects that the operation did not run again: what a case says of a replay means nothing where there
/// is none.
///
/// # Errors
/// [`Halt::Inconclusive`] when it did: `replay/one-effect` judges that.
pub(super) async fn nothing_ran_again(trial: &Trial, operation: &Operation) -> Outcome {
    trial.linger(0).await;
    match trial.effects(operation).await? {
        0 | 1 => Ok(()),
        n => Err(Halt::Inconclusive(format!("there is no replay: {n} effects"))),
    }
}

/// At most one effect, and one where any reply told a success.
///
/// # Errors
/// [`Halt::Failed`] with what differs.
pub(super) async fn at_most_one_and_no_lie<'a>(
    trial: &Trial,
    operation: &Operation,
    replies: impl IntoIterator<Item = &'a Reply>,
) -> Outcome {
    let count = at_most_one(trial, operation).await?;
    let told = replies.into_iter().find(|reply| reply.success());
    match told {
        Some(reply) if count == 0 => expect(
            false,
            "an operation that is told to have succeeded has had its effect",
            format!("{}, and no effect", reply.brief()),
        ),
        _ => Ok(()),
    }
}

/// Sends an operation whose effect comes and whose reply does not tell of success.
///
/// # Errors
/// [`Halt::Inconclusive`] when the target does not go that way.
pub(super) async fn effect_without_success(
    trial: &Trial,
    operation: &Operation,
) -> Result<Option<Reply>, Halt> {
    let first = once(trial, operation).await?;
    trial.effect_happens(operation).await?;
    let name = operation.behaviour.map_or("plain", crate::behaviour::Behaviour::name);
    match first {
        Some(reply) if reply.success() => Err(Halt::Inconclusive(format!(
            "the {name} operation succeeded at once: {}",
            reply.brief()
        ))),
        other => Ok(other),
    }
}
