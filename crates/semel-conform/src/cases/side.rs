//! What an operation sends on: once, or always under one id, so that whoever gets it twice can tell.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::again::{once, persist, times};
use super::lease::{decided, killed_within};
use super::lost::lose;
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Harm, Level, Need, Outcome};
use crate::effects;
use crate::mischief::Mischief;
use crate::target::{Sent, SideEffectKind};
use crate::trial::{Operation, Trial};

const WEBHOOK: &str = "Standard Webhooks: a message has one webhook-id through all its deliveries; GitHub and Shopify";
const EMAIL: &str = "RFC 5322 §3.6.4: one message, one Message-ID";
const MESSAGE: &str =
    "thMenu 2026: a redelivery sent again, for what was sent had no key of its own";

/// A case of a kind of thing that is sent.
macro_rules! sent {
    ($id:literal, $run:ident, $kind:ident, $needs:expr, $requirement:literal, $source:expr, $alone:literal) => {
        Case {
            id: $id,
            level: Level::Must,
            requirement: $requirement,
            source: $source,
            needs: $needs,
            alone: $alone,
            run: |trial| Box::pin($run(trial, SideEffectKind::$kind)),
        }
    };
}

const WEBHOOKS: &[Need] = &[Need::Sends(SideEffectKind::Webhook)];
const EMAILS: &[Need] = &[Need::Sends(SideEffectKind::Email)];
const MESSAGES: &[Need] = &[Need::Sends(SideEffectKind::Message)];
const WEBHOOKS_CRASH: &[Need] =
    &[Need::Sends(SideEffectKind::Webhook), Need::Crash, Need::Behaves(Behaviour::SlowAfter)];
const EMAILS_CRASH: &[Need] =
    &[Need::Sends(SideEffectKind::Email), Need::Crash, Need::Behaves(Behaviour::SlowAfter)];
const MESSAGES_CRASH: &[Need] =
    &[Need::Sends(SideEffectKind::Message), Need::Crash, Need::Behaves(Behaviour::SlowAfter)];

pub(super) const CASES: &[Case] = &[
    sent!(
        "side/webhook-retry",
        retry,
        Webhook,
        WEBHOOKS,
        "A retry sends no second webhook, or sends it under the id of the first.",
        WEBHOOK,
        false
    ),
    sent!(
        "side/webhook-lost-reply",
        lost_reply,
        Webhook,
        WEBHOOKS,
        "A retry after a lost reply sends no second webhook, or sends it under the id of the first.",
        WEBHOOK,
        false
    ),
    sent!(
        "side/webhook-duplicates",
        duplicates,
        Webhook,
        WEBHOOKS,
        "Eight duplicates at once send one webhook, or all under one id.",
        WEBHOOK,
        false
    ),
    sent!(
        "side/webhook-crash",
        crash,
        Webhook,
        WEBHOOKS_CRASH,
        "A retry after a crash past the effect sends no second webhook, or sends it under the id of the first.",
        WEBHOOK,
        true
    ),
    sent!(
        "side/email-retry",
        retry,
        Email,
        EMAILS,
        "A retry sends no second email, or sends it under the Message-ID of the first.",
        EMAIL,
        false
    ),
    sent!(
        "side/email-lost-reply",
        lost_reply,
        Email,
        EMAILS,
        "A retry after a lost reply sends no second email, or sends it under the Message-ID of the first.",
        EMAIL,
        false
    ),
    sent!(
        "side/email-duplicates",
        duplicates,
        Email,
        EMAILS,
        "Eight duplicates at once send one email, or all under one Message-ID.",
        EMAIL,
        false
    ),
    sent!(
        "side/email-crash",
        crash,
        Email,
        EMAILS_CRASH,
        "A retry after a crash past the effect sends no second email, or sends it under the Message-ID of the first.",
        EMAIL,
        true
    ),
    sent!(
        "side/message-retry",
        retry,
        Message,
        MESSAGES,
        "A retry publishes no second message, or publishes it under the id of the first.",
        MESSAGE,
        false
    ),
    sent!(
        "side/message-lost-reply",
        lost_reply,
        Message,
        MESSAGES,
        "A retry after a lost reply publishes no second message, or publishes it under the id of the first.",
        MESSAGE,
        false
    ),
    sent!(
        "side/message-duplicates",
        duplicates,
        Message,
        MESSAGES,
        "Eight duplicates at once publish one message, or all under one id.",
        MESSAGE,
        false
    ),
    sent!(
        "side/message-crash",
        crash,
        Message,
        MESSAGES_CRASH,
        "A retry after a crash past the effect publishes no second message, or publishes it under the id of the first.",
        MESSAGE,
        true
    ),
];

async fn retry(trial: &Trial, kind: SideEffectKind) -> Outcome {
    let operation = trial.operation();
    trial.succeed(&operation).await?;
    times(trial, &operation, 2).await?;
    under_one_id(trial, &operation, kind).await
}

async fn lost_reply(trial: &Trial, kind: SideEffectKind) -> Outcome {
    let operation = trial.operation();
    lose(trial, &operation, Mischief::LoseReply).await?;
    persist(trial, &operation, trial.units(20)).await;
    under_one_id(trial, &operation, kind).await
}

async fn duplicates(trial: &Trial, kind: SideEffectKind) -> Outcome {
    let operation = trial.operation();
    let crowd = join_all((0..8).map(|_| once(trial, &operation))).await;
    crowd.into_iter().try_for_each(|reply| reply.map(|_| ()))?;
    persist(trial, &operation, trial.units(20)).await;
    under_one_id(trial, &operation, kind).await
}

async fn crash(trial: &Trial, kind: SideEffectKind) -> Outcome {
    let operation = killed_within(trial, Behaviour::SlowAfter).await?;
    decided(trial, &operation).await?;
    under_one_id(trial, &operation, kind).await
}

/// Waits until something was sent and whatever follows had time, and expects one id.
async fn under_one_id(trial: &Trial, operation: &Operation, kind: SideEffectKind) -> Outcome {
    let began = Instant::now();
    while listed(trial, operation, kind).await?.iter().any(Vec::is_empty) {
        if began.elapsed() > trial.units(20) + trial.lag() {
            return Err(Halt::Inconclusive(format!("no {} was sent", kind.name())));
        }
        trial.pause(trial.units(1) / 2).await;
    }
    trial.linger(3).await;
    for ids in listed(trial, operation, kind).await? {
        let named: BTreeSet<&String> = ids.iter().flatten().collect();
        let one = ids.len() <= 1 || (named.len() == 1 && ids.iter().all(Option::is_some));
        if !one {
            let expected = format!("one {}, or several under one id", kind.name());
            let observed = format!("{} under {named:?}", ids.len());
            return Err(Halt::Harmed { harm: Harm::Doubled, expected, observed });
        }
    }
    Ok(())
}

/// The ids of what was sent for the operation, by each way that the target sends such things.
async fn listed(
    trial: &Trial,
    operation: &Operation,
    kind: SideEffectKind,
) -> Result<Vec<Vec<Option<String>>>, Halt> {
    let mut all = Vec::new();
    for (effect, receiver) in trial.target().side_effects.iter().zip(trial.receivers()) {
        if effect.kind != kind {
            continue;
        }
        let values = trial.values(operation);
        all.push(match (&effect.sent, receiver) {
            (Sent::Receiver(_), Some(receiver)) => {
                receiver.about(&operation.unique).into_iter().map(|webhook| webhook.id).collect()
            }
            (Sent::Receiver(address), None) => {
                return Err(Halt::Broken(format!("nobody listens for webhooks on {address}")));
            }
            (Sent::Probe { path, pointer }, _) => {
                ids(&effects::probe(trial, operation, &path.fill(&values), pointer).await?)?
            }
            (Sent::Command(command), _) => {
                let printed = effects::shell(&command.fill(&values)).await;
                let printed = printed.map_err(effects::Unanswered::broken)?;
                let lines = printed.lines().map(str::trim).filter(|line| !line.is_empty());
                lines.map(|line| Some(line.to_owned())).collect()
            }
        });
    }
    Ok(all)
}

fn ids(found: &Value) -> Result<Vec<Option<String>>, Halt> {
    let none = || Halt::Broken(format!("the probe of what was sent found {found}, no array"));
    let one = |id: &Value| match id {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Ok(found.as_array().ok_or_else(none)?.iter().map(one).collect())
}
