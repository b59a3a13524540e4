//! A retry after the reply: it gets the stored reply, as it was, and nothing happens again.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

use super::case;
use crate::behaviour::Behaviour;
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::trial::{Operation, Trial, same_reply};
use crate::wire::{Reply, Request};

const AFTER_COMPLETION: &str = "draft-ietf-httpapi-idempotency-key-header-07 §2.6: a retry after completion gets the result of the completed operation";

/// Bytes of a decoded body that are compared.
const DECODED_MAX: u64 = 16 << 20;

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
        "replay/ten-retries", Must, ten_retries, needs: [],
        "Ten retries have no second effect, and each gets the first reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "replay/same-connection", Must, same_connection, needs: [],
        "A retry on the first request's connection and one on a new connection get the same reply.",
        "RFC 9112 §9.3: a connection says nothing of who sends or what is meant"
    ),
    case!(
        "replay/no-content", Must, no_content, needs: [Need::Behaves(Behaviour::NoContent)],
        "A 204 is remembered as any other reply: its retry has no second effect.",
        "RFC 9110 §15.3.5; seen in three published libraries that ran again"
    ),
    case!(
        "replay/empty", Must, empty, needs: [Need::Behaves(Behaviour::Empty)],
        "A reply with an empty body is remembered as any other: its retry has no second effect and is as empty.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; libraries that take an empty body for no record"
    ),
    case!(
        "replay/binary", Must, binary, needs: [Need::Behaves(Behaviour::Binary)],
        "A body that is no text is replayed byte for byte.",
        "RFC 9110 §6.4; a published library replayed 256 bytes as 940, another ran again"
    ),
    case!(
        "replay/redirect", Must, redirect, needs: [Need::Behaves(Behaviour::Redirect)],
        "A redirect is the operation's result: its retry has no second effect and is redirected, too.",
        "RFC 9110 §15.4.4; draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "replay/redirect-location", Should, redirect_location,
        needs: [Need::Behaves(Behaviour::Redirect)],
        "A replayed redirect leads where the first one led.",
        "RFC 9110 §10.2.2"
    ),
    case!(
        "replay/large-one-effect", Must, large_one_effect, needs: [Need::Behaves(Behaviour::Large)],
        "A reply of over 1.5 MB is no licence to run again: its retry has no second effect, and no other success.",
        "two published libraries that ran again; one that did once its lease had ended"
    ),
    case!(
        "replay/large", Should, large, needs: [Need::Behaves(Behaviour::Large)],
        "A reply of over 1.5 MB is replayed byte for byte.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6"
    ),
    case!(
        "replay/streamed-one-effect", Must, streamed_one_effect,
        needs: [Need::Behaves(Behaviour::Streamed)],
        "A reply without a length is no licence to run again: its retry has no second effect, and no other success.",
        "RFC 9112 §7.1; a published library stored drained streams, others let them pass and ran again"
    ),
    case!(
        "replay/streamed", Should, streamed, needs: [Need::Behaves(Behaviour::Streamed)],
        "A reply in chunks is replayed with the content that it had.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.6; RFC 9112 §7.1"
    ),
    case!(
        "replay/compressed", Must, compressed, needs: [Need::Behaves(Behaviour::Compressed)],
        "A replayed body says its content coding: it reads as the first one read.",
        "RFC 9110 §8.4: Content-Encoding is needed to read the body"
    ),
    case!(
        "replay/compressed-refused", Should, compressed_refused,
        needs: [Need::Behaves(Behaviour::Compressed)],
        "A retry that accepts no content coding gets the stored reply without one.",
        "RFC 9110 §12.5.3"
    ),
    case!(
        "replay/compressed-unsaid", Info, compressed_unsaid,
        needs: [Need::Behaves(Behaviour::Compressed)],
        "A retry that says nothing of content codings gets the stored reply without one.",
        "RFC 9110 §12.5.3 allows any coding then; many clients read none"
    ),
    case!(
        "replay/content-type", Should, content_type, needs: [],
        "A replay has the first reply's Content-Type.",
        "RFC 9110 §8.3"
    ),
    case!(
        "replay/kept-headers", Should, kept_headers, needs: [Need::Behaves(Behaviour::Headers)],
        "A replay has the first reply's Location, ETag and Content-Language.",
        "RFC 9110 §8.5, §8.8.3 and §10.2.2; four published libraries that lose Location"
    ),
    case!(
        "replay/repeated-headers", Should, repeated_headers,
        needs: [Need::Behaves(Behaviour::Headers)],
        "A header that stood twice stands twice in the replay, in order, its commas untouched.",
        "RFC 9110 §5.3; RFC 8288 §3: a Link may hold commas"
    ),
    case!(
        "replay/different-keys", Must, different_keys, needs: [],
        "Two requests that differ in their key alone are two operations: none is answered as done that was not.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.2: the key tells operations apart"
    ),
    case!(
        "replay/keyless", Info, keyless, needs: [],
        "Two equal requests without a key are two operations, or are refused.",
        "RFC 9110 §9.2.2: nobody may take a POST for a retry unless told so"
    ),
    case!(
        "replay/json-order", Info, json_order, needs: [Need::Json],
        "A retry whose JSON members stand in another order is the same operation.",
        "RFC 8259 §4: an object is an unordered collection"
    ),
];

/// Sends an operation and sends it again: one effect.
async fn twice(trial: &Trial, operation: &Operation) -> Result<(Reply, Reply), Halt> {
    let first = trial.succeed(operation).await?;
    let again = trial.send(operation).await?;
    trial.expect_effects(operation, 1).await?;
    Ok((first, again))
}

/// The same of an operation that goes another way.
async fn twice_behaving(trial: &Trial, behaviour: Behaviour) -> Result<(Reply, Reply), Halt> {
    twice(trial, &trial.operation().behaving(behaviour)).await
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

async fn ten_retries(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let first = trial.succeed(&operation).await?;
    let mut retries = Vec::new();
    for _ in 0..10 {
        retries.push(trial.send(&operation).await?);
    }
    trial.expect_effects(&operation, 1).await?;
    retries.iter().try_for_each(|again| same_reply(&first, again))
}

async fn same_connection(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let request = trial.request(&operation);
    trial.write_down(&request);
    let broken = |error: crate::wire::WireError| Halt::Broken(error.to_string());
    let mut connection = trial.connect().await.map_err(broken)?;
    let first = trial.answered(trial.exchange(&mut connection, &request).await)?;
    expect(first.success(), "the first request succeeds (2xx or 3xx)", first.brief())?;
    let again = trial.exchange(&mut connection, &request).await;
    let on_another = trial.send(&operation).await?;
    trial.expect_effects(&operation, 1).await?;
    same_reply(&first, &on_another)?;
    match again {
        Ok(again) => same_reply(&first, &again),
        // A server may end a connection after any reply (RFC 9112 §9.6).
        Err(error) => {
            trial.note(format!("the first request's connection took no other: {error}"));
            Ok(())
        }
    }
}

async fn no_content(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::NoContent).await?;
    expect(first.status == 204, "the operation answers 204", first.brief())?;
    same_reply(&first, &again)
}

async fn empty(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Empty).await?;
    presumed(first.body.is_empty(), "an empty body", &first)?;
    same_reply(&first, &again)
}

async fn binary(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Binary).await?;
    let text = std::str::from_utf8(&first.body);
    presumed(text.is_err(), "a body that is no UTF-8", &first)?;
    same_reply(&first, &again)
}

async fn redirect(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Redirect).await?;
    presumed((300..400).contains(&first.status), "a redirect", &first)?;
    same_reply(&first, &again)
}

async fn redirect_location(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Redirect).await?;
    presumed(first.header("location").is_some(), "Location", &first)?;
    same_header(&first, &again, "location")
}

async fn large_one_effect(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Large).await?;
    presumed(first.body.len() >= 1_500_000, "at least 1.5 MB", &first)?;
    replayed_or_refused(&first, &again)
}

async fn large(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Large).await?;
    presumed(first.body.len() >= 1_500_000, "at least 1.5 MB", &first)?;
    same_reply(&first, &again)
}

async fn streamed_one_effect(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Streamed).await?;
    replayed_or_refused(&first, &again)
}

async fn streamed(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Streamed).await?;
    same_reply(&first, &again)
}

/// Sends a compressed operation, asking for gzip, and sends it again with another `Accept-Encoding`.
async fn coded(trial: &Trial, again: Option<&str>) -> Result<(Reply, Reply), Halt> {
    let operation = trial.operation().behaving(Behaviour::Compressed);
    let request = trial.request(&operation).set("Accept-Encoding", "gzip");
    let first = trial.send_request(&request).await?;
    expect(first.success(), "the first request succeeds (2xx or 3xx)", first.brief())?;
    presumed(coding(&first).as_deref() == Some("gzip"), "Content-Encoding: gzip", &first)?;
    let request: Request = match again {
        Some(accepted) => request.set("Accept-Encoding", accepted),
        None => request.without("Accept-Encoding"),
    };
    let again = trial.send_request(&request).await?;
    trial.expect_effects(&operation, 1).await?;
    Ok((first, again))
}

async fn compressed(trial: &Trial) -> Outcome {
    let (first, again) = coded(trial, Some("gzip")).await?;
    same_content(&first, &again)
}

async fn compressed_refused(trial: &Trial) -> Outcome {
    let (first, again) = coded(trial, Some("identity")).await?;
    uncoded(&again)?;
    same_content(&first, &again)
}

async fn compressed_unsaid(trial: &Trial) -> Outcome {
    let (first, again) = coded(trial, None).await?;
    uncoded(&again)?;
    same_content(&first, &again)
}

fn uncoded(again: &Reply) -> Outcome {
    let coding = coding(again);
    let observed = format!("Content-Encoding: {}", coding.as_deref().unwrap_or_default());
    expect(coding.is_none_or(|coding| coding == "identity"), "no content coding", observed)
}

fn coding(reply: &Reply) -> Option<String> {
    reply.header("content-encoding").map(|coding| coding.trim().to_ascii_lowercase())
}

/// The body as it reads by the coding that its reply names.
fn content(reply: &Reply) -> Result<Vec<u8>, String> {
    match coding(reply).as_deref() {
        None | Some("identity") => Ok(reply.body.to_vec()),
        Some("gzip" | "x-gzip") => {
            let mut content = Vec::new();
            let mut decoder = GzDecoder::new(reply.body.as_ref()).take(DECODED_MAX);
            let read = decoder.read_to_end(&mut content);
            read.map_err(|error| format!("a body that is not the gzip it says to be: {error}"))?;
            Ok(content)
        }
        Some(other) => Err(format!("a body in the coding {other:?}, which nobody asked for")),
    }
}

fn same_content(first: &Reply, again: &Reply) -> Outcome {
    let expected = format!("the retry gets the first reply's status, {}", first.status);
    expect(first.status == again.status, expected, again.brief())?;
    let was = content(first).map_err(Halt::Inconclusive)?;
    let read = |reply: &Reply, body: Vec<u8>| Reply { body: body.into(), ..reply.clone() }.brief();
    let shown = read(first, was.clone());
    let expected = format!("a body that reads as the first one read: {shown}");
    match content(again) {
        Ok(is) => expect(is == was, expected, read(again, is)),
        Err(observed) => expect(false, expected, observed),
    }
}

async fn content_type(trial: &Trial) -> Outcome {
    let (first, again) = twice(trial, &trial.operation()).await?;
    presumed(first.header("content-type").is_some(), "Content-Type", &first)?;
    same_header(&first, &again, "content-type")
}

async fn kept_headers(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Headers).await?;
    let kept = ["location", "etag", "content-language"];
    let some = kept.iter().any(|name| first.header(name).is_some());
    presumed(some, "Location, ETag or Content-Language", &first)?;
    kept.iter().try_for_each(|name| same_header(&first, &again, name))
}

async fn repeated_headers(trial: &Trial) -> Outcome {
    let (first, again) = twice_behaving(trial, Behaviour::Headers).await?;
    presumed(first.all("link").len() >= 2, "two Link headers", &first)?;
    same_header(&first, &again, "link")
}

async fn different_keys(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    trial.succeed(&operation).await?;
    let other = operation.clone().key(&trial.fresh_key());
    let reply = trial.send(&other).await?;
    if !reply.success() {
        // An API may take one of each only; it says so.
        return trial.expect_effects(&operation, 1).await;
    }
    match trial.expect_effects(&operation, 2).await {
        Err(Halt::Failed { .. }) if merges_by_itself(trial).await? => {
            let why = "the API makes one of two equal requests even without keys";
            Err(Halt::Inconclusive(why.into()))
        }
        outcome => outcome,
    }
}

/// Whether two equal requests without a key succeed with one effect: the operation itself is
/// idempotent, whatever the key does.
pub(super) async fn merges_by_itself(trial: &Trial) -> Result<bool, Halt> {
    let operation = trial.operation().keyless();
    let before = trial.effects(&operation).await?;
    let (first, again) = (trial.send(&operation).await?, trial.send(&operation).await?);
    trial.linger(1).await;
    let after = trial.effects(&operation).await?;
    Ok(first.success() && again.success() && after < before + 2)
}

async fn keyless(trial: &Trial) -> Outcome {
    let operation = trial.operation().keyless();
    let (first, again) = (trial.send(&operation).await?, trial.send(&operation).await?);
    let done = [&first, &again].into_iter().filter(|reply| reply.success()).count();
    trial.expect_effects(&operation, done as u64).await
}

async fn json_order(trial: &Trial) -> Outcome {
    let operation = trial.operation();
    let request = trial.request(&operation);
    let Some(reordered) = reordered(&request.body) else {
        return Err(Halt::Skipped("the body is no JSON object of two members or more".into()));
    };
    let first = trial.send_request(&request).await?;
    expect(first.success(), "the first request succeeds (2xx or 3xx)", first.brief())?;
    let again = trial.send_request(&request.body(reordered)).await?;
    trial.expect_effects(&operation, 1).await?;
    same_reply(&first, &again)
}

/// The same object with its members the other way round.
fn reordered(body: &[u8]) -> Option<String> {
    let members: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let written = |reversed: bool| {
        let mut parts: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("{}:{value}", Value::String(name.clone())))
            .collect();
        if reversed {
            parts.reverse();
        }
        format!("{{{}}}", parts.join(","))
    };
    [written(false), written(true)].into_iter().find(|text| {
        let tight: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        members.len() > 1 && text.as_bytes() != tight
    })
}

/// Says that a behaviour is not what the case was made for.
///
/// # Errors
/// [`Halt::Inconclusive`], for the target file is to blame and not the API.
fn presumed(holds: bool, what: &str, reply: &Reply) -> Outcome {
    if holds {
        return Ok(());
    }
    let why = format!("the operation was to answer with {what}, and answered {}", reply.brief());
    Err(Halt::Inconclusive(why))
}

/// The first reply, or a refusal that says that it is not kept: never another success.
fn replayed_or_refused(first: &Reply, again: &Reply) -> Outcome {
    if !again.success() {
        return Ok(());
    }
    same_reply(first, again)
}

fn same_header(first: &Reply, again: &Reply, name: &str) -> Outcome {
    let (was, is) = (first.all(name), again.all(name));
    expect(was == is, format!("{name}: {was:?}"), format!("{name}: {is:?}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn reordering_changes_the_text_and_not_the_value() {
        let body = br#"{"a":1,"b":{"d":2,"c":"x y"}}"#;
        let text = reordered(body).unwrap();
        assert_ne!(text.as_bytes(), body);
        let (was, is): (Value, Value) =
            (serde_json::from_slice(body).unwrap(), serde_json::from_str(&text).unwrap());
        assert_eq!(was, is);
        assert_eq!(reordered(b"{\"a\":1}"), None);
        assert_eq!(reordered(b"a=1"), None);
    }

    fn reply(coding: Option<&str>, body: &[u8]) -> Reply {
        let headers = coding.map(|c| ("content-encoding".to_owned(), c.as_bytes().to_vec()));
        let body = Bytes::copy_from_slice(body);
        Reply { status: 200, headers: headers.into_iter().collect(), body }
    }

    #[test]
    fn a_body_is_read_by_the_coding_that_it_names() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"text").unwrap();
        let zipped = encoder.finish().unwrap();
        let first = reply(Some("GZip"), &zipped);
        assert!(same_content(&first, &reply(Some("gzip"), &zipped)).is_ok());
        assert!(same_content(&first, &reply(None, b"text")).is_ok());
        for wrong in [reply(None, &zipped), reply(Some("gzip"), b"text"), reply(Some("br"), b"t")] {
            let judged = same_content(&first, &wrong);
            assert!(matches!(judged, Err(Halt::Failed { .. })), "{judged:?}");
        }
    }

    #[test]
    fn a_success_that_is_not_the_first_is_no_replay() {
        let (first, other) = (reply(None, b"1"), reply(None, b"2"));
        let refusal = Reply { status: 410, ..other.clone() };
        assert!(replayed_or_refused(&first, &first).is_ok());
        assert!(replayed_or_refused(&first, &refusal).is_ok());
        assert!(replayed_or_refused(&first, &other).is_err());
    }
}
