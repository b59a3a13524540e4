//! Methods that are safe or idempotent by themselves: reads heed no key, and the same write twice
//! leads to the same state.

use super::again::at_most_one;
use super::case;
use super::document::{Document, Write};
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::{Reply, Request};

pub(super) const CASES: &[Case] = &[
    case!(
        "method/get-not-a-replay", Must, get_not_a_replay, needs: [Need::Read],
        "A read that bears a used key is never answered with the reply of the operation that used it.",
        "RFC 9110 §9.3.1; the draft's authors, issue 23: the header is ignored on methods that are idempotent already"
    ),
    case!(
        "method/get-fresh", Must, get_fresh, needs: [Need::Read],
        "Two reads that bear one key each show what is so: a stored read would tell a caller that nothing happened.",
        "RFC 9110 §9.3.1; the draft's authors, issue 23"
    ),
    case!(
        "method/head-and-options", Should, head_and_options, needs: [Need::Read],
        "HEAD and OPTIONS with a used key are answered as without it.",
        "RFC 9110 §9.2.1; the draft's authors, issue 23"
    ),
    case!(
        "method/put-twice", Should, put_twice, needs: [Need::Resource],
        "A PUT that is sent twice succeeds twice, or is replayed, and leads to the state of one.",
        "RFC 9110 §9.2.2 and §9.3.4"
    ),
    case!(
        "method/put-with-a-key", Should, put_with_a_key, needs: [Need::Resource],
        "A PUT with a key is sent twice and leads to the state of one; a later one without a key is not held up by it.",
        "RFC 9110 §9.3.4"
    ),
    case!(
        "method/put-late-retry", Info, put_late_retry, needs: [Need::Resource],
        "A late retry of a PUT with a key does not overwrite what was written since.",
        "RFC 9110 §13.1.1: lost updates"
    ),
    case!(
        "method/delete-twice", Should, delete_twice, needs: [Need::Resource],
        "A DELETE that is sent twice leads to the state of one; the second may be answered with success, 404, 410 or 412.",
        "RFC 9110 §9.2.2 and §9.3.5"
    ),
    case!(
        "method/patch-once", Must, patch_once, needs: [],
        "A PATCH with a key has its effect once.",
        "RFC 5789 §2: PATCH is not idempotent; draft-ietf-httpapi-idempotency-key-header-07 §1"
    ),
];

fn read(trial: &Trial, operation: &Operation) -> Result<Request, Halt> {
    let read = trial.target().read.as_ref();
    let read = read.ok_or_else(|| Halt::Skipped("the target has no read".into()))?;
    let mut request = Request::new("GET", &read.fill(&trial.values(operation)));
    for (name, value) in trial.credentials(operation.tenant) {
        request = request.set(name, value);
    }
    Ok(request)
}

fn keyed(trial: &Trial, request: Request, operation: &Operation) -> Request {
    let key = operation.key.as_deref().unwrap_or_default();
    request.set(&trial.target().key_header, key)
}

/// The read without a key, which shows what the read is.
async fn shown(trial: &Trial, request: &Request) -> Result<Reply, Halt> {
    let reply = trial.send_request(request).await?;
    if !reply.success() {
        let why = format!("the read is not answered without a key: {}", reply.brief());
        return Err(Halt::Inconclusive(why));
    }
    Ok(reply)
}

async fn get_not_a_replay(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let request = read(trial, &operation)?;
    let plain = shown(trial, &request).await?;
    if plain.body == first.body {
        return Err(Halt::Inconclusive("a read and the operation have the same body".into()));
    }
    let read = trial.send_request(&keyed(trial, request, &operation)).await?;
    trial.expect_effects(&operation, 1).await?;
    let replayed = read.status == first.status && read.body == first.body;
    let expected = format!("a reply to the read, as without a key: {}", plain.brief());
    expect(!replayed, expected, read.brief())
}

async fn get_fresh(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let request = read(trial, &operation)?;
    let under_key = request.clone().set(&trial.target().key_header, trial.fresh_key());
    let before = trial.send_request(&under_key).await?;
    trial.succeed(&operation).await?;
    trial.expect_effects(&operation, 1).await?;
    let now = shown(trial, &request).await?;
    let after = trial.send_request(&under_key).await?;
    if before.status == now.status && before.body == now.body {
        return Err(Halt::Inconclusive("the read does not show the operation".into()));
    }
    let stale = before.success() && after.status == before.status && after.body == before.body;
    let expected = format!("the second read shows what happened: {}", now.brief());
    expect(!stale, expected, format!("the first read again: {}", after.brief()))
}

async fn head_and_options(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    trial.succeed(&operation).await?;
    shown(trial, &read(trial, &operation)?).await?;
    for method in ["HEAD", "OPTIONS"] {
        let request = read(trial, &operation)?.method(method);
        let plain = trial.send_request(&request).await?;
        let with_key = trial.send_request(&keyed(trial, request, &operation)).await?;
        let expected = format!("{method} is answered {}, as without a key", plain.status);
        expect(with_key.status == plain.status, expected, with_key.brief())?;
    }
    trial.expect_effects(&operation, 1).await
}

fn taken(reply: &Reply) -> Outcome {
    expect(reply.success(), "the write succeeds", reply.brief())
}

async fn put_twice(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    for _ in 0..2 {
        let tag = document.demanded(trial).await?;
        let write = Write { if_match: tag.as_deref(), ..Write::default() };
        taken(&document.write(trial, "81547", write).await?)?;
        document.expect_amount(trial, "81547").await?;
    }
    Ok(())
}

async fn put_with_a_key(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let (key, tag) = (trial.fresh_key(), document.demanded(trial).await?);
    let write = Write { key: Some(&key), if_match: tag.as_deref() };
    taken(&document.write(trial, "81547", write).await?)?;
    document.expect_amount(trial, "81547").await?;
    document.write(trial, "81547", write).await?;
    document.expect_amount(trial, "81547").await?;
    let tag = document.demanded(trial).await?;
    let plain = Write { key: None, if_match: tag.as_deref() };
    taken(&document.write(trial, "92683", plain).await?)?;
    document.expect_amount(trial, "92683").await
}

async fn put_late_retry(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let (key, tag) = (trial.fresh_key(), document.demanded(trial).await?);
    let write = Write { key: Some(&key), if_match: tag.as_deref() };
    taken(&document.write(trial, "81547", write).await?)?;
    let tag = document.demanded(trial).await?;
    let newer = Write { key: None, if_match: tag.as_deref() };
    taken(&document.write(trial, "92683", newer).await?)?;
    document.write(trial, "81547", write).await?;
    document.expect_amount(trial, "92683").await
}

async fn delete_twice(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let tag = document.demanded(trial).await?;
    let write = Write { key: None, if_match: tag.as_deref() };
    let first = document.remove(trial, write).await?;
    if matches!(first.status, 404 | 405 | 501) {
        return Err(Halt::Skipped(format!("the resource takes no DELETE: {}", first.brief())));
    }
    taken(&first)?;
    let again = document.remove(trial, write).await?;
    let fine = again.success() || matches!(again.status, 404 | 410 | 412 | 428);
    expect(fine, "the second DELETE is answered with success, 404, 410 or 412", again.brief())?;
    let gone = document.read(trial).await?;
    expect(matches!(gone.status, 404 | 410), "the resource is gone", gone.brief())
}

async fn patch_once(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let request = trial.request(&operation).method("PATCH");
    let first = trial.send_request(&request).await?;
    if !first.success() {
        return Err(Halt::Skipped(format!("the operation takes no PATCH: {}", first.brief())));
    }
    trial.effect_happens(&operation).await?;
    let again = trial.send_request(&request).await?;
    at_most_one(trial, &operation).await?;
    if again.success() { same_reply(&first, &again) } else { Ok(()) }
}
