//! The wire: where one request ends and the next begins, and what of a stored reply must not come
//! again.

use std::time::Duration;

use tokio::time::Instant;

use super::again::{at_most_one, nothing_ran_again, once};
use super::case;
use super::timing::{PAIRS, Samples};
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::trial::{Operation, Tenant, Trial, same_reply};
use crate::wire::{Connection, Http, Reply, Request};

pub(super) const CASES: &[Case] = &[
    case!(
        "framing/replay-then-next-request", Must, replay_then_next, needs: [],
        "A replay reads its request's body: what follows on the connection is the next request, and gets its own reply.",
        "Pingora CVE-2025-4366: a stored reply was sent without reading the body, whose bytes became the next request"
    ),
    case!(
        "framing/body-never-a-request", Must, body_never_a_request, needs: [],
        "The body of a request under a used key never runs as a request of its own.",
        "Pingora CVE-2025-4366; RFC 9112 §11.2: request smuggling"
    ),
    case!(
        "framing/pipelined-duplicates", Must, pipelined, needs: [],
        "An operation that is sent twice on one connection, without waiting for the first reply, has one effect.",
        "RFC 9112 §9.3.2: a server may process pipelined requests at once"
    ),
    case!(
        "framing/length-and-chunked", Must, length_and_chunked, needs: [],
        "A request with a length and with chunks is refused, or is one request: what follows gets its own reply.",
        "RFC 9112 §6.1 and §6.3; Pingora CVE-2026-2835"
    ),
    case!(
        "framing/length-and-chunked-closes", Should, length_and_chunked_closes, needs: [Need::Http1],
        "After a request with a length and with chunks the connection is closed: what its length still covers does not run.",
        "RFC 9112 §6.1: the server closes the connection after responding to such a request"
    ),
    case!(
        "framing/two-lengths", Must, two_lengths, needs: [],
        "A request with two different lengths is refused, and nothing runs.",
        "RFC 9112 §6.3: an unrecoverable error"
    ),
    case!(
        "framing/folded-key", Must, folded_key, needs: [],
        "A key that goes on in a second line is refused or is one key: it is never dropped, so that a retry runs again.",
        "RFC 9112 §5.2: obsolete line folding is refused or read as a space"
    ),
    case!(
        "framing/header-injection", Must, header_injection, needs: [],
        "Line ends that a caller writes into a key or a body, encoded, make no header of the reply or of its replay.",
        "CWE-113; RFC 9110 §5.5"
    ),
    case!(
        "framing/cookie-of-another-session", Should, other_session,
        needs: [Need::Behaves(Behaviour::Cookie)],
        "A replay to another session does not set the first one's cookie.",
        "Granit VULN-200; RFC 6265 §8.2: ambient authority"
    ),
    case!(
        "framing/cookie-not-replayed", Should, cookie, needs: [Need::Behaves(Behaviour::Cookie)],
        "A replay does not set the first reply's cookie again.",
        "Granit VULN-200; RFC 9111 §7.3: stored replies and cookies"
    ),
    case!(
        "framing/fresh-date", Should, fresh_date, needs: [],
        "A replay bears the Date on which it was sent.",
        "RFC 9110 §6.6.1"
    ),
    case!(
        "framing/no-credentials", Should, no_credentials, needs: [],
        "No header of a replay shows a credential or asks for one.",
        "RFC 9110 §11.6; Apache Polaris issue 3803: a replay handed out credentials"
    ),
    case!(
        "framing/chunked-is-the-same", Should, chunked, needs: [],
        "A retry whose body comes in chunks is the same request as one with a length.",
        "RFC 9112 §6: the framing is no part of the message"
    ),
    case!(
        "framing/expect-continue", Should, expect_continue, needs: [],
        "A retry with Expect: 100-continue gets the stored reply.",
        "RFC 9110 §10.1.1"
    ),
    case!(
        "framing/timing-of-anothers-key", Info, timing, needs: [Need::TenantB],
        "Another caller cannot tell by the time that a reply takes whether a key is in use elsewhere.",
        "draft-ietf-httpapi-idempotency-key-header-07 §5: low entropy keys and other callers' replies",
        alone
    ),
];

/// The next reply on the connection; `None` where it ends, or none comes.
async fn next(trial: &Trial, connection: &mut Connection, method: &str) -> Option<Reply> {
    let bound = trial.units(20).max(Duration::from_secs(2));
    let reply = tokio::time::timeout(bound, connection.reply(method)).await;
    reply.ok().and_then(Result::ok)
}

/// Writes the requests on a connection of their own, all at once. What could not be written does not matter: a
/// server may refuse before it has read.
async fn wrote(trial: &Trial, requests: &[&Request]) -> Result<Connection, Halt> {
    let mut connection = connected(trial).await?;
    let host = trial.target().address.authority();
    let mut bytes = Vec::new();
    for request in requests {
        trial.write_down(request);
        bytes.extend(connection.written(request, &host));
    }
    let _ = connection.write(&bytes).await;
    Ok(connection)
}

async fn connected(trial: &Trial) -> Result<Connection, Halt> {
    trial.connect().await.map_err(|error| Halt::Broken(error.to_string()))
}

/// Expects that what came second on a connection is the reply to this operation; a connection that
/// was closed before it is fine.
async fn its_own_reply(trial: &Trial, operation: &Operation, reply: Option<Reply>) -> Outcome {
    at_most_one(trial, operation).await?;
    let Some(reply) = reply else { return Ok(()) };
    let own = reply.success() && trial.effects(operation).await? == 1;
    expect(own, "the second request gets its own reply: a success", reply.brief())
}

async fn replay_then_next(trial: &Trial) -> Outcome {
    let (operation, following) = (trial.operation(), trial.operation());
    trial.succeed(&operation).await?;
    let requests = [&trial.request(&operation), &trial.request(&following)];
    let mut connection = wrote(trial, &requests).await?;
    next(trial, &mut connection, "POST").await;
    let second = next(trial, &mut connection, "POST").await;
    if trial.target().effects.by_operation() {
        trial.expect_effects(&operation, 1).await?;
        return its_own_reply(trial, &following, second).await;
    }
    match second {
        Some(second) => expect(second.success(), "the second request succeeds", second.brief()),
        None => Ok(()),
    }
}

async fn body_never_a_request(trial: &Trial) -> Outcome {
    let (operation, hidden) = (trial.operation(), trial.operation());
    trial.succeed(&operation).await?;
    let body = trial.request(&hidden).bytes(&trial.target().address.authority());
    let mut connection = wrote(trial, &[&trial.request(&operation).body(body)]).await?;
    next(trial, &mut connection, "POST").await;
    trial.pause(trial.units(2)).await;
    trial.expect_effects_in(&[(&operation, 1), (&hidden, 0)]).await
}

async fn pipelined(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let one = trial.request(&operation);
    let mut connection = wrote(trial, &[&one, &one]).await?;
    let first = next(trial, &mut connection, "POST").await;
    next(trial, &mut connection, "POST").await;
    if !first.is_some_and(|reply| reply.success()) {
        return Err(Halt::Inconclusive("the first of two pipelined requests failed".into()));
    }
    trial.expect_effects(&operation, 1).await
}

/// A body in two chunks.
fn in_chunks(body: &[u8]) -> Vec<u8> {
    let (head, tail) = body.split_at(body.len() / 2);
    let mut out = Vec::new();
    for part in [head, tail].into_iter().filter(|part| !part.is_empty()) {
        out.extend(format!("{:x}\r\n", part.len()).bytes());
        out.extend(part);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

/// The operation in chunks, and with a length that covers so many bytes more.
fn doubly_framed(trial: &Trial, operation: &Operation, beyond: usize) -> Request {
    let request = trial.request(operation);
    let body = in_chunks(&request.body);
    let length = (body.len() + beyond).to_string();
    request.set("Content-Length", length).set("Transfer-Encoding", "chunked").body(body)
}

async fn length_and_chunked(trial: &Trial) -> Outcome {
    let (operation, following) = (trial.operation(), trial.operation());
    let requests = [&doubly_framed(trial, &operation, 0), &trial.request(&following)];
    let mut connection = wrote(trial, &requests).await?;
    next(trial, &mut connection, "POST").await;
    let second = next(trial, &mut connection, "POST").await;
    if !trial.target().effects.by_operation() {
        return Err(Halt::Inconclusive(
            "one operation's effects cannot be told from another's".into(),
        ));
    }
    at_most_one(trial, &operation).await?;
    its_own_reply(trial, &following, second).await
}

async fn length_and_chunked_closes(trial: &Trial) -> Outcome {
    let (operation, hidden) = (trial.operation(), trial.operation());
    let tail = trial.request(&hidden);
    let beyond = tail.bytes(&trial.target().address.authority()).len();
    let requests = [&doubly_framed(trial, &operation, beyond), &tail];
    let mut connection = wrote(trial, &requests).await?;
    next(trial, &mut connection, "POST").await;
    next(trial, &mut connection, "POST").await;
    trial.linger(2).await;
    let count = trial.effects(&hidden).await?;
    expect(count == 0, "the rest does not run", format!("{count} effects of it"))
}

async fn two_lengths(trial: &Trial) -> Outcome {
    let (operation, hidden) = (trial.operation(), trial.operation());
    let tail = trial.request(&hidden).bytes(&trial.target().address.authority());
    let request = trial.request(&operation);
    let length = request.body.len();
    let body = [request.body.as_ref(), &tail].concat();
    let request = request
        .add("Content-Length", length.to_string())
        .add("Content-Length", body.len().to_string())
        .body(body);
    let mut connection = wrote(trial, &[&request]).await?;
    let reply = next(trial, &mut connection, "POST").await;
    trial.pause(trial.units(2)).await;
    trial.expect_effects_in(&[(&operation, 0), (&hidden, 0)]).await?;
    match reply {
        Some(reply) => expect(!reply.success(), "a refusal", reply.brief()),
        None => Ok(()),
    }
}

async fn folded_key(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let key = format!("{}\r\n {}", trial.fresh_key(), trial.fresh_key());
    let operation = operation.key(&key);
    once(trial, &operation).await?;
    once(trial, &operation).await?;
    at_most_one(trial, &operation).await.map(|_| ())
}

const INJECTED: &str = "x-conform-injected";

async fn header_injection(trial: &Trial) -> Outcome {
    let key = format!("{}%0d%0a{INJECTED}:%201", trial.fresh_key());
    let amount = format!(r#""100\r\n{INJECTED}: 1""#);
    for operation in [trial.operation().key(&key), trial.operation().amount(&amount)] {
        for _ in 0..2 {
            let reply = once(trial, &operation).await?;
            let injected = reply.iter().find(|reply| reply.header(INJECTED).is_some());
            let observed = injected.map(Reply::brief).unwrap_or_default();
            let expected = format!("no header {INJECTED}");
            expect(injected.is_none(), expected, format!("there is one, on {observed}"))?;
        }
    }
    Ok(())
}

/// An operation whose first reply set cookies, and these.
async fn with_cookies(trial: &Trial) -> Result<(Operation, Vec<String>), Halt> {
    let operation = trial.operation().behaving(Behaviour::Cookie);
    let first = trial.succeed(&operation).await?;
    let cookies = first.all("set-cookie");
    if cookies.is_empty() {
        return Err(Halt::Inconclusive("the first reply sets no cookie".into()));
    }
    Ok((operation, cookies))
}

fn set_again(reply: &Reply, cookies: &[String]) -> Option<String> {
    reply.all("set-cookie").into_iter().find(|cookie| cookies.contains(cookie))
}

async fn other_session(trial: &Trial) -> Outcome {
    let (operation, cookies) = with_cookies(trial).await?;
    let request = trial.request(&operation).add("Cookie", "session=another");
    let reply = trial.send_request(&request).await?;
    nothing_ran_again(trial, &operation).await?;
    let again = set_again(&reply, &cookies);
    let expected = "another session is not given the first one's cookie";
    // Its credential says that it is the same caller: not another's reply.
    expect(again.is_none(), expected, format!("Set-Cookie: {}", again.unwrap_or_default()))
}

async fn cookie(trial: &Trial) -> Outcome {
    let (operation, cookies) = with_cookies(trial).await?;
    let reply = trial.send(&operation).await?;
    nothing_ran_again(trial, &operation).await?;
    let again = set_again(&reply, &cookies);
    let observed = format!("Set-Cookie: {}", again.clone().unwrap_or_default());
    expect(again.is_none(), "the replay does not set the cookie again", observed)
}

async fn fresh_date(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let Some(date) = first.header("date") else {
        return Err(Halt::Inconclusive("the first reply has no Date".into()));
    };
    // The header counts in seconds.
    trial.pause(Duration::from_millis(1_100)).await;
    let again = trial.send(&operation).await?;
    nothing_ran_again(trial, &operation).await?;
    let later = again.header("date");
    let observed = later.clone().unwrap_or_else(|| "no Date".to_owned());
    expect(later.is_some_and(|later| later != date), format!("a Date after {date}"), observed)
}

async fn no_credentials(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    trial.succeed(&operation).await?;
    let again = trial.send(&operation).await?;
    nothing_ran_again(trial, &operation).await?;
    let secrets: Vec<&String> = trial
        .credentials(operation.tenant)
        .iter()
        .map(|(_, value)| value)
        .filter(|value| value.len() >= 8)
        .collect();
    let asks = ["www-authenticate", "proxy-authenticate", "authentication-info", "authorization"];
    for (name, value) in &again.headers {
        let value = String::from_utf8_lossy(value);
        let shown = secrets.iter().any(|secret| value.contains(secret.as_str()));
        let told = asks.contains(&name.as_str()) || shown;
        expect(!told, "no header that shows a credential or asks for one", name)?;
    }
    Ok(())
}

async fn chunked(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let request = trial.request(&operation);
    let again = match trial.target().address.http() {
        Http::One => {
            let body = in_chunks(&request.body);
            trial.send_request(&request.set("Transfer-Encoding", "chunked").body(body)).await?
        }
        Http::Two => in_parts(trial, &request).await?,
    };
    if matches!(again.status, 411 | 501) {
        return Err(Halt::Skipped(format!("the target takes no chunks: {}", again.brief())));
    }
    trial.expect_effects(&operation, 1).await?;
    same_reply(&first, &again)
}

/// Sends a request without a length, its body in two parts.
async fn in_parts(trial: &Trial, request: &Request) -> Result<Reply, Halt> {
    trial.write_down(request);
    let mut connection = connected(trial).await?;
    let (turn, head) = connection.begun(request, &trial.target().address.authority());
    let (one, two) = request.body.split_at(request.body.len() / 2);
    let parts = [head, connection.part(turn, one, false), connection.part(turn, two, true)];
    let _ = connection.write(&parts.concat()).await;
    trial.answered(trial.within(connection.reply(&request.method)).await)
}

async fn expect_continue(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let request = trial.request(&operation).set("Expect", "100-continue");
    trial.write_down(&request);
    let mut connection = connected(trial).await?;
    let (turn, head) = connection.begun(&request, &trial.target().address.authority());
    let _ = connection.write(&head).await;
    // Whether or not it says 100: a client goes on after a while (RFC 9110 §10.1.1).
    let early = tokio::time::timeout(trial.units(5), connection.reply("POST")).await;
    let again = match early {
        Ok(reply) => reply.ok(),
        Err(_) => {
            let body = connection.part(turn, &request.body, true);
            let _ = connection.write(&body).await;
            next(trial, &mut connection, "POST").await
        }
    };
    trial.expect_effects(&operation, 1).await?;
    match again {
        Some(again) if again.status == 417 => {
            Err(Halt::Skipped(format!("the target takes no Expect: {}", again.brief())))
        }
        Some(again) => same_reply(&first, &again),
        None => expect(false, "the stored reply", "no whole reply"),
    }
}

async fn timing(trial: &Trial) -> Outcome {
    let (mut used, mut free) = (Samples::default(), Samples::default());
    for _ in 0..PAIRS {
        let theirs = trial.operation();
        trial.succeed(&theirs).await?;
        let taken = Operation { key: theirs.key, ..trial.operation().by(Tenant::B) };
        let fresh = trial.operation().by(Tenant::B);
        for (operation, samples) in [(&taken, &mut used), (&fresh, &mut free)] {
            let began = Instant::now();
            once(trial, operation).await?;
            samples.push(began.elapsed());
        }
    }
    let told = used.told_apart(&free);
    let times = told.clone().unwrap_or_default();
    let observed = format!("another caller's key against a free one: {times}");
    expect(told.is_none(), "no difference in time", observed)
}
