//! Manners: what a caller, a proxy or a person with a log is told beside the status.

use std::collections::BTreeSet;

use super::again::{at_most_one, nothing_ran_again};
use super::case;
use super::outage::mended;
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::control::Act;
use crate::trial::{Operation, Trial};
use crate::wire::{Reply, Request};

pub(super) const CASES: &[Case] = &[
    case!(
        "hygiene/retry-after-in-flight", Should, retry_after_in_flight,
        needs: [Need::Behaves(Behaviour::Slow)],
        "A duplicate that is refused because its original is in flight is told when to come again, by Retry-After.",
        "RFC 9110 §10.2.3; draft-ietf-httpapi-idempotency-key-header-07 §2.7"
    ),
    case!(
        "hygiene/retry-after-503", Should, retry_after_503, needs: [Need::StoreDown],
        "A 503 for want of the store says when to come again, by Retry-After.",
        "RFC 9110 §15.6.4 and §10.2.3",
        alone
    ),
    case!(
        "hygiene/problem-json", Should, problem_json, needs: [],
        "The refusal of a key that belongs to another request is application/problem+json.",
        "RFC 9457; draft-ietf-httpapi-idempotency-key-header-07 §2.7"
    ),
    case!(
        "hygiene/refusals-differ", Should, refusals_differ,
        needs: [Need::Behaves(Behaviour::Slow)],
        "\"Still in flight\" and \"another request's key\" can be told apart, by status or by problem type: only one of them is worth a retry.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.7: 409 and 422"
    ),
    case!(
        "hygiene/replay-marker", Should, replay_marker, needs: [],
        "A replay bears a header that a first reply does not.",
        "Stripe's Idempotent-Replayed; without it nobody can see in a log what ran"
    ),
    case!(
        "hygiene/published", Should, published, needs: [Need::Published],
        "The API publishes that it heeds keys and for how long.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.3 and §2.5"
    ),
    case!(
        "hygiene/replay-not-stored", Info, not_stored, needs: [],
        "A replay says Cache-Control: no-store, or what the first reply said.",
        "RFC 9111 §5.2.2.5; RFC 9110 §9.3.3"
    ),
    case!(
        "hygiene/error-hides-key", Info, hides_key, needs: [],
        "No error repeats the key: errors are logged, and whoever has the key gets the reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §5"
    ),
    case!(
        "hygiene/missing-key", Info, missing_key, needs: [],
        "Where a key is required, its absence is answered 400, with the name of the header.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.7"
    ),
];

const LATER: [u16; 4] = [409, 425, 429, 503];

/// What a duplicate is told while its original is in flight.
async fn in_flight(trial: &Trial) -> Result<Reply, Halt> {
    let operation = trial.operation().behaving(Behaviour::Slow).slow(trial.units(10));
    let duplicate = async {
        trial.pause(trial.units(3)).await;
        trial.try_send(&operation).await
    };
    let (_, duplicate) = tokio::join!(trial.try_send(&operation), duplicate);
    duplicate.map_err(|error| Halt::Inconclusive(format!("the duplicate got no reply: {error}")))
}

async fn retry_after_in_flight(trial: &Trial) -> Outcome {
    let reply = in_flight(trial).await?;
    if reply.success() {
        trial.note("a duplicate waits for its original");
        return Ok(());
    }
    if !LATER.contains(&reply.status) {
        let why = format!("the duplicate was not told to come later: {}", reply.brief());
        return Err(Halt::Inconclusive(why));
    }
    expect(reply.header("retry-after").is_some(), "a header Retry-After", reply.brief())
}

async fn retry_after_503(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let broken = async {
        trial.act(Act::StoreDown).await?;
        trial.send(&operation).await
    };
    let reply = mended(trial, broken).await?;
    if reply.status != 503 {
        return Err(Halt::Inconclusive(format!("no 503: {}", reply.brief())));
    }
    expect(reply.header("retry-after").is_some(), "a header Retry-After", reply.brief())
}

/// The refusal of another operation under a used key.
struct Refusal {
    first: Operation,
    reply: Reply,
}

async fn refusal(trial: &Trial) -> Result<Refusal, Halt> {
    let first = trial.operation();
    trial.succeed(&first).await?;
    let other = Operation { key: first.key.clone(), ..trial.operation().amount("101") };
    let reply = trial.send(&other).await?;
    if reply.status < 400 {
        let why = format!("another request under a used key is not refused: {}", reply.brief());
        return Err(Halt::Inconclusive(why));
    }
    Ok(Refusal { first, reply })
}

fn media(reply: &Reply) -> String {
    reply.header("content-type").unwrap_or_default().to_ascii_lowercase()
}

async fn problem_json(trial: &Trial) -> Outcome {
    let Refusal { reply, .. } = refusal(trial).await?;
    let problem = media(&reply).starts_with("application/problem+json");
    let observed = format!("Content-Type {:?}, {}", media(&reply), reply.brief());
    expect(problem && reply.json().is_some(), "application/problem+json", observed)
}

async fn refusals_differ(trial: &Trial) -> Outcome {
    let Refusal { reply: mismatch, .. } = refusal(trial).await?;
    let later = in_flight(trial).await?;
    if later.success() {
        let told = !LATER.contains(&mismatch.status);
        let expected = "a mismatch is not told with a status that clients try again";
        return expect(told, expected, mismatch.brief());
    }
    let kind = |reply: &Reply| {
        let json = reply.json().unwrap_or_default();
        let member = |name: &str| json.get(name).cloned();
        (reply.status, ["type", "code", "error"].map(member))
    };
    let observed = format!("{} and {}", later.brief(), mismatch.brief());
    expect(kind(&later) != kind(&mismatch), "another status or problem type", observed)
}

/// Headers that differ from reply to reply whatever happens, or that a replay has for another reason
/// than to be known as one (`Cache-Control: no-store`).
const OWN_OF_EACH: [&str; 13] = [
    "date",
    "age",
    "cache-control",
    "connection",
    "keep-alive",
    "content-length",
    "transfer-encoding",
    "set-cookie",
    "server-timing",
    "traceparent",
    "x-request-id",
    "x-runtime",
    "x-response-time",
];

fn marks(reply: &Reply) -> BTreeSet<(String, Vec<u8>)> {
    let own = |name: &String| OWN_OF_EACH.contains(&name.as_str()) || name.contains("trace");
    reply.headers.iter().filter(|(name, _)| !own(name)).cloned().collect()
}

async fn replay_marker(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let (again, third) = (trial.send(&operation).await?, trial.send(&operation).await?);
    if !again.success() || !third.success() {
        return Err(Halt::Inconclusive(format!("there is no replay: {}", again.brief())));
    }
    nothing_ran_again(trial, &operation).await?;
    let other = trial.succeed(&trial.operation()).await?;
    let names = |reply: &Reply| -> BTreeSet<String> {
        marks(reply).into_iter().map(|(name, _)| name).collect()
    };
    // By name, or by a value that both replays have: `X-Idempotency: replayed`. A value may go on
    // with what differs, as the age of a stored reply does.
    let words = |reply: &Reply| -> BTreeSet<(String, String)> {
        let word = |value: Vec<u8>| {
            let value = String::from_utf8_lossy(&value).into_owned();
            value.split([';', ',', ' ']).next().unwrap_or_default().to_owned()
        };
        marks(reply).into_iter().map(|(name, value)| (name, word(value))).collect()
    };
    let named = names(&again)
        .intersection(&names(&third))
        .any(|name| !names(&first).contains(name) && !names(&other).contains(name));
    let worded = words(&again)
        .intersection(&words(&third))
        .any(|word| !words(&first).contains(word) && !words(&other).contains(word));
    let observed = format!("the headers {:?}, as a first reply", names(&again));
    expect(named || worded, "a header of the replays that first replies lack", observed)
}

/// Words of which a page that tells for how long has one.
const SPANS: [&str; 8] =
    ["retention", "memory", "expir", "hour", "day", "minute", "for ever", "forever"];

async fn published(trial: &Trial) -> Outcome {
    let target = trial.target();
    let place = target.published.clone().unwrap_or_default();
    let base = target.address.base();
    let path = place.strip_prefix(&base).unwrap_or(&place);
    if !path.starts_with('/') {
        let why = format!("{place} is on another host, which a test does not visit: read it there");
        return Err(Halt::Skipped(why));
    }
    let reply = trial.send_request(&Request::new("GET", path)).await?;
    let text = reply.text().to_lowercase();
    let tells = text.contains("idempoten") && SPANS.iter().any(|word| text.contains(word));
    let expected = "a page that tells of idempotency keys and for how long they are known";
    expect(reply.success() && tells, expected, reply.brief())
}

async fn not_stored(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let again = trial.send(&operation).await?;
    nothing_ran_again(trial, &operation).await?;
    let said = |reply: &Reply| reply.all("cache-control").join(", ");
    let told = said(&again).contains("no-store");
    let kept = first.header("cache-control").is_some() && said(&first) == said(&again);
    let observed = format!("Cache-Control: {:?}", said(&again));
    expect(told || kept, "Cache-Control: no-store, or what the first reply said", observed)
}

async fn hides_key(trial: &Trial) -> Outcome {
    let Refusal { first, reply } = refusal(trial).await?;
    let shown = first.key.is_some_and(|key| reply.text().contains(&key));
    expect(!shown, "an error without the key", reply.brief())
}

async fn missing_key(trial: &Trial) -> Outcome {
    let operation = trial.operation().keyless();
    let reply = trial.send(&operation).await?;
    let count = at_most_one(trial, &operation).await?;
    if reply.success() {
        trial.note("a key is optional");
        return Ok(());
    }
    let name = trial.target().key_header.to_lowercase();
    let told = reply.status == 400 && reply.text().to_lowercase().contains(&name) && count == 0;
    expect(told, format!("400 that names {name}, and no effect"), reply.brief())
}
