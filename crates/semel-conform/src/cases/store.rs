//! The store of keys goes down, turns slow, refuses writes, loses an answer or comes back empty: what
//! cannot be written down does not run.

use std::time::Duration;

use super::again::{at_most_one_and_no_lie, once, persist, times, whatever};
use super::case;
use super::outage::{mended, settles_within};
use super::saying::not_told_failed;
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Harm, Need, Outcome, expect};
use crate::control::Act;
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::Reply;

pub(super) const CASES: &[Case] = &[
    case!(
        "store/down-at-most-once", Must, down_at_most_once, needs: [Need::StoreDown],
        "What is sent and retried while the store is down, and after it, has at most one effect.",
        "Twilio, 18 July 2013: charges went on while their record could not be written",
        alone
    ),
    case!(
        "store/down-says-so", Should, down_says_so, needs: [Need::StoreDown],
        "While the store is down an operation is refused with 503, and nothing runs.",
        "RFC 9110 §15.6.4; Adyen answers 503 where idempotency cannot be had",
        alone
    ),
    case!(
        "store/back-up-same-key", Should, back_up, needs: [Need::StoreDown],
        "Once the store is back, the key that was refused succeeds, with one effect.",
        "RFC 9110 §15.6.4: the server will likely be able to handle it after a delay",
        alone
    ),
    case!(
        "store/down-known-key", Must, down_known_key, needs: [Need::StoreDown],
        "A retry of a completed operation has no second effect while the store is down, and gets no other success.",
        "Twilio, 18 July 2013: a balance that could not be read looked empty",
        alone
    ),
    case!(
        "store/down-before-settle-one-effect", Must, down_before_settle,
        needs: [Need::StoreDown, Need::Behaves(Behaviour::Slow)],
        "An operation whose store went down between its claim and its record has no second effect, whatever its callers were told.",
        "Twilio, 18 July 2013: charge, failed write, charge again",
        alone
    ),
    case!(
        "store/down-before-settle-told", Should, down_before_settle_told,
        needs: [Need::StoreDown, Need::Behaves(Behaviour::SlowAfter)],
        "A caller whose operation had its effect and could not be recorded is not told that it failed.",
        "Uber Eats and Paytm 2019: an unknown answer was read as a known one",
        alone
    ),
    case!(
        "store/slow-one-effect", Must, slow, needs: [Need::StoreSlow],
        "Duplicates at once and a retry have at most one effect on a slow store.",
        "Truxify issue 4623: a claim that was slower than its own bound",
        alone
    ),
    case!(
        "store/read-only-at-most-once", Must, read_only, needs: [Need::StoreReadOnly],
        "What is sent and retried while the store can be read and not written, and after it, has at most one effect.",
        "Twilio, 18 July 2013: the store came back read-only",
        alone
    ),
    case!(
        "store/empty-not-new", Must, empty, needs: [Need::StoreEmpty],
        "A store that comes back empty does not make a used key new: the service does not start, or refuses.",
        "Twilio, 18 July 2013: the store came back without its data and was believed",
        alone
    ),
    case!(
        "store/answer-lost-one-effect", Must, answer_lost, needs: [Need::StoreAnswerLost],
        "A claim that was written and whose answer was lost leads to at most one effect over all retries.",
        "FoundationDB's commit_unknown_result; CockroachDB's ambiguous results",
        alone
    ),
];

/// How long a store may take to serve again.
///
/// # Errors
/// [`Halt::Skipped`] when that is longer than a test waits.
fn recovery(trial: &Trial) -> Result<Duration, Halt> {
    Ok(settles_within(trial)? + trial.units(20))
}

/// Sends an operation twice while the store is broken that way, and again once it is mended.
async fn broken_then_mended(
    trial: &Trial,
    act: Act,
    operation: &Operation,
) -> Result<Vec<Reply>, Halt> {
    let broken = async {
        trial.act(act).await?;
        times(trial, operation, 2).await
    };
    let mut replies = mended(trial, broken).await?;
    replies.extend(persist(trial, operation, recovery(trial)?).await);
    Ok(replies)
}

async fn at_most_once(trial: &Trial, act: Act) -> Outcome {
    let operation = trial.operation();
    let replies = broken_then_mended(trial, act, &operation).await?;
    at_most_one_and_no_lie(trial, &operation, &replies).await
}

async fn down_at_most_once(trial: &Trial) -> Outcome {
    at_most_once(trial, Act::StoreDown).await
}

async fn read_only(trial: &Trial) -> Outcome {
    at_most_once(trial, Act::StoreReadOnly).await
}

async fn answer_lost(trial: &Trial) -> Outcome {
    at_most_once(trial, Act::StoreAnswerLost).await
}

async fn down_says_so(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let broken = async {
        trial.act(Act::StoreDown).await?;
        trial.send(&operation).await
    };
    // Effects may be kept in that store: they are counted where it can be read.
    let reply = mended(trial, broken).await?;
    trial.expect_effects(&operation, 0).await?;
    expect(reply.status == 503, "503, and nothing runs", reply.brief())
}

async fn back_up(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let broken = async {
        trial.act(Act::StoreDown).await?;
        once(trial, &operation).await
    };
    let refused = mended(trial, broken).await?;
    if let Some(reply) = refused.filter(Reply::success) {
        return Err(Halt::Inconclusive(format!("it succeeded at once: {}", reply.brief())));
    }
    let reply = persist(trial, &operation, recovery(trial)?).await;
    let told = reply.as_ref().map_or_else(|| "no whole reply".to_owned(), Reply::brief);
    let success = reply.is_some_and(|reply| reply.success());
    expect(success, "the same key succeeds once the store is back", told)?;
    trial.expect_effects(&operation, 1).await
}

async fn down_known_key(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let replies = broken_then_mended(trial, Act::StoreDown, &operation).await?;
    trial.expect_effects(&operation, 1).await?;
    replies.iter().filter(|reply| reply.success()).try_for_each(|again| same_reply(&first, again))
}

/// Sends a slow operation and takes the store away in the middle of it. What its caller was told.
async fn taken_away(trial: &Trial, operation: &Operation) -> Result<Option<Reply>, Halt> {
    let broken = async {
        let away = async {
            if operation.behaviour == Some(Behaviour::SlowAfter) {
                trial.effect_happens(operation).await?;
            } else {
                trial.pause(trial.units(3)).await;
            }
            trial.act(Act::StoreDown).await
        };
        let (first, away) = tokio::join!(trial.try_send(operation), away);
        away?;
        whatever(first)
    };
    mended(trial, broken).await
}

async fn down_before_settle(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::Slow).slow(trial.units(10));
    let mut replies: Vec<Reply> = taken_away(trial, &operation).await?.into_iter().collect();
    replies.extend(persist(trial, &operation, recovery(trial)?).await);
    trial.pause(operation.slow).await;
    at_most_one_and_no_lie(trial, &operation, &replies).await
}

async fn down_before_settle_told(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::SlowAfter).slow(trial.units(10));
    let first = taken_away(trial, &operation).await?;
    if trial.effects(&operation).await? == 0 {
        return Err(Halt::Inconclusive("the effect was undone".into()));
    }
    if first.is_some() {
        not_told_failed(first.as_ref())?;
    }
    not_told_failed(persist(trial, &operation, recovery(trial)?).await.as_ref())
}

async fn slow(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let broken = async {
        trial.act(Act::StoreSlow).await?;
        let (a, b) = tokio::join!(once(trial, &operation), once(trial, &operation));
        let replies: Vec<Reply> = [a?, b?].into_iter().flatten().collect();
        Ok(replies)
    };
    let mut replies = mended(trial, broken).await?;
    replies.extend(persist(trial, &operation, recovery(trial)?).await);
    // What waited for the slow store may run only now.
    trial.pause(trial.slow()).await;
    at_most_one_and_no_lie(trial, &operation, &replies).await
}

async fn empty(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    trial.succeed(&operation).await?;
    trial.effect_happens(&operation).await?;
    trial.act(Act::Stop).await?;
    trial.act(Act::StoreEmpty).await?;
    let started = trial.act(Act::Start).await;
    // What a retry did is counted before the store is replaced: effects may be kept in it, too.
    let judged = match &started {
        Ok(()) => not_run_anew(trial, &operation).await,
        Err(Halt::Broken(why)) => {
            trial.note(format!("it does not start on an empty store: {why}"));
            Ok(())
        }
        Err(halt) => Err(halt.clone()),
    };
    // A start that was given up may have started something all the same.
    if !matches!(started, Err(Halt::Broken(_))) {
        trial.act(Act::Stop).await?;
    }
    trial.act(Act::StoreUp).await?;
    trial.act(Act::Start).await?;
    judged
}

/// Retries an operation that had its effect, and expects that no effect is added to those that are
/// counted now: the count may have been emptied with the store.
async fn not_run_anew(trial: &Trial, operation: &Operation) -> Outcome {
    let before = trial.effects(operation).await?;
    times(trial, operation, 2).await?;
    trial.linger(2).await;
    let after = trial.effects(operation).await?;
    if after <= before {
        return Ok(());
    }
    let expected = "no effect of the retries".to_owned();
    let observed = format!("{} effects of them", after - before);
    Err(Halt::Harmed { harm: Harm::Doubled, expected, observed })
}
