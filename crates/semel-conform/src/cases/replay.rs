//! A retry after the reply: it gets the stored reply, as it was, and nothing happens again.

use super::case;
use crate::behaviour::Behaviour;
use crate::case::{Case, Need, Outcome, expect};
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::Reply;

const AFTER_COMPLETION: &str = "draft-ietf-httpapi-idempotency-key-header-07 §2.6: a retry after completion gets the result of the completed operation";

pub(super) const CASES: &[Case] = &[
    case!(
        "replay/one-effect", Must, one_effect, needs: [],
        "A retry of a completed operation has no second effect.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; Mastodon pull request 37879"
    ),
    case!(
        "replay/status", Must, status, needs: [],
        "A retry of a completed operation gets the first reply's status.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "replay/body-bytes", Must, body_bytes, needs: [],
        "A retry of a completed operation gets the first reply's body, byte for byte.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; Uber Eats and Paytm 2019: a retried failure got another error, read as success"
    ),
    case!(
        "replay/no-content", Must, no_content, needs: [Need::Behaves(Behaviour::NoContent)],
        "A 204 is remembered as any other reply: its retry has no second effect.",
        "RFC 9110 §15.3.5; seen in three published libraries that ran again"
    ),
];

/// Sends an operation and sends it again: one effect, one reply.
async fn twice(trial: &Trial, operation: &Operation) -> Result<(Reply, Reply), crate::case::Halt> {
    let first = trial.succeed(operation).await?;
    let again = trial.send(operation).await?;
    trial.expect_effects(operation, 1).await?;
    Ok((first, again))
}

async fn one_effect(trial: &Trial) -> Outcome {
    twice(trial, &trial.operation()).await.map(|_| ())
}

async fn status(trial: &Trial) -> Outcome {
    let (first, again) = twice(trial, &trial.operation()).await?;
    expect(
        first.status == again.status,
        format!("the retry is answered {} ({AFTER_COMPLETION})", first.status),
        again.brief(),
    )
}

async fn body_bytes(trial: &Trial) -> Outcome {
    let (first, again) = twice(trial, &trial.operation()).await?;
    same_reply(&first, &again)
}

async fn no_content(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::NoContent);
    let (first, again) = twice(trial, &operation).await?;
    expect(first.status == 204, "the operation answers 204", first.brief())?;
    same_reply(&first, &again)
}
