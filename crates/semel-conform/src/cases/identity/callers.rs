//! One key in the hands of two.

use futures_util::future::join;

use super::super::again::persist;
use super::super::reuse::{Looked, Reuse, apart, keeps_to_itself};
use crate::behaviour::Behaviour;
use crate::case::{Halt, Outcome, expect};
use crate::trial::{Operation, Tenant, Trial, same_reply};
use crate::wire::Reply;

pub(super) async fn two_tenants(trial: &Trial) -> Outcome {
    stranger(trial, Tenant::B, "the same request of another caller's").await
}

pub(super) async fn no_credential(trial: &Trial) -> Outcome {
    let shows = |name: &str| ["authorization", "cookie"].contains(&name);
    let target = trial.target();
    let in_all = target.operation.headers.iter().any(|(name, _)| shows(&name.to_lowercase()));
    if target.tenant_a.is_empty() || in_all {
        let why = "the target shows no credential in [tenant_a] that could be left out";
        return Err(Halt::Skipped(why.into()));
    }
    // Headers of every request need not be credentials: who asks for none gives nothing away.
    let open = trial.send(&trial.operation().by(Tenant::Nobody)).await?;
    if (200..300).contains(&open.status) {
        let why =
            format!("the API asks for no credential: without one it answers {}", open.brief());
        return Err(Halt::Skipped(why));
    }
    stranger(trial, Tenant::Nobody, "the same request without a credential").await
}

/// The first caller's very request, sent by somebody else.
async fn stranger(trial: &Trial, tenant: Tenant, what: &str) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let request = trial.request(&operation.clone().by(tenant));
    let second = trial.send_request(&request).await?;
    let reuse = Reuse::new(&operation, &first, &request, &second, what).by(tenant);
    apart(trial, &reuse).await
}

pub(super) async fn canary(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let other = under(trial, &operation).by(Tenant::B);
    let asked = [other.clone(), other.amount("500"), operation.clone().by(Tenant::B).amount("500")];
    let mut looked = Looked::Dimly;
    for request in asked.iter().map(|asked| trial.request(asked)) {
        let second = trial.send_request(&request).await?;
        let reuse =
            Reuse::new(&operation, &first, &request, &second, "another caller").by(Tenant::B);
        if keeps_to_itself(trial, &reuse).await? == Looked::Closely {
            looked = Looked::Closely;
        }
    }
    looked.closely()
}

/// Another operation under the same key.
fn under(trial: &Trial, operation: &Operation) -> Operation {
    Operation { key: operation.key.clone(), ..trial.operation() }
}

pub(super) async fn tenants_at_once(trial: &Trial) -> Outcome {
    let mut operation = trial.operation().slow(trial.units(2));
    if trial.target().behaviours.contains_key(&Behaviour::Slow) {
        operation = operation.behaving(Behaviour::Slow);
    }
    let theirs = operation.clone().by(Tenant::B);
    let (first, second) = join(trial.send(&operation), trial.send(&theirs)).await;
    // Who was told to come later comes later: what it is told then may be the other's.
    let first = told(trial, &operation, first?).await?;
    let second = told(trial, &theirs, second?).await?;
    // Either may have come first.
    let (served, reply, other, answer, by) = match (first.success(), second.success()) {
        (true, _) => (&operation, &first, &theirs, &second, Tenant::B),
        (false, true) => (&theirs, &second, &operation, &first, Tenant::A),
        (false, false) => {
            let why = format!(
                "both callers were refused, so that nothing could be given away: {}",
                first.brief()
            );
            return Err(Halt::Inconclusive(why));
        }
    };
    let request = trial.request(other);
    let what = "the same request of another caller's";
    apart(trial, &Reuse::new(served, reply, &request, answer, what).by(by)).await
}

/// The reply, or the final one where it says "later".
async fn told(trial: &Trial, operation: &Operation, reply: Reply) -> Result<Reply, Halt> {
    if !reply.says_later() {
        return Ok(reply);
    }
    Ok(persist(trial, operation, trial.undecided()).await.unwrap_or(reply))
}

pub(super) async fn pre_claimed(trial: &Trial) -> Outcome {
    let mine = trial.operation();
    let theirs = under(trial, &mine).by(Tenant::B);
    trial.succeed(&theirs).await?;
    let reply = trial.send(&mine).await?;
    let expected = "the first caller's own operation happens, whoever else used its key";
    expect(reply.success(), expected, reply.brief())?;
    let again = trial.send(&mine).await?;
    trial.expect_effects(&mine, if trial.target().effects.by_operation() { 1 } else { 2 }).await?;
    same_reply(&reply, &again)
}

pub(super) async fn two_hosts(trial: &Trial) -> Outcome {
    let host = trial.target().other_host.clone().unwrap_or_default();
    let there = trial.operation();
    let request_there = trial.request(&there).set("Host", host);
    let first = trial.send_request(&request_there).await?;
    expect(first.success(), "the other host takes the operation", first.brief())?;
    let here = under(trial, &there);
    let request = trial.request(&here);
    let second = trial.send_request(&request).await?;
    let done = u64::from(second.success());
    trial.expect_effects_in(&[(&there, 1), (&here, done)]).await?;
    let what = "another operation at another host";
    let reuse = Reuse::new(&there, &first, &request, &second, what);
    let looked = keeps_to_itself(trial, &reuse).await?;
    // The record of the one does not make way for the other's.
    let again = trial.send_request(&request_there).await?;
    trial.expect_effects_in(&[(&there, 1), (&here, done)]).await?;
    same_reply(&first, &again)?;
    looked.closely()
}

pub(super) async fn two_routes(trial: &Trial) -> Outcome {
    let one = trial.operation();
    let first = trial.succeed(&one).await?;
    let request = trial.request(&under(trial, &one).other());
    let second = trial.send_request(&request).await?;
    let reuse = Reuse::new(&one, &first, &request, &second, "another operation on another route");
    let looked = keeps_to_itself(trial, &reuse).await?;
    let again = trial.send(&one).await?;
    if trial.target().effects.by_operation() {
        trial.expect_effects(&one, 1).await?;
    }
    same_reply(&first, &again)?;
    looked.closely()
}

pub(super) async fn rotated(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let again = trial.send(&operation.clone().by(Tenant::Rotated)).await?;
    trial.expect_effects(&operation, 1).await?;
    same_reply(&first, &again)
}
