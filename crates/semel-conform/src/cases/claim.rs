//! Duplicates that come at once: one of them runs, and no other is told a lie.

use std::pin::pin;

use futures_util::future::{Either, join, join_all, select};
use tokio::time::Instant;

use super::case;
use super::lost::leave;
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::{Connection, Reply, WireError};

pub(super) const CASES: &[Case] = &[
    case!(
        "claim/two-at-once", Must, two_at_once, needs: [],
        "Of two requests with one key that come at once, one has the effect.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; ErrorLens 2025: looked first, recorded last"
    ),
    case!(
        "claim/concurrent-one-effect", Must, concurrent, needs: [],
        "Of fifty requests with one key that come at once, one has the effect.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; a published library ran all fifty"
    ),
    case!(
        "claim/one-millisecond", Must, one_millisecond, needs: [],
        "Of 64 requests with one key whose last bytes come within a millisecond, one has the effect.",
        "ErrorLens 2025: two deliveries within milliseconds; Mastodon pull request 37879",
        alone
    ),
    case!(
        "claim/first-slow", Must, first_slow, needs: [Need::Behaves(Behaviour::Slow)],
        "A retry that meets its original in flight does not run beside it.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; Mastodon pull request 37879"
    ),
    case!(
        "claim/in-flight-answer", Should, in_flight_answer, needs: [Need::Behaves(Behaviour::Slow)],
        "A retry that meets its original in flight is told 409, or waits and gets the original's reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6 and §2.7; its working group's issue 11 allows waiting"
    ),
    case!(
        "claim/no-other-reply", Must, no_other_reply, needs: [],
        "Of many requests with one key that come at once, each that is told of success gets the same reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "claim/losers-are-told", Should, losers_are_told, needs: [],
        "Of many requests with one key that come at once, each gets the reply or is told to come later: 409, 423, 425, 429 or 503.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.7; a published library answers duplicates with 500"
    ),
    case!(
        "claim/losers-retry", Must, losers_retry, needs: [],
        "Each of many requests that came at once can be sent again, and gets the one reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "claim/first-fails", Must, first_fails, needs: [Need::Behaves(Behaviour::FailsBefore)],
        "When the first of many fails before its effect, at most one of those that wait has it.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; two waiters that both take a freed key over"
    ),
    case!(
        "claim/first-fails-decided", Should, first_fails_decided,
        needs: [Need::Behaves(Behaviour::FailsBefore)],
        "When the first of many fails before its effect, a retry soon gets a final reply: the key is not stuck.",
        "a published library answers 409 for ever after a failure"
    ),
    case!(
        "claim/waiter-gives-up", Must, waiter_gives_up, needs: [Need::Behaves(Behaviour::Slow)],
        "A duplicate that leaves, or that loses patience, frees nothing: none runs beside the original.",
        "a published library whose waiters delete the record of the live owner"
    ),
    case!(
        "claim/keys-are-independent", Must, keys_are_independent, needs: [],
        "Operations under different keys that come at once all happen, each once.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.2"
    ),
    case!(
        "claim/keys-do-not-block", Should, keys_do_not_block,
        needs: [Need::Behaves(Behaviour::Slow)],
        "An operation does not wait for another one that is in flight under another key.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.2: a key stands for its own operation alone"
    ),
    case!(
        "claim/streams-one-millisecond", Must, streams, needs: [Need::Http2],
        "Of requests that end within one millisecond, on as many streams of one connection, one runs.",
        "RFC 9113 §5: streams of one connection go on at the same time; Mastodon pull request 37879"
    ),
];

/// An operation that takes a while, where the target has one: duplicates meet it in flight.
fn busy(trial: &Trial) -> Operation {
    let operation = trial.operation().slow(trial.units(2));
    if trial.target().behaviours.contains_key(&Behaviour::Slow) {
        return operation.behaving(Behaviour::Slow);
    }
    operation
}

/// Sends so many at once, each on a connection of its own.
async fn at_once(trial: &Trial, operation: &Operation, n: usize) -> Result<Vec<Reply>, Halt> {
    join_all((0..n).map(|_| trial.send(operation))).await.into_iter().collect()
}

async fn two_at_once(trial: &Trial) -> Outcome {
    // The gap between a look and a write is short: a few pairs find it more surely than one.
    let operations: Vec<_> = (0..8).map(|_| trial.operation()).collect();
    for operation in &operations {
        at_once(trial, operation, 2).await?;
    }
    one_each(trial, &operations).await
}

async fn one_each(trial: &Trial, operations: &[Operation]) -> Outcome {
    let counts: Vec<_> = operations.iter().map(|operation| (operation, 1)).collect();
    trial.expect_effects_in(&counts).await
}

async fn concurrent(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    at_once(trial, &operation, 50).await?;
    trial.expect_effects(&operation, 1).await
}

async fn one_millisecond(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let request = trial.request(&operation);
    trial.write_down(&request);
    let host = trial.target().address.authority();
    let made = join_all((0..64).map(|_| trial.connect())).await;
    let made: Result<Vec<Connection>, WireError> = made.into_iter().collect();
    let broken = |error: WireError| Halt::Broken(error.to_string());
    let mut connections = made.map_err(broken)?;
    let mut written = Vec::new();
    for connection in &mut connections {
        written = connection.written(&request, &host);
        let (most, _) = written.split_at(written.len().saturating_sub(1));
        trial.within(connection.write(most)).await.map_err(broken)?;
    }
    // The same on each: none has sent anything before.
    let (_, last) = written.split_at(written.len().saturating_sub(1));
    let began = Instant::now();
    for connection in &mut connections {
        trial.within(connection.write(last)).await.map_err(broken)?;
    }
    trial.note(format!("64 requests were let go within {:?}", began.elapsed()));
    let replies = connections.iter_mut().map(|c| trial.within(c.reply(&request.method)));
    let replies: Result<Vec<Reply>, Halt> =
        join_all(replies).await.into_iter().map(|got| trial.answered(got)).collect();
    let replies = replies?;
    trial.expect_effects(&operation, 1).await?;
    one_success(&replies).map(|_| ())
}

/// Streams that are let go at once, where the other side takes so many.
const STREAMS: usize = 32;

async fn streams(trial: &Trial) -> Outcome {
    let broken = |error: WireError| Halt::Broken(error.to_string());
    let operation = trial.operation();
    let (request, host) = (trial.request(&operation), trial.target().address.authority());
    let Some((last, most)) = request.body.split_last() else {
        return Err(Halt::Skipped("the operation has no body that could be held back".into()));
    };
    trial.write_down(&request);
    let mut connection = trial.connect().await.map_err(broken)?;
    let n = connection.at_once(request.body.len(), STREAMS);
    if n < 2 {
        return Err(Halt::Skipped("the target takes one stream at a time".into()));
    }
    let (mut begun, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let (turn, head) = connection.begun(&request, &host);
        begun.extend([head, connection.part(turn, most, false)].concat());
        ends.extend(connection.part(turn, &[*last], true));
    }
    trial.within(connection.write(&begun)).await.map_err(broken)?;
    let began = Instant::now();
    trial.within(connection.write(&ends)).await.map_err(broken)?;
    trial.note(format!("{n} streams were let go within {:?}", began.elapsed()));
    let mut replies = Vec::new();
    for _ in 0..n {
        replies.push(trial.answered(trial.within(connection.reply(&request.method)).await)?);
    }
    trial.expect_effects(&operation, 1).await?;
    one_success(&replies).map(|_| ())
}

/// A slow operation, and the same again while it runs.
async fn slow_and_again(trial: &Trial, operation: &Operation) -> Result<(Reply, Reply), Halt> {
    let again = async {
        trial.pause(trial.units(2)).await;
        trial.send(operation).await
    };
    let (first, again) = join(trial.send(operation), again).await;
    Ok((first?, again?))
}

async fn first_slow(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::Slow);
    let (first, again) = slow_and_again(trial, &operation).await?;
    trial.expect_effects(&operation, 1).await?;
    expect(first.success(), "the first request succeeds (2xx or 3xx)", first.brief())?;
    one_success(&[first, again]).map(|_| ())
}

async fn in_flight_answer(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::Slow);
    let (first, again) = slow_and_again(trial, &operation).await?;
    trial.expect_effects(&operation, 1).await?;
    if again.status == 409 {
        return Ok(());
    }
    expect(again.success(), "409, or the original's reply", again.brief())?;
    same_reply(&first, &again)
}

async fn no_other_reply(trial: &Trial) -> Outcome {
    let operation = busy(trial);
    let replies = at_once(trial, &operation, 30).await?;
    trial.expect_effects(&operation, 1).await?;
    one_success(&replies).map(|_| ())
}

async fn losers_are_told(trial: &Trial) -> Outcome {
    let operation = busy(trial);
    let replies = at_once(trial, &operation, 30).await?;
    trial.expect_effects(&operation, 1).await?;
    let told = |reply: &&Reply| !reply.success() && !reply.says_later();
    let observed = replies.iter().find(told).map(Reply::brief);
    let expected = "the reply, or 409, 423, 425, 429 or 503";
    expect(observed.is_none(), expected, observed.unwrap_or_default())?;
    one_success(&replies).map(|_| ())
}

async fn losers_retry(trial: &Trial) -> Outcome {
    let operation = busy(trial);
    let replies = at_once(trial, &operation, 12).await?;
    trial.expect_effects(&operation, 1).await?;
    let won = match one_success(&replies)? {
        Some(reply) => reply.clone(),
        None => trial.retry(&operation, trial.undecided()).await?,
    };
    expect(won.success(), "one of many succeeds", won.brief())?;
    let retries = at_once(trial, &operation, 12).await?;
    trial.expect_effects(&operation, 1).await?;
    retries.iter().try_for_each(|again| same_reply(&won, again))
}

async fn first_fails(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::FailsBefore);
    let replies = at_once(trial, &operation, 8).await?;
    let succeeded = replies.iter().any(Reply::success);
    trial.expect_effects(&operation, u64::from(succeeded)).await?;
    one_success(&replies).map(|_| ())
}

async fn first_fails_decided(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::FailsBefore);
    at_once(trial, &operation, 8).await?;
    let last = trial.retry(&operation, trial.undecided()).await?;
    trial.expect_effects(&operation, u64::from(last.success())).await
}

async fn waiter_gives_up(trial: &Trial) -> Outcome {
    let slow = trial.units(14);
    let operation = trial.operation().behaving(Behaviour::Slow).slow(slow);
    let others = async {
        trial.pause(trial.units(1)).await;
        leave(trial, &operation, Some(trial.units(2))).await?;
        // One that waits as long as the API lets it, and one that comes after that.
        let waited = trial.send(&operation).await?;
        Ok([waited, trial.send(&operation).await?])
    };
    let (first, others) = join(trial.send(&operation), others).await;
    let (first, [second, third]) = (first?, others?);
    trial.expect_effects(&operation, 1).await?;
    expect(first.success(), "the first request succeeds (2xx or 3xx)", first.brief())?;
    one_success(&[first, second, third]).map(|_| ())
}

async fn keys_are_independent(trial: &Trial) -> Outcome {
    let operations: Vec<_> = (0..16).map(|_| trial.operation()).collect();
    let pairs = operations.iter().map(|operation| at_once(trial, operation, 2));
    let pairs: Result<Vec<Vec<Reply>>, Halt> = join_all(pairs).await.into_iter().collect();
    one_each(trial, &operations).await?;
    pairs?.iter().try_for_each(|replies| one_success(replies).map(|_| ()))
}

async fn keys_do_not_block(trial: &Trial) -> Outcome {
    let long = trial.operation().behaving(Behaviour::Slow).slow(trial.units(10));
    let short = trial.operation();
    let sent_after = async {
        trial.pause(trial.units(1)).await;
        trial.succeed(&short).await
    };
    match select(pin!(trial.succeed(&long)), pin!(sent_after)).await {
        Either::Right((reply, long)) => {
            reply?;
            long.await?;
        }
        Either::Left((reply, sent_after)) => {
            reply?;
            sent_after.await?;
            let observed = "it is answered only after the other";
            return expect(false, "it is answered while the other is in flight", observed);
        }
    }
    trial.expect_effects_in(&[(&long, 1), (&short, 1)]).await
}

/// Expects that all that tell of success are one reply, and returns it.
///
/// A 202 beside another success is a word for "in flight", and tells of nothing (RFC 9110 §15.3.3).
pub(super) fn one_success(replies: &[Reply]) -> Result<Option<&Reply>, Halt> {
    let (accepted, told): (Vec<&Reply>, Vec<&Reply>) =
        replies.iter().filter(|reply| reply.success()).partition(|reply| reply.status == 202);
    let all = if told.is_empty() { accepted } else { told };
    let Some((first, others)) = all.split_first() else { return Ok(None) };
    others.iter().try_for_each(|reply| same_reply(first, reply))?;
    Ok(Some(first))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        Reply { status, headers: Vec::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn all_that_tell_of_success_are_one_reply() {
        let (won, other) = (reply(201, "ch_1"), reply(201, "ch_2"));
        let later = [reply(409, "busy"), reply(503, ""), reply(202, "in flight")];
        for late in &later {
            let replies = [late.clone(), won.clone(), won.clone()];
            assert_eq!(one_success(&replies).unwrap(), Some(&won));
        }
        assert!(one_success(&[won.clone(), other]).is_err());
        assert!(one_success(&[won, reply(200, "ch_1")]).is_err());
        assert_eq!(one_success(&later[..2]).unwrap(), None);
        let accepted = [reply(202, "op_1"), reply(202, "op_2")];
        assert!(one_success(&accepted).is_err());
        assert_eq!(one_success(&accepted[..1]).unwrap(), Some(&accepted[0]));
    }
}
