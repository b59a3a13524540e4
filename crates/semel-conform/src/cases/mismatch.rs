//! Another request under a used key: it is not what was done, so it is not answered as if it were,
//! and it does not run under a key that stands for something else.

use futures_util::future::join;
use serde_json::{Map, Value};

use super::case;
use super::reuse::{Reuse, apart, keeps_to_itself};
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Harm, Need, Outcome, expect};
use crate::control::Act;
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::{Reply, Request};

pub(super) const CASES: &[Case] = &[
    case!(
        "mismatch/other-body", Must, other_body, needs: [],
        "Another body under a used key neither runs nor is answered as if it had been done.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.2: a key must not be reused with another payload; three published libraries replay the old answer"
    ),
    case!(
        "mismatch/other-amount", Must, other_amount, needs: [],
        "Another amount under a used key neither runs nor is answered as if it had been done.",
        "a payments case of 2026: one key for 200 and for 500 dollars"
    ),
    case!(
        "mismatch/beyond-2k", Must, beyond_2k, needs: [Need::Pad],
        "Bodies that are equal for 2,000 bytes and differ after them are two bodies.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.4; fingerprints of the first bytes, or of the length"
    ),
    case!(
        "mismatch/in-flight", Must, in_flight, needs: [Need::Behaves(Behaviour::Slow)],
        "Another body under the key of an operation in flight neither runs nor gets that one's reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.2; a published library ran both"
    ),
    case!(
        "mismatch/status", Should, status, needs: [],
        "Another body under a used key is answered 422.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.7"
    ),
    case!(
        "mismatch/original-replays", Must, original_replays, needs: [],
        "After another body was refused, the original is still replayed and has no second effect.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "mismatch/refusal-tells-nothing", Should, refusal_tells_nothing, needs: [],
        "The refusal of another body tells nothing of the first reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §5: whoever guesses a key could fetch what is stored under it"
    ),
    case!(
        "mismatch/query", Should, query, needs: [],
        "The same body with another query is refused, or runs as an operation of its own: it does not get the first one's reply.",
        "RFC 9110 §7.1: the query is part of what is asked for; three published libraries do not look at it"
    ),
    case!(
        "mismatch/method", Must, method, needs: [],
        "The same body with another method does not get the first one's reply.",
        "RFC 9110 §9.1: the method is what the request means"
    ),
    case!(
        "mismatch/route", Must, route, needs: [Need::OtherOperation],
        "The same key on another route does not get the first one's reply.",
        "two published libraries replay a charge to whoever asks for a refund"
    ),
    case!(
        "mismatch/host", Must, host, needs: [Need::OtherHost],
        "The same request to another host does not get the first one's reply.",
        "CVE-2026-2836: a proxy's default key left out the host"
    ),
    case!(
        "mismatch/after-crash", Must, after_crash,
        needs: [Need::Crash, Need::Behaves(Behaviour::SlowAfter)],
        "Another body does not take a key over whose owner died after its effect.",
        "a published library lets any body take over a key whose lease has ended",
        alone
    ),
    case!(
        "mismatch/float-amounts", Should, float_amounts, needs: [Need::Json],
        "Numbers that differ only beyond the precision of a float are two numbers.",
        "RFC 8259 §6: software may differ in precision; 100000000000000000001 is not …000"
    ),
    case!(
        "mismatch/doubled-member", Info, doubled_member, needs: [Need::Json],
        "A body in which a member stands twice, with two values, is not taken for the one with the last.",
        "RFC 8259 §4: which of two equal names counts cannot be foreseen"
    ),
];

/// Another operation under the key of this one.
fn another(trial: &Trial, operation: &Operation) -> Operation {
    Operation { key: operation.key.clone(), ..trial.operation() }
}

/// Expects that another request was neither done nor said to be.
async fn refused(trial: &Trial, first: &Operation, other: &Operation, reply: &Reply) -> Outcome {
    if first.unique == other.unique {
        about("of the two requests", trial.expect_effects(first, 1).await)?;
    } else if trial.target().effects.by_operation() {
        about("of the first request", trial.expect_effects(first, 1).await)?;
        about("of the second request", under_one_key(trial.expect_effects(other, 0).await))?;
    } else {
        let both = trial.expect_effects_in(&[(first, 1), (other, 0)]).await;
        about("of the two requests", both)?;
    }
    let expected = "another request under a used key is refused";
    expect(!reply.success(), expected, format!("answered as done: {}", reply.brief()))
}

/// One effect of the second request is the second one under the key.
fn under_one_key(outcome: Outcome) -> Outcome {
    outcome.map_err(|halt| match halt {
        Halt::Failed { expected, observed } => {
            Halt::Harmed { harm: Harm::Doubled, expected, observed }
        }
        other => other,
    })
}

/// Says whose effects were counted.
fn about(whose: &str, outcome: Outcome) -> Outcome {
    let of = |what: String| format!("{what} {whose}");
    outcome.map_err(|halt| match halt {
        Halt::Failed { expected, observed } => Halt::Failed { expected: of(expected), observed },
        Halt::Harmed { harm, expected, observed } => {
            Halt::Harmed { harm, expected: of(expected), observed }
        }
        other => other,
    })
}

async fn other_body(trial: &Trial) -> Outcome {
    let first = trial.operation();
    trial.succeed(&first).await?;
    let other = another(trial, &first);
    let reply = trial.send(&other).await?;
    refused(trial, &first, &other, &reply).await
}

async fn other_amount(trial: &Trial) -> Outcome {
    let first = trial.operation();
    trial.succeed(&first).await?;
    let other = first.clone().amount("500");
    changes(trial, &first, &other)?;
    let reply = trial.send(&other).await?;
    refused(trial, &first, &other, &reply).await
}

/// Makes sure that the target file lets an amount change the body.
fn changes(trial: &Trial, first: &Operation, other: &Operation) -> Outcome {
    if trial.request(first).body == trial.request(other).body {
        return Err(Halt::Skipped("the target has no {amount} in operation.body".into()));
    }
    Ok(())
}

async fn beyond_2k(trial: &Trial) -> Outcome {
    let first = trial.operation();
    let other = first.clone().amount("500");
    changes(trial, &first, &other)?;
    let (one, two) = (trial.request(&first).body, trial.request(&other).body);
    let differ = one.iter().zip(two.iter()).position(|(a, b)| a != b);
    if differ.is_none_or(|at| at < 2_000) {
        return Err(Halt::Skipped("{amount} does not stand after {pad} in the body".into()));
    }
    trial.succeed(&first).await?;
    let reply = trial.send(&other).await?;
    refused(trial, &first, &other, &reply).await
}

async fn in_flight(trial: &Trial) -> Outcome {
    let first = trial.operation().behaving(Behaviour::Slow);
    let other = Operation { behaviour: first.behaviour, ..another(trial, &first) };
    let beside = async {
        trial.pause(trial.units(2)).await;
        trial.send(&other).await
    };
    let (one, two) = join(trial.send(&first), beside).await;
    refused(trial, &first, &other, &two?).await?;
    let one = one?;
    expect(one.success(), "the first request succeeds (2xx or 3xx)", one.brief())
}

async fn status(trial: &Trial) -> Outcome {
    let first = trial.operation();
    trial.succeed(&first).await?;
    let reply = trial.send(&another(trial, &first)).await?;
    expect(reply.status == 422, "422", reply.brief())
}

async fn original_replays(trial: &Trial) -> Outcome {
    let first = trial.operation();
    let reply = trial.succeed(&first).await?;
    let other = another(trial, &first);
    trial.send(&other).await?;
    let again = trial.send(&first).await?;
    trial.expect_effects(&first, 1).await?;
    same_reply(&reply, &again)
}

async fn refusal_tells_nothing(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let request = trial.request(&another(trial, &operation));
    let second = trial.send_request(&request).await?;
    let reuse = Reuse::new(&operation, &first, &request, &second, "another body");
    let looked = keeps_to_itself(trial, &reuse).await?;
    if second.success() {
        let why = format!("another body was not refused: {}", second.brief());
        return Err(Halt::Inconclusive(why));
    }
    looked.closely()
}

/// Sends an operation, and then a request that differs from it outside its body.
async fn elsewhere(trial: &Trial, what: &str, change: impl FnOnce(Request) -> Request) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let request = change(trial.request(&operation));
    let second = trial.send_request(&request).await?;
    let reuse = Reuse::new(&operation, &first, &request, &second, what);
    apart(trial, &reuse).await
}

async fn query(trial: &Trial) -> Outcome {
    let other = |request: Request| {
        let joined = if request.path.contains('?') { "&" } else { "?" };
        let path = format!("{}{joined}conform=2", request.path);
        request.path(&path)
    };
    elsewhere(trial, "the same body with another query", other).await
}

async fn method(trial: &Trial) -> Outcome {
    let other = |request: Request| {
        let method = if request.method == "POST" { "PATCH" } else { "POST" };
        request.method(method)
    };
    elsewhere(trial, "the same body with another method", other).await
}

async fn route(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let request = trial.request(&operation.clone().other());
    let second = trial.send_request(&request).await?;
    let reuse = Reuse::new(&operation, &first, &request, &second, "the same key on another route");
    apart(trial, &reuse).await
}

async fn host(trial: &Trial) -> Outcome {
    let other = trial.target().other_host.clone().unwrap_or_default();
    elsewhere(trial, "the same request to another host", |request| request.set("Host", other)).await
}

async fn after_crash(trial: &Trial) -> Outcome {
    let first = trial.operation().behaving(Behaviour::SlowAfter);
    let other = another(trial, &first);
    let killed = async {
        trial.effect_happens(&first).await?;
        trial.act(Act::Kill).await
    };
    let (_, killed) = join(trial.try_send(&first), killed).await;
    killed?;
    trial.act(Act::Start).await?;
    if trial.effects(&first).await? == 0 {
        let why = "the effect was undone by the crash, so that the key is free by right";
        return Err(Halt::Inconclusive(why.into()));
    }
    // Whatever it says for now, it is what it says in the end that counts.
    let reply = match trial.retry(&other, trial.undecided()).await {
        Ok(reply) => reply,
        Err(Halt::Failed { .. }) => trial.send(&other).await?,
        Err(halt) => return Err(halt),
    };
    refused(trial, &first, &other, &reply).await
}

async fn float_amounts(trial: &Trial) -> Outcome {
    let first = trial.operation().amount("100000000000000000001");
    let other = first.clone().amount("100000000000000000000");
    changes(trial, &first, &other)?;
    let reply = trial.send(&first).await?;
    if !reply.success() {
        return Err(Halt::Skipped(format!("the API takes no such amount: {}", reply.brief())));
    }
    let reply = trial.send(&other).await?;
    refused(trial, &first, &other, &reply).await
}

async fn doubled_member(trial: &Trial) -> Outcome {
    let first = trial.operation();
    let request = trial.request(&first);
    let Some(doubled) = doubled(&request.body, &first.amount) else {
        return Err(Halt::Skipped("no member of the body's object holds the amount".into()));
    };
    trial.succeed(&first).await?;
    let reply = trial.send_request(&request.body(doubled)).await?;
    refused(trial, &first, &first, &reply).await
}

/// The same object with another amount before the one that it has.
fn doubled(body: &[u8], amount: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let members: Map<String, Value> = serde_json::from_str(text).ok()?;
    let holds = |value: &Value| value.to_string().trim_matches('"') == amount;
    let (name, value) = members.iter().find(|(_, value)| holds(value))?;
    let other = if value.is_string() { "\"999\"" } else { "999" };
    let rest = text.trim_start().strip_prefix('{')?;
    Some(format!("{{{}:{other},{rest}", Value::String(name.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubled_member_reads_as_before_to_whom_the_last_counts() {
        let body = br#" {"reference":"u","amount":100}"#;
        let text = doubled(body, "100").unwrap();
        assert_eq!(text, r#"{"amount":999,"reference":"u","amount":100}"#);
        let (was, is): (Value, Value) =
            (serde_json::from_slice(body).unwrap(), serde_json::from_str(&text).unwrap());
        assert_eq!(was, is);
        assert_eq!(
            doubled(br#"{"amount":"100"}"#, "100").unwrap(),
            r#"{"amount":"999","amount":"100"}"#
        );
        assert_eq!(doubled(br#"{"amount":5}"#, "100"), None);
        assert_eq!(doubled(b"amount=100", "100"), None);
    }
}
