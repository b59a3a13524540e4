//! How a key is written: what is one key, what are two, and what is none.

use super::super::replay::merges_by_itself;
use crate::case::{Halt, Outcome, expect};
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::{Reply, Request};

/// The request of an operation with its key written in this way.
fn written(trial: &Trial, operation: &Operation, key: impl AsRef<[u8]>) -> Request {
    trial.request(operation).set(&trial.target().key_header, key)
}

pub(super) async fn quoted_and_bare(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let quoted = format!("\"{}\"", operation.key.clone().unwrap_or_default());
    let again = trial.send_request(&written(trial, &operation, quoted)).await?;
    trial.expect_effects(&operation, 1).await?;
    same_reply(&first, &again)
}

pub(super) async fn surrounding_space(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let spaced = format!(" \t {} \t", operation.key.clone().unwrap_or_default());
    let again = trial.send_request(&written(trial, &operation, spaced)).await?;
    trial.expect_effects(&operation, 1).await?;
    if again.success() { same_reply(&first, &again) } else { Ok(()) }
}

/// The request of an operation with two lines of keys.
fn two_lines(trial: &Trial, operation: &Operation, one: &str, two: &str) -> Request {
    written(trial, operation, one).add(&trial.target().key_header, two)
}

pub(super) async fn doubled_line(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let key = operation.key.clone().unwrap_or_default();
    let mut done = false;
    for turn in 0..4 {
        let added = trial.fresh_key();
        let (one, two) = if turn < 2 { (&key, &added) } else { (&added, &key) };
        let reply = trial.send_request(&two_lines(trial, &operation, one, two)).await?;
        done |= reply.success();
    }
    trial.expect_effects(&operation, u64::from(done)).await
}

pub(super) async fn doubled_line_refused(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let (one, two) = (trial.fresh_key(), trial.fresh_key());
    refused(trial, &operation, &two_lines(trial, &operation, &one, &two)).await
}

/// Expects a refusal that is the caller's to mend, and no effect.
async fn refused(trial: &Trial, operation: &Operation, request: &Request) -> Outcome {
    let reply = trial.send_request(request).await?;
    refusal(trial, operation, &reply).await
}

async fn refusal(trial: &Trial, operation: &Operation, reply: &Reply) -> Outcome {
    let expected = "the request is refused (4xx) for its key";
    expect((400..500).contains(&reply.status), expected, reply.brief())?;
    trial.expect_effects(operation, 0).await
}

pub(super) async fn comma_list(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let (one, two, three) = (trial.fresh_key(), trial.fresh_key(), trial.fresh_key());
    two_keys(trial, &operation, format!("{one}, {two}"), format!("{one}, {three}")).await?;
    let operation = trial.operation();
    let list = written(trial, &operation, format!("{two}, {three}"));
    let before = trial.send_request(&list).await?;
    let after = trial.send_request(&list).await?;
    let done = before.success() || after.success();
    trial.expect_effects_in(&counted(trial, &operation, done)).await
}

/// What to expect of an operation that comes after others in the same case.
fn counted<'a>(trial: &Trial, operation: &'a Operation, done: bool) -> Vec<(&'a Operation, u64)> {
    if trial.target().effects.by_operation() {
        return vec![(operation, u64::from(done))];
    }
    // The count tells no operation from another, and those before were counted already.
    trial.note("the retry was not counted: the count tells no operation from another");
    Vec::new()
}

pub(super) async fn comma_list_refused(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let list = format!("{}, {}", trial.fresh_key(), trial.fresh_key());
    refused(trial, &operation, &written(trial, &operation, list)).await
}

pub(super) async fn empty_refused(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    refused(trial, &operation, &written(trial, &operation, "")).await
}

pub(super) async fn empty_apart(trial: &Trial) -> Outcome {
    each_its_own(trial, "", "").await
}

/// Expects that two operations under two spellings are each refused or each done.
async fn each_its_own(trial: &Trial, one: &str, two: &str) -> Outcome {
    let operations = [trial.operation(), trial.operation()];
    let first = trial.send_request(&written(trial, &operations[0], one)).await?;
    let second = trial.send_request(&written(trial, &operations[1], two)).await?;
    let done = |reply: &Reply| u64::from(reply.success());
    let [a, b] = &operations;
    trial.expect_effects_in(&[(a, done(&first)), (b, done(&second))]).await
}

pub(super) async fn accepted_255(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let operation = operation.key(&long_key(trial, 255));
    let first = trial.succeed(&operation).await?;
    let again = trial.send(&operation).await?;
    trial.expect_effects(&operation, 1).await?;
    same_reply(&first, &again)
}

/// A key that nobody else has, of so many bytes.
fn long_key(trial: &Trial, length: usize) -> String {
    let mut key = trial.fresh_unique();
    key.push_str(&"k".repeat(length.saturating_sub(key.len())));
    key
}

pub(super) async fn long_keys(trial: &Trial) -> Outcome {
    let lengths: &[usize] =
        if trial.target().effects.by_operation() { &[65, 129, 255, 256, 257, 300] } else { &[300] };
    for length in lengths {
        let stem = long_key(trial, length - 1);
        two_keys(trial, &trial.operation(), format!("{stem}a"), format!("{stem}b")).await?;
    }
    Ok(())
}

pub(super) async fn odd_bytes(trial: &Trial) -> Outcome {
    let key = |byte: u8, stem: &str| [stem.as_bytes(), &[byte], b"-end"].concat();
    let all = [(0xe8, 0xe9), (0xfe, 0xff), (0x01, 0x02), (0x7f, 0x1f)];
    let some = if trial.target().effects.by_operation() { &all[..] } else { &all[..1] };
    for (one, two) in some {
        let stem = trial.fresh_unique();
        let operation = trial.operation();
        two_keys(trial, &operation, key(*one, &stem), key(*two, &stem)).await?;
    }
    Ok(())
}

pub(super) async fn non_ascii_refused(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let key = format!("{}-é", trial.fresh_unique());
    refused(trial, &operation, &written(trial, &operation, key)).await
}

pub(super) async fn control_refused(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let key = format!("{}-\u{1}-end", trial.fresh_unique());
    let request = written(trial, &operation, key);
    match trial.try_request(&request).await {
        Err(error) if error.by_protocol() => trial.expect_effects(&operation, 0).await,
        got => refusal(trial, &operation, &trial.answered(got)?).await,
    }
}

/// No UUID: of those, letter case may not count (RFC 9562 §4).
fn cased(trial: &Trial) -> (String, String) {
    let stem = trial.fresh_unique();
    (format!("{stem}-Key"), format!("{stem}-kEY"))
}

pub(super) async fn case_apart(trial: &Trial) -> Outcome {
    let (one, two) = cased(trial);
    each_its_own(trial, &one, &two).await
}

pub(super) async fn case_matters(trial: &Trial) -> Outcome {
    let (one, two) = cased(trial);
    two_keys(trial, &trial.operation(), one, two).await
}

/// Expects that two equal requests under two keys are two operations: each that is answered as done
/// was done.
async fn two_keys(
    trial: &Trial,
    operation: &Operation,
    one: impl AsRef<[u8]>,
    two: impl AsRef<[u8]>,
) -> Outcome {
    let mut done = 0;
    for key in [one.as_ref(), two.as_ref()] {
        match trial.try_request(&written(trial, operation, key)).await {
            Ok(reply) => done += u64::from(reply.success()),
            // What is no field value at all (RFC 9110 §5.5) may end the connection.
            Err(error) if key.iter().any(u8::is_ascii_control) => trial.note(error.to_string()),
            Err(error) => return trial.answered(Err(error)).map(|_| ()),
        }
    }
    match trial.expect_effects(operation, done).await {
        Err(Halt::Failed { .. }) if merges_by_itself(trial).await? => {
            let why = "the API makes one of two equal requests even without keys";
            Err(Halt::Inconclusive(why.into()))
        }
        Err(Halt::Failed { observed, .. }) => {
            let shown = |key: &[u8]| key.escape_ascii().to_string();
            let (one, two) = (shown(one.as_ref()), shown(two.as_ref()));
            let expected = format!(
                "{done} effects of the two requests that were answered as done, under {one} and {two}"
            );
            Err(Halt::Failed { expected, observed })
        }
        outcome => outcome,
    }
}
