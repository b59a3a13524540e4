//! What a retry is for: the reply was lost, or the caller left, and nobody knows what happened.

use std::time::Duration;

use futures_util::future::{join, join_all};

use super::case;
use super::claim::one_success;
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::mischief::{Cut, Gate, Mischief, Passage};
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::{Connection, Reply, WireError};

pub(super) const CASES: &[Case] = &[
    case!(
        "lost/reply", Must, reply_lost, needs: [],
        "When the reply was lost after the effect, a retry gets it and nothing happens again.",
        "draft-ietf-httpapi-idempotency-key-header-07 §1: the client did not receive the response"
    ),
    case!(
        "lost/reply-cut", Must, reply_cut, needs: [],
        "When the reply was cut on its way, a retry gets it whole and nothing happens again.",
        "RFC 9112 §8: an incomplete message; draft-ietf-httpapi-idempotency-key-header-07 §1"
    ),
    case!(
        "lost/reply-held", Must, reply_held, needs: [],
        "While the reply is held up on one connection, a retry on another gets it, and both are one.",
        "a payment plug-in of 2026 whose caller waited 2 s for a reply that took 3 s"
    ),
    case!(
        "lost/client-leaves-before-effect", Must, leaves_before_effect,
        needs: [Need::Behaves(Behaviour::Slow)],
        "When the caller leaves while its operation runs, a retry gets its reply and there is one effect.",
        "RFC 9112 §9.5: a connection may end at any time; a published library dropped the handler and ran again"
    ),
    case!(
        "lost/client-leaves-after-effect", Must, leaves_after_effect,
        needs: [Need::Behaves(Behaviour::SlowAfter)],
        "When the caller leaves after the effect and before the reply, a retry gets it and nothing happens again.",
        "RFC 9112 §9.5; handlers that run on the connection's own task and are dropped with it"
    ),
    case!(
        "lost/client-leaves-in-body", Must, leaves_in_body, needs: [],
        "Half a request has no effect, and the whole one then runs once.",
        "RFC 9112 §8: an incomplete request is not to be acted on"
    ),
    case!(
        "lost/client-leaves-in-head", Must, leaves_in_head, needs: [],
        "A request cut within its head has no effect, and the whole one then runs once.",
        "RFC 9112 §8"
    ),
    case!(
        "lost/client-leaves-anywhere", Must, leaves_anywhere, needs: [],
        "Wherever in its request the caller leaves, a retry gets a reply and there is one effect.",
        "RFC 9112 §8 and §9.5; fault injection at chosen points"
    ),
    case!(
        "lost/network-duplicates", Must, network_duplicates, needs: [],
        "The same bytes on two connections, and once more later, are one operation.",
        "draft-ietf-httpapi-idempotency-key-header-07 §1; RFC 8470 §2: early data can be replayed by the network"
    ),
    case!(
        "lost/retry-storm", Must, retry_storm, needs: [],
        "Of ten attempts that each lose their reply and an eleventh that does not, one has the effect.",
        "Twilio July 2013: an hour of retries, each charged"
    ),
    case!(
        "lost/impatient-caller", Must, impatient_caller, needs: [Need::Behaves(Behaviour::Slow)],
        "A caller that gives up early and sends again, five times, has one effect and its reply in the end.",
        "a caller of 2026 that waited 2 s for what took 3 s, and tried again"
    ),
    case!(
        "lost/stream-reset-before-effect", Must, reset_before_effect,
        needs: [Need::Http2, Need::Behaves(Behaviour::Slow)],
        "When the caller resets its stream while its operation runs, a retry on the same connection gets its reply and there is one effect.",
        "RFC 9113 §8.1 and §5.4.2: CANCEL ends a stream and no operation; a published library dropped the handler and ran again"
    ),
    case!(
        "lost/stream-reset-after-effect", Must, reset_after_effect,
        needs: [Need::Http2, Need::Behaves(Behaviour::SlowAfter)],
        "When the caller resets its stream after the effect and before the reply, a retry on the same connection gets it and nothing happens again.",
        "RFC 9113 §5.4.2; handlers that run on the stream's own task and are dropped with it"
    ),
    case!(
        "lost/stream-reset-in-body", Must, reset_in_body, needs: [Need::Http2],
        "A request whose stream is reset within its body has no effect, and the whole one then runs once on the same connection.",
        "RFC 9113 §8.1: a request ends with END_STREAM; RFC 9110 §8: an incomplete request is not to be acted on"
    ),
];

/// Sends an operation whose reply the network loses, or cuts.
pub(super) async fn lose(trial: &Trial, operation: &Operation, mischief: Mischief) -> Outcome {
    match trial.through(operation, mischief).await {
        Err(WireError::NoReply | WireError::CutReply { .. } | WireError::Broke(_)) => Ok(()),
        Err(error) if error.by_protocol() => Ok(()),
        Ok(reply) => {
            let why = format!("the reply came through the tester's bad network: {}", reply.brief());
            Err(Halt::Inconclusive(why))
        }
        Err(error) => Err(Halt::Inconclusive(error.to_string())),
    }
}

/// Sends the operation again until it has its reply: a success, the same each time, and one effect.
async fn regain(trial: &Trial, operation: &Operation) -> Result<Reply, Halt> {
    let reply = trial.retry(operation, trial.undecided()).await?;
    expect(reply.success(), "the retry gets the operation's success", reply.brief())?;
    let again = trial.send(operation).await?;
    trial.expect_effects(operation, 1).await?;
    same_reply(&reply, &again)?;
    Ok(reply)
}

async fn reply_lost(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    lose(trial, &operation, Mischief::LoseReply).await?;
    trial.effect_happens(&operation).await?;
    regain(trial, &operation).await.map(|_| ())
}

async fn reply_cut(trial: &Trial) -> Outcome {
    // Another operation tells how long such a reply is.
    let like = trial.aside().await?;
    let operation = trial.operation();
    lose(trial, &operation, Mischief::CutReply(Cut::Body(like.body.len() / 2))).await?;
    let reply = regain(trial, &operation).await?;
    let (whole, got) = (like.body.len(), reply.body.len());
    expect(
        got * 2 >= whole,
        format!("a body of about {whole} bytes"),
        format!("one of {got} bytes"),
    )
}

async fn reply_held(trial: &Trial) -> Outcome {
    let broken = |error: WireError| Halt::Broken(error.to_string());
    let operation = trial.operation();
    let request = trial.request(&operation);
    trial.write_down(&request);
    let (address, gate) = (&trial.target().address, Gate::closed());
    let held = Mischief::HoldReply(gate.clone());
    let opened = trial.within(Passage::open(address, held)).await;
    let (_passage, mut connection) = opened.map_err(broken)?;
    let bytes = connection.written(&request, &address.authority());
    connection.write(&bytes).await.map_err(broken)?;
    trial.effect_happens(&operation).await?;
    let again = regain(trial, &operation).await?;
    gate.open();
    let first = trial.answered(trial.within(connection.reply(&request.method)).await)?;
    same_reply(&first, &again)
}

/// Sends the whole of an operation, lets some time pass or waits for its effect, and leaves.
pub(super) async fn leave(
    trial: &Trial,
    operation: &Operation,
    after: Option<Duration>,
) -> Outcome {
    let broken = |error: WireError| Halt::Broken(error.to_string());
    let request = trial.request(operation);
    trial.write_down(&request);
    let mut connection = trial.connect().await.map_err(broken)?;
    let bytes = connection.written(&request, &trial.target().address.authority());
    trial.within(connection.write(&bytes)).await.map_err(broken)?;
    match after {
        Some(time) => trial.pause(time).await,
        None => trial.effect_happens(operation).await?,
    }
    drop(connection);
    Ok(())
}

async fn leaves_before_effect(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::Slow);
    leave(trial, &operation, Some(trial.units(2))).await?;
    regain(trial, &operation).await.map(|_| ())
}

async fn leaves_after_effect(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::SlowAfter);
    leave(trial, &operation, None).await?;
    regain(trial, &operation).await.map(|_| ())
}

/// Delivers the first bytes of an operation, which have no effect, and then the whole.
async fn cut_then_whole(trial: &Trial, operation: &Operation, bytes: usize) -> Outcome {
    lose(trial, operation, Mischief::CutRequest(bytes)).await?;
    trial.linger(2).await;
    let count = trial.effects(operation).await?;
    let expected = format!("no effect of the first {bytes} bytes of a request");
    expect(count == 0, expected, format!("{count} effects"))?;
    regain(trial, operation).await.map(|_| ())
}

async fn leaves_in_body(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let request = trial.request(&operation);
    if request.body.len() < 2 {
        return Err(Halt::Skipped("the operation has no body that could be cut".into()));
    }
    let address = &trial.target().address;
    let head = address.http().head_length(&request, &address.authority());
    cut_then_whole(trial, &operation, head + request.body.len() / 2).await
}

async fn leaves_in_head(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let address = &trial.target().address;
    let head = address.http().head_length(&trial.request(&operation), &address.authority());
    cut_then_whole(trial, &operation, head.saturating_sub(3)).await
}

async fn leaves_anywhere(trial: &Trial) -> Outcome {
    let address = &trial.target().address;
    let (http, host) = (address.http(), address.authority());
    let attempts = (0..6).map(|_| {
        let operation = trial.operation();
        let length = http.length(&trial.request(&operation), &host);
        let point = usize::try_from(trial.chance(length as u64)).unwrap_or_default() + 1;
        (operation, point, length)
    });
    let attempts: Vec<_> = attempts.collect();
    let points: Vec<_> = attempts.iter().map(|(_, point, _)| *point).collect();
    trial.note(format!("left after {points:?} bytes"));
    let tried = attempts.iter().map(|(operation, point, length)| async move {
        if point < length {
            return cut_then_whole(trial, operation, *point).await;
        }
        lose(trial, operation, Mischief::CutRequest(*point)).await?;
        regain(trial, operation).await.map(|_| ())
    });
    if trial.target().effects.by_operation() {
        return join_all(tried).await.into_iter().collect();
    }
    // Where effects cannot be told apart, one attempt is all that can be counted.
    trial.note("only the first was tried: the count tells no operation from another");
    match tried.into_iter().next() {
        Some(attempt) => attempt.await,
        None => Ok(()),
    }
}

async fn network_duplicates(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let request = trial.request(&operation);
    let (one, two) = join(trial.send_request(&request), trial.send_request(&request)).await;
    let late = trial.send_request(&request).await?;
    regain(trial, &operation).await?;
    one_success(&[one?, two?, late]).map(|_| ())
}

async fn retry_storm(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    for _ in 0..10 {
        lose(trial, &operation, Mischief::LoseReply).await?;
    }
    regain(trial, &operation).await.map(|_| ())
}

async fn impatient_caller(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::Slow);
    for _ in 0..5 {
        leave(trial, &operation, Some(trial.units(1))).await?;
    }
    regain(trial, &operation).await?;
    // Each of those that left may have begun a run of its own, which ends later than the one that
    // answered.
    trial.pause(trial.slow()).await;
    trial.expect_effects(&operation, 1).await
}

/// Sends an operation, resets its stream after some time or after its effect, and retries on the same connection.
async fn reset(trial: &Trial, operation: &Operation, after: Option<Duration>) -> Outcome {
    let broken = |error: WireError| Halt::Broken(error.to_string());
    let (request, host) = (trial.request(operation), trial.target().address.authority());
    trial.write_down(&request);
    let mut connection = trial.connect().await.map_err(broken)?;
    let (turn, head) = connection.begun(&request, &host);
    let bytes = [head, connection.part(turn, &request.body, true)].concat();
    trial.within(connection.write(&bytes)).await.map_err(broken)?;
    match after {
        Some(time) => trial.pause(time).await,
        None => trial.effect_happens(operation).await?,
    }
    connection.reset(turn).await.map_err(broken)?;
    retried_on(trial, operation, &mut connection).await
}

/// Sends the operation on the connection that one of its streams left, and regains its reply on others.
async fn retried_on(trial: &Trial, operation: &Operation, connection: &mut Connection) -> Outcome {
    let request = trial.request(operation);
    trial.write_down(&request);
    let again = trial.answered(trial.exchange(connection, &request).await)?;
    let reply = regain(trial, operation).await?;
    one_success(&[again, reply]).map(|_| ())
}

async fn reset_before_effect(trial: &Trial) -> Outcome {
    let operation = trial.operation().behaving(Behaviour::Slow);
    reset(trial, &operation, Some(trial.units(2))).await
}

async fn reset_after_effect(trial: &Trial) -> Outcome {
    reset(trial, &trial.operation().behaving(Behaviour::SlowAfter), None).await
}

async fn reset_in_body(trial: &Trial) -> Outcome {
    let broken = |error: WireError| Halt::Broken(error.to_string());
    let operation = trial.operation();
    let (request, host) = (trial.request(&operation), trial.target().address.authority());
    let half = request.body.get(..request.body.len() / 2).unwrap_or_default();
    if half.is_empty() {
        return Err(Halt::Skipped("the operation has no body that could be cut".into()));
    }
    let mut connection = trial.connect().await.map_err(broken)?;
    let (turn, head) = connection.begun(&request, &host);
    let bytes = [head, connection.part(turn, half, false)].concat();
    trial.within(connection.write(&bytes)).await.map_err(broken)?;
    connection.reset(turn).await.map_err(broken)?;
    trial.linger(2).await;
    let count = trial.effects(&operation).await?;
    expect(count == 0, "no effect of half a request", format!("{count} effects"))?;
    retried_on(trial, &operation, &mut connection).await
}
