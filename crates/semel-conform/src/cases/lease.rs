//! Handlers that take longer than their claim holds, and services that die between claim and reply.

use futures_util::future::join_all;

use super::again::{at_most_one, at_most_one_and_no_lie, once, persist, whatever};
use super::case;
use super::outage::{declared, restart, restart_past_effect, settles_within};
use super::saying::{is_final, says_unknown};
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::Reply;

pub(super) const CASES: &[Case] = &[
    case!(
        "lease/longer-handler-one-effect", Must, longer_handler,
        needs: [Need::Lease, Need::Behaves(Behaviour::Slow)],
        "An operation that takes longer than a claim holds has one effect, though retries come in the middle.",
        "Truxify issue 5846: a 10 s lock under a 60 s handler"
    ),
    case!(
        "lease/early-effect-one-effect", Must, early_effect,
        needs: [Need::Lease, Need::Behaves(Behaviour::SlowAfter)],
        "An operation whose effect came early and whose reply comes after its claim lapsed does not run again.",
        "actor-ts issue 1082: a late owner and its successor both ran"
    ),
    case!(
        "lease/first-caller-answered", Should, first_caller,
        needs: [Need::Lease, Need::Behaves(Behaviour::Slow)],
        "The first caller of an operation that takes longer than a claim holds gets its reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; actor-ts issue 1082"
    ),
    case!(
        "lease/late-reply-replays", Should, late_reply,
        needs: [Need::Lease, Need::Behaves(Behaviour::Slow)],
        "Once a late owner has settled, a retry gets the reply that the first caller got.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; actor-ts issue 984: a late owner overwrote another's record"
    ),
    case!(
        "lease/crash-in-handler-one-effect", Must, crash_in_handler,
        needs: [Need::Crash, Need::Behaves(Behaviour::Slow)],
        "A crash between claim and reply leads to at most one effect, and to no success without one.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; five of five persistent set-ups that were killed mid-call stayed stuck or ran again",
        alone
    ),
    case!(
        "lease/crash-in-handler-ends", Should, crash_ends,
        needs: [Need::Crash, Need::Lease, Need::Behaves(Behaviour::Slow)],
        "A key whose owner died does not stay \"in progress\": within the declared time it is answered, or its outcome is said to be unknown.",
        "express-idempotency issue 32: three days of 409 after a crash; one time for claim and record wedges a key for a day",
        alone
    ),
    case!(
        "lease/crash-after-effect-one-effect", Must, crash_after_effect,
        needs: [Need::Crash, Need::Behaves(Behaviour::SlowAfter)],
        "A crash after the effect and before its record leads to no second effect.",
        "actor-ts issue 984; thMenu 2026: the handler failed after the refund and the redelivery refunded again",
        alone
    ),
    case!(
        "lease/acknowledged-survives-crash", Must, acknowledged,
        needs: [Need::Crash],
        "What was acknowledged survives a crash: a retry has no second effect and gets no other success.",
        "NATS under power loss (Jepsen 2025): acknowledged, and not on disk",
        alone
    ),
    case!(
        "lease/replay-survives-crash", Should, replay_survives,
        needs: [Need::Crash],
        "After a crash a retry of what was acknowledged gets the very reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6",
        alone
    ),
    case!(
        "lease/crashes-in-a-row", Must, crashes_in_a_row,
        needs: [Need::Crash, Need::Behaves(Behaviour::SlowAfter)],
        "Three crashes, with a retry under way in each, lead to no second effect.",
        "Knight Capital 2012: a completion record that was not seen",
        alone
    ),
    case!(
        "lease/crash-with-duplicates", Must, crash_with_duplicates,
        needs: [Need::Crash, Need::Behaves(Behaviour::Slow)],
        "Duplicates that wait for their original when the service dies have at most one effect between them afterwards.",
        "ErrorLens, December 2025: two deliveries within milliseconds both passed",
        alone
    ),
    case!(
        "lease/others-work-after-crash", Should, others_work,
        needs: [Need::Crash, Need::Behaves(Behaviour::Slow)],
        "A crash with one key in flight leaves every other key usable at once.",
        "asgi-idempotency-header 0.2.0: keys in flight at a crash were never taken out again",
        alone
    ),
];

/// What came of an operation that took three leases, with retries after one and a half and two and a
/// half of them.
struct Longer {
    operation: Operation,
    first: Option<Reply>,
}

async fn longer(trial: &Trial, behaviour: Behaviour) -> Result<Longer, Halt> {
    let lease = declared("lease", trial.target().timing.lease)?;
    let operation = trial.operation().behaving(behaviour).slow(lease * 3);
    let bound = lease * 5 + trial.patience();
    let retry = |after| {
        let operation = &operation;
        async move {
            trial.pause(after).await;
            trial.try_send_within(operation, bound).await
        }
    };
    let first = trial.try_send_within(&operation, bound);
    let (first, _, _) = tokio::join!(first, retry(lease * 3 / 2), retry(lease * 5 / 2));
    let first = whatever(first)?;
    Ok(Longer { operation, first })
}

async fn longer_handler(trial: &Trial) -> Outcome {
    let longer = longer(trial, Behaviour::Slow).await?;
    trial.expect_effects(&longer.operation, 1).await
}

async fn early_effect(trial: &Trial) -> Outcome {
    let longer = longer(trial, Behaviour::SlowAfter).await?;
    trial.expect_effects(&longer.operation, 1).await
}

fn answered(first: Option<Reply>) -> Result<Reply, Halt> {
    let expected = "the first caller gets the reply of its operation";
    let Some(first) = first else {
        return Err(Halt::Failed { expected: expected.into(), observed: "no whole reply".into() });
    };
    expect(first.success(), expected, first.brief())?;
    Ok(first)
}

async fn first_caller(trial: &Trial) -> Outcome {
    let longer = longer(trial, Behaviour::Slow).await?;
    answered(longer.first).map(|_| ())
}

async fn late_reply(trial: &Trial) -> Outcome {
    let longer = longer(trial, Behaviour::Slow).await?;
    let first = answered(longer.first)?;
    let again = trial.retry(&longer.operation, trial.units(20)).await?;
    same_reply(&first, &again)
}

/// Sends an operation, and kills the service in the middle of it.
pub(super) async fn killed_within(trial: &Trial, behaviour: Behaviour) -> Result<Operation, Halt> {
    let operation = trial.operation().behaving(behaviour).slow(trial.units(10));
    let crash = async {
        if behaviour == Behaviour::SlowAfter {
            return restart_past_effect(trial, &operation).await;
        }
        trial.pause(trial.units(3)).await;
        restart(trial).await
    };
    let (first, crashed) = tokio::join!(trial.try_send(&operation), crash);
    crashed?;
    if let Ok(reply) = first {
        let why = format!("it was answered before the service died: {}", reply.brief());
        return Err(Halt::Inconclusive(why));
    }
    Ok(operation)
}

/// Retries until the answer is final or a key must have been decided, and past the end of whatever
/// still works on the operation behind the service.
///
/// # Errors
/// [`Halt::Skipped`] when that takes longer than a test waits.
pub(super) async fn decided(trial: &Trial, operation: &Operation) -> Result<Option<Reply>, Halt> {
    let last = persist(trial, operation, settles_within(trial)? + trial.units(5)).await;
    trial.pause(operation.slow).await;
    Ok(last)
}

async fn crash_in_handler(trial: &Trial) -> Outcome {
    let operation = killed_within(trial, Behaviour::Slow).await?;
    let last = decided(trial, &operation).await?;
    at_most_one_and_no_lie(trial, &operation, &last).await
}

async fn crash_ends(trial: &Trial) -> Outcome {
    let within = settles_within(trial)?;
    let operation = killed_within(trial, Behaviour::Slow).await?;
    let last = persist(trial, &operation, within + trial.units(5)).await;
    at_most_one(trial, &operation).await?;
    let expected = format!(
        "within {within:?} after a crash a retry is answered, or told that the outcome is unknown"
    );
    match last {
        Some(reply) => expect(is_final(&reply) || says_unknown(&reply), expected, reply.brief()),
        None => expect(false, expected, "no whole reply"),
    }
}

async fn crash_after_effect(trial: &Trial) -> Outcome {
    let operation = killed_within(trial, Behaviour::SlowAfter).await?;
    decided(trial, &operation).await?;
    at_most_one(trial, &operation).await.map(|_| ())
}

/// An operation that was acknowledged before a crash, and its retry after it.
async fn acknowledged_then_crashed(trial: &Trial) -> Result<(Operation, Reply, Reply), Halt> {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    restart_past_effect(trial, &operation).await?;
    let again = trial.send(&operation).await?;
    Ok((operation, first, again))
}

async fn acknowledged(trial: &Trial) -> Outcome {
    let (operation, first, again) = acknowledged_then_crashed(trial).await?;
    trial.expect_effects(&operation, 1).await?;
    if again.success() { same_reply(&first, &again) } else { Ok(()) }
}

async fn replay_survives(trial: &Trial) -> Outcome {
    let (_, first, again) = acknowledged_then_crashed(trial).await?;
    same_reply(&first, &again)
}

async fn crashes_in_a_row(trial: &Trial) -> Outcome {
    let operation = killed_within(trial, Behaviour::SlowAfter).await?;
    for _ in 0..2 {
        let crash = async {
            trial.pause(trial.units(1)).await;
            restart(trial).await
        };
        let (_, crashed) = tokio::join!(trial.try_send(&operation), crash);
        crashed?;
    }
    decided(trial, &operation).await?;
    at_most_one(trial, &operation).await.map(|_| ())
}

async fn crash_with_duplicates(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::Slow).slow(trial.units(10));
    let crash = async {
        trial.pause(trial.units(3)).await;
        restart(trial).await
    };
    let crowd = join_all((0..5).map(|_| trial.try_send(&operation)));
    let (_, crashed) = tokio::join!(crowd, crash);
    crashed?;
    let crowd = join_all((0..5).map(|_| once(trial, &operation))).await;
    let mut replies: Vec<Reply> = Vec::new();
    for reply in crowd {
        replies.extend(reply?);
    }
    replies.extend(decided(trial, &operation).await?);
    at_most_one_and_no_lie(trial, &operation, &replies).await
}

async fn others_work(trial: &Trial) -> Outcome {
    killed_within(trial, Behaviour::Slow).await?;
    let other = trial.operation();
    let reply = trial.send(&other).await?;
    expect(reply.success(), "another key is answered with success at once", reply.brief())?;
    trial.expect_effects(&other, 1).await
}
