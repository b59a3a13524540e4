//! Failures: what was refused may be tried again, what may have happened never runs again, and what
//! is not known is not called failed.

use std::slice;
use std::time::Duration;

use futures_util::future::join_all;

use super::again::{
    at_most_one, at_most_one_and_no_lie, effect_without_success, once, times, whatever,
};
use super::case;
use super::saying::{not_told_failed, says_unknown};
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::trial::{Operation, Trial};
use crate::wire::Reply;

pub(super) const CASES: &[Case] = &[
    case!(
        "failure/before-effect-at-most-once", Must, before_effect,
        needs: [Need::Behaves(Behaviour::FailsBefore)],
        "Retries of an operation that failed before its effect have at most one, and none is told a success that did not happen.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; idempotency records released on errors are claimed by several retries at once"
    ),
    case!(
        "failure/server-error-kept", Info, server_error_kept,
        needs: [Need::Behaves(Behaviour::FailsBefore)],
        "A 500 is remembered like any other reply: a retry gets it again and nothing runs.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6: the result of the completed operation, success or error"
    ),
    case!(
        "failure/after-effect-not-twice", Must, after_effect,
        needs: [Need::Behaves(Behaviour::FailsAfter)],
        "A 500 that came after the effect is no licence to run again.",
        "RFC 9110 §9.2.2; seen in published libraries that release the key on any 5xx"
    ),
    case!(
        "failure/error-same-bytes", Should, error_same_bytes,
        needs: [Need::Behaves(Behaviour::FailsAfter)],
        "A retry of a failed operation gets the first error again, byte for byte, or is told that the outcome is not known.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; Uber Eats and Paytm 2019: a retried failure got another error, read as success"
    ),
    case!(
        "failure/invalid-no-effect", Should, invalid,
        needs: [Need::Behaves(Behaviour::Invalid)],
        "A request that is refused as invalid has no effect, however often it is sent, and each time the same answer.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "failure/invalid-then-corrected", Info, invalid_then_corrected,
        needs: [Need::Behaves(Behaviour::Invalid)],
        "A key whose request was refused as invalid can be used for the corrected one.",
        "Stripe's API reference, idempotent requests: nothing is saved where validation fails before the execution begins"
    ),
    case!(
        "failure/unauthorized-not-sticky", Should, unauthorized,
        needs: [Need::Behaves(Behaviour::Unauthorized)],
        "A 401 is not remembered: the same key succeeds once the caller is known.",
        "RFC 9110 §15.5.2; outer layers answer before a key is claimed"
    ),
    case!(
        "failure/rate-limited-not-sticky", Should, rate_limited,
        needs: [Need::Behaves(Behaviour::RateLimited)],
        "A 429 is not remembered: the same key succeeds later.",
        "RFC 6585 §4"
    ),
    case!(
        "failure/refused-then-one-effect", Must, refused_then_crowd,
        needs: [Need::Behaves(Behaviour::RateLimited)],
        "Eight retries at once after a refusal have at most one effect.",
        "check-then-act after a release: ErrorLens, December 2025, two deliveries within milliseconds both passed"
    ),
    case!(
        "failure/forbidden-kept", Info, forbidden_kept,
        needs: [Need::Behaves(Behaviour::Forbidden)],
        "A 403 is remembered: its key stays refused.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.7 leaves it to the API's documentation"
    ),
    case!(
        "failure/declined-is-final", Should, declined,
        needs: [Need::Behaves(Behaviour::Declines)],
        "A declined operation stays declined under its key: a late duplicate does not turn it into a success after its caller moved on.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; TigerBeetle's id_already_failed"
    ),
    case!(
        "failure/connection-ended-not-twice", Must, connection_ended,
        needs: [Need::Behaves(Behaviour::BreaksAfter)],
        "An application that ends the connection after the effect does not run again.",
        "RFC 9110 §9.2.2: a request is not retried automatically unless its semantics are idempotent"
    ),
    case!(
        "failure/connection-ended-told", Should, connection_ended_told,
        needs: [Need::Behaves(Behaviour::BreaksAfter)],
        "After the application ended the connection past its effect, a retry is not told that the operation failed.",
        "Uber Eats and Paytm 2019: an unknown answer was read as a known one"
    ),
    case!(
        "failure/silent-not-twice", Must, silent,
        needs: [Need::Behaves(Behaviour::Silent), Need::UpstreamTimeout],
        "An operation that had its effect and was never answered does not run again.",
        "RFC 9110 §15.6.5; a composite payment case of 2026: a time-out was treated as a failure"
    ),
    case!(
        "failure/silent-told", Should, silent_told,
        needs: [Need::Behaves(Behaviour::Silent), Need::UpstreamTimeout],
        "Where no answer came in time, neither the first caller nor a retry is told that the operation failed.",
        "RFC 9110 §15.6.5; a composite payment case of 2026: a time-out was treated as a failure"
    ),
    case!(
        "failure/truncated-not-success", Must, truncated,
        needs: [Need::Behaves(Behaviour::Truncates)],
        "A reply that broke off is never passed on as a whole success, and the operation does not run again.",
        "RFC 9112 §8: an incomplete message is not complete"
    ),
    case!(
        "failure/truncated-told", Should, truncated_told,
        needs: [Need::Behaves(Behaviour::Truncates)],
        "After a reply that broke off past the effect, a retry is not told that the operation failed.",
        "RFC 9112 §8"
    ),
];

/// A time-out that is longer is not waited for.
const UPSTREAM_TIMEOUT_MAX: Duration = Duration::from_secs(60);

fn behaving(trial: &Trial, behaviour: Behaviour) -> Operation {
    trial.operation().behaving(behaviour)
}

/// Sends an operation that must be refused with no effect.
async fn refused(trial: &Trial, operation: &Operation) -> Result<Reply, Halt> {
    let first = trial.send(operation).await?;
    let name = operation.behaviour.map_or("plain", Behaviour::name);
    trial.linger(0).await;
    if first.success() || trial.effects(operation).await? != 0 {
        let why = format!("the {name} operation was not refused: {}", first.brief());
        return Err(Halt::Inconclusive(why));
    }
    Ok(first)
}

async fn before_effect(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::FailsBefore);
    refused(trial, &operation).await?;
    let replies = times(trial, &operation, 3).await?;
    at_most_one_and_no_lie(trial, &operation, &replies).await
}

async fn server_error_kept(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::FailsBefore);
    let first = refused(trial, &operation).await?;
    let again = trial.send(&operation).await?;
    at_most_one(trial, &operation).await?;
    kept(&first, &again)
}

fn kept(first: &Reply, again: &Reply) -> Outcome {
    let same = first.status == again.status && first.body == again.body;
    expect(same, format!("the retry gets it again: {}", first.brief()), again.brief())
}

async fn after_effect(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::FailsAfter);
    effect_without_success(trial, &operation).await?;
    times(trial, &operation, 3).await?;
    trial.expect_effects(&operation, 1).await
}

async fn error_same_bytes(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::FailsAfter);
    let first = effect_without_success(trial, &operation).await?;
    let again = trial.send(&operation).await?;
    match first {
        // A bare 409 says neither: "already processed" was read as a success.
        Some(first) if !says_unknown(&again) => kept(&first, &again),
        _ => Ok(()),
    }
}

async fn invalid(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::Invalid);
    let first = refused(trial, &operation).await?;
    let again = trial.send(&operation).await?;
    trial.expect_effects(&operation, 0).await?;
    let expected = format!("the retry is refused with {}, too", first.status);
    expect(first.status == again.status, expected, again.brief())
}

async fn invalid_then_corrected(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::Invalid);
    refused(trial, &operation).await?;
    let corrected = Operation { behaviour: None, ..operation };
    let reply = trial.send(&corrected).await?;
    at_most_one_and_no_lie(trial, &corrected, slice::from_ref(&reply)).await?;
    expect(reply.success(), "the corrected request succeeds under the same key", reply.brief())
}

/// Refused once; then the same key succeeds, with one effect.
async fn not_sticky(trial: &Trial, behaviour: Behaviour) -> Outcome {
    let operation = behaving(trial, behaviour);
    let first = refused(trial, &operation).await?;
    let mut again = trial.send(&operation).await?;
    for _ in 0..5 {
        if again.success() {
            return trial.expect_effects(&operation, 1).await;
        }
        trial.pause(trial.units(1)).await;
        again = trial.send(&operation).await?;
    }
    at_most_one(trial, &operation).await?;
    let expected = format!("the same key succeeds after a {}", first.status);
    expect(again.success(), expected, again.brief())
}

async fn unauthorized(trial: &Trial) -> Outcome {
    not_sticky(trial, Behaviour::Unauthorized).await
}

async fn rate_limited(trial: &Trial) -> Outcome {
    not_sticky(trial, Behaviour::RateLimited).await
}

async fn refused_then_crowd(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::RateLimited);
    refused(trial, &operation).await?;
    let crowd = join_all((0..8).map(|_| once(trial, &operation))).await;
    let replies: Vec<Option<Reply>> = crowd.into_iter().collect::<Result<_, _>>()?;
    at_most_one_and_no_lie(trial, &operation, replies.iter().flatten()).await
}

async fn forbidden_kept(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::Forbidden);
    let first = refused(trial, &operation).await?;
    let again = trial.send(&operation).await?;
    at_most_one(trial, &operation).await?;
    kept(&first, &again)
}

async fn declined(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::Declines);
    let first = refused(trial, &operation).await?;
    let again = trial.send(&operation).await?;
    trial.expect_effects(&operation, 0).await?;
    let expected = format!("the retry is not told a success after {}", first.brief());
    expect(!again.success(), expected, again.brief())
}

async fn connection_ended(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::BreaksAfter);
    effect_without_success(trial, &operation).await?;
    times(trial, &operation, 3).await?;
    trial.expect_effects(&operation, 1).await
}

async fn connection_ended_told(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::BreaksAfter);
    effect_without_success(trial, &operation).await?;
    not_told_failed(once(trial, &operation).await?.as_ref())
}

/// Sends an operation that has its effect and is never answered, and sends it again; each time until
/// the target gives up. The replies, where there were any.
async fn unanswered(trial: &Trial) -> Result<(Operation, [Option<Reply>; 2]), Halt> {
    let timeout = trial.target().timing.upstream_timeout.unwrap_or_default();
    if timeout > UPSTREAM_TIMEOUT_MAX {
        let why = format!("timing.upstream_timeout is {timeout:?}: longer than a test waits");
        return Err(Halt::Skipped(why));
    }
    // Where it never gives up, neither caller is waited for longer.
    let patience = timeout * 3 + trial.units(20);
    let operation = behaving(trial, Behaviour::Silent);
    let first = whatever(trial.try_send_within(&operation, patience).await)?;
    trial.effect_happens(&operation).await?;
    let again = whatever(trial.try_send_within(&operation, patience).await)?;
    Ok((operation, [first, again]))
}

async fn silent(trial: &Trial) -> Outcome {
    let (operation, _) = unanswered(trial).await?;
    trial.expect_effects(&operation, 1).await
}

async fn silent_told(trial: &Trial) -> Outcome {
    let (_, [first, again]) = unanswered(trial).await?;
    if first.is_some() {
        not_told_failed(first.as_ref())?;
    }
    not_told_failed(again.as_ref())
}

async fn truncated(trial: &Trial) -> Outcome {
    let plain = trial.succeed(&trial.operation()).await?;
    if plain.json().is_none() {
        return Err(Halt::Inconclusive("no JSON is answered: nobody sees what is missing".into()));
    }
    let operation = behaving(trial, Behaviour::Truncates);
    let first = once(trial, &operation).await?;
    trial.effect_happens(&operation).await?;
    let again = times(trial, &operation, 2).await?;
    for reply in first.iter().chain(&again).filter(|reply| reply.success()) {
        let expected = "no success whose body is not whole";
        let whole = reply.status == 204 || reply.json().is_some();
        expect(whole, expected, reply.brief())?;
    }
    trial.expect_effects(&operation, 1).await
}

async fn truncated_told(trial: &Trial) -> Outcome {
    let operation = behaving(trial, Behaviour::Truncates);
    once(trial, &operation).await?;
    trial.effect_happens(&operation).await?;
    not_told_failed(once(trial, &operation).await?.as_ref())
}
