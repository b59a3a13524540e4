//! Keys that outlive their replies: a late retry is told that its key was used, and never runs again
//! while the key is known.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::again::{at_most_one, once};
use super::case;
use super::outage::declared;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::trial::{Operation, Trial, same_reply, uuid};
use crate::wire::Reply;

pub(super) const CASES: &[Case] = &[
    case!(
        "retention/spent-no-second-effect", Must, spent_no_effect,
        needs: [Need::Retention, Need::Memory],
        "A retry after the reply is gone, while the key is known, has no second effect.",
        "Visa, Worldpay and Coinbase, February 2018: purchases were submitted again weeks later"
    ),
    case!(
        "retention/spent-says-so", Should, spent_says_so,
        needs: [Need::Retention, Need::Memory],
        "A retry after the reply is gone is told that its key was used, or still gets the reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.3 asks for a published policy of expiry; RFC 9110 §15.5.11"
    ),
    case!(
        "retention/replayed-until-it-ends", Should, replayed_until,
        needs: [Need::Retention],
        "A reply can be replayed until its declared retention ends.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.3"
    ),
    case!(
        "retention/spent-key-other-body", Must, spent_other_body,
        needs: [Need::Retention, Need::Memory],
        "A used key with another body runs nothing after the reply is gone, while the key is known.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.2: a key is not reused with another payload"
    ),
    case!(
        "retention/duplicates-at-the-end", Must, at_the_end,
        needs: [Need::Retention, Need::Memory],
        "Duplicates that arrive just before, at and just after the end of retention have no second effect.",
        "Sentry pull request 107734: duplicates 500 ms apart and a window of 20 s by guess"
    ),
    case!(
        "retention/old-key-refused", Info, old_key,
        needs: [Need::Memory],
        "A key that bears a time older than the memory (a version 7 UUID of 2021) is refused: nobody knows whether it was used.",
        "RFC 9562 §5.7; OASIS repeatable requests answer 412 to what was first sent too long ago"
    ),
    case!(
        "retention/future-key-refused", Info, future_key,
        needs: [Need::Memory],
        "A key that bears a time a day ahead (a version 7 UUID) is refused: it would never grow old.",
        "RFC 9562 §5.7"
    ),
    case!(
        "retention/new-after-memory", Info, after_memory,
        needs: [Need::Memory],
        "After memory ends the key is new: the operation runs again.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.3"
    ),
];

/// Retention and memory, where both can be waited for and one is longer than the other.
fn spans(trial: &Trial) -> Result<(Duration, Duration), Halt> {
    let timing = &trial.target().timing;
    let retention = declared("retention", timing.retention)?;
    let memory = timing.memory.unwrap_or_default();
    if memory <= retention + trial.units(10) {
        let why = format!("memory ({memory:?}) is hardly longer than retention ({retention:?})");
        return Err(Halt::Skipped(why));
    }
    Ok((retention, memory))
}

/// An operation whose reply is gone, and when it succeeded.
async fn spent(trial: &Trial) -> Result<(Operation, Reply, Instant), Halt> {
    let (retention, memory) = spans(trial)?;
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let began = Instant::now();
    let beyond = (retention / 4).min((memory - retention) / 4);
    trial.pause(retention + beyond.max(trial.units(2))).await;
    Ok((operation, first, began))
}

/// Whether the memory of a key that was used then still lasted: what came later proves nothing.
fn still_known(trial: &Trial, began: Instant) -> Outcome {
    let memory = trial.target().timing.memory.unwrap_or_default();
    if began.elapsed() < memory {
        return Ok(());
    }
    Err(Halt::Inconclusive("memory ended before the retry did".into()))
}

async fn spent_no_effect(trial: &Trial) -> Outcome {
    let (operation, _, began) = spent(trial).await?;
    once(trial, &operation).await?;
    once(trial, &operation).await?;
    still_known(trial, began)?;
    trial.expect_effects(&operation, 1).await
}

/// Words that say that a key was used.
const USED: [&str; 8] =
    ["used", "spent", "expired", "no longer", "already", "gone", "not kept", "too old"];

async fn spent_says_so(trial: &Trial) -> Outcome {
    let (operation, first, began) = spent(trial).await?;
    let again = trial.send(&operation).await?;
    still_known(trial, began)?;
    if again.success() {
        return same_reply(&first, &again);
    }
    let text = again.text().to_lowercase();
    let says = again.status == 410 || USED.iter().any(|word| text.contains(word));
    let refused = (400..500).contains(&again.status);
    let expected = "a 4xx that says that the key was used (410, or in words)";
    expect(refused && says, expected, again.brief())
}

async fn replayed_until(trial: &Trial) -> Outcome {
    let retention = declared("retention", trial.target().timing.retention)?;
    let operation = trial.operation();
    let before = Instant::now();
    let first = trial.succeed(&operation).await?;
    trial.pause(retention * 3 / 4).await;
    let again = trial.send(&operation).await?;
    if before.elapsed() >= retention {
        return Err(Halt::Inconclusive("retention ended before the retry did".into()));
    }
    same_reply(&first, &again)
}

async fn spent_other_body(trial: &Trial) -> Outcome {
    let (operation, _, began) = spent(trial).await?;
    let other = operation.clone().amount("101");
    once(trial, &other).await?;
    still_known(trial, began)?;
    trial.expect_effects(&operation, 1).await
}

async fn at_the_end(trial: &Trial) -> Outcome {
    let (retention, _) = spans(trial)?;
    let operation = trial.operation();
    trial.succeed(&operation).await?;
    let began = Instant::now();
    let early = retention.saturating_sub(trial.units(2));
    trial.pause(early).await;
    let step = trial.units(1) / 4;
    while began.elapsed() < retention + trial.units(2) {
        once(trial, &operation).await?;
        trial.pause(step).await;
    }
    still_known(trial, began)?;
    trial.expect_effects(&operation, 1).await
}

/// A version 7 UUID of that time, in milliseconds since 1970.
fn dated(trial: &Trial, ms: u64) -> String {
    let mut bytes = [0_u8; 16];
    for (at, byte) in bytes.iter_mut().enumerate().skip(6) {
        *byte = u8::try_from(trial.chance(256)).unwrap_or_default() ^ salt_of(trial, at);
    }
    let time = ms.to_be_bytes();
    for (to, from) in bytes.iter_mut().zip(time.iter().skip(2)) {
        *to = *from;
    }
    uuid(bytes, 7)
}

/// So that two runs of one seed do not share a key.
fn salt_of(trial: &Trial, at: usize) -> u8 {
    trial.fresh_unique().bytes().rev().nth(at).unwrap_or_default()
}

/// 1 July 2021.
const LONG_AGO_MS: u64 = 1_625_097_600_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The wall clock: what a key that bears its time is judged by.
#[expect(clippy::disallowed_methods, reason = "a key with a time of its own needs the wall clock")]
fn now_ms() -> Result<u64, Halt> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let ms = now.and_then(|now| u64::try_from(now.as_millis()).ok());
    ms.ok_or_else(|| Halt::Broken("this machine's clock stands before 1970".into()))
}

async fn refused(trial: &Trial, ms: u64) -> Outcome {
    let operation = trial.operation();
    let operation = operation.key(&dated(trial, ms));
    let reply = trial.send(&operation).await?;
    let count = at_most_one(trial, &operation).await?;
    let refused = (400..500).contains(&reply.status) && count == 0;
    let observed = format!("{}, {count} effects", reply.brief());
    expect(refused, "a 4xx, and no effect", observed)
}

async fn old_key(trial: &Trial) -> Outcome {
    refused(trial, LONG_AGO_MS).await
}

async fn future_key(trial: &Trial) -> Outcome {
    refused(trial, now_ms()? + DAY_MS).await
}

async fn after_memory(trial: &Trial) -> Outcome {
    let memory = declared("memory", trial.target().timing.memory)?;
    let operation = trial.operation();
    trial.succeed(&operation).await?;
    trial.pause(memory + (memory / 4).max(trial.units(5))).await;
    let again = trial.send(&operation).await?;
    expect(again.success(), "the operation runs again, as a new one", again.brief())?;
    trial.expect_effects(&operation, 2).await
}
