//! What came of a request whose key another request had used before: it was refused, ran as an
//! operation of its own, or was answered with what the other one got.

use std::collections::BTreeSet;

use crate::case::{Halt, Outcome, expect, expect_own};
use crate::trial::{Operation, Trial};
use crate::wire::{Reply, Request};

/// Two requests under one key, the replies to both, and how they may be told apart.
pub(super) struct Reuse<'a> {
    /// What was asked for first.
    operation: &'a Operation,
    /// Its reply.
    first: &'a Reply,
    /// What was sent under its key.
    request: &'a Request,
    /// The reply to that.
    second: &'a Reply,
    /// How the two differ: "another route".
    what: &'a str,
    /// Whether somebody else sent it.
    stranger: bool,
}

impl<'a> Reuse<'a> {
    /// Of one caller's.
    pub(super) fn new(
        operation: &'a Operation,
        first: &'a Reply,
        request: &'a Request,
        second: &'a Reply,
        what: &'a str,
    ) -> Self {
        Self { operation, first, request, second, what, stranger: false }
    }

    /// The second was somebody else's.
    pub(super) fn by_stranger(self) -> Self {
        Self { stranger: true, ..self }
    }
}

/// Of a request that asks for the same and differs elsewhere: it may be refused, or run as an
/// operation of its own, but not be answered with the first one's reply.
pub(super) async fn apart(trial: &Trial, reuse: &Reuse<'_>) -> Outcome {
    let Reuse { operation, first, second, what, .. } = reuse;
    if !second.success() {
        trial.expect_effects(operation, 1).await?;
        return keeps_to_itself(trial, reuse).await;
    }
    let expected = format!("{what} is refused, or runs as an operation of its own");
    let observed = format!("the first one's reply: {}", second.brief());
    let same = second.status == first.status && second.body == first.body;
    if !same {
        // Its own reply; where its effects are counted with the first one's, there are two.
        return keeps_to_itself(trial, reuse).await;
    }
    if first.body.is_empty() || !tells(trial, first).await? {
        let why = "all operations get the same reply, so that a replay cannot be told";
        return Err(Halt::Inconclusive(why.into()));
    }
    judged(reuse.stranger, expected, observed)
}

/// Expects that nothing of the first reply stands in the second.
pub(super) async fn keeps_to_itself(trial: &Trial, reuse: &Reuse<'_>) -> Outcome {
    let marks = marks(trial, reuse.first, reuse.request).await?;
    let seen = words(reuse.second);
    let leaked = marks.iter().find(|mark| seen.contains(*mark));
    let observed = match leaked {
        Some(mark) => format!("{mark:?} of the first one's reply in {}", reuse.second.brief()),
        None => String::new(),
    };
    let expected = format!("{} is told nothing of the first one's reply", reuse.what);
    judged_if(leaked.is_none(), reuse.stranger, expected, observed)
}

fn judged(stranger: bool, expected: String, observed: String) -> Outcome {
    judged_if(false, stranger, expected, observed)
}

fn judged_if(holds: bool, stranger: bool, expected: String, observed: String) -> Outcome {
    if stranger { expect_own(holds, expected, observed) } else { expect(holds, expected, observed) }
}

/// Whether another operation gets another body, so that a body says whose it is.
async fn tells(trial: &Trial, first: &Reply) -> Result<bool, Halt> {
    Ok(trial.aside().await?.body != first.body)
}

/// Words that the first reply has alone: neither the second request brought them, nor does the reply
/// to another operation hold them.
pub(super) async fn marks(
    trial: &Trial,
    first: &Reply,
    request: &Request,
) -> Result<BTreeSet<String>, Halt> {
    let of_any = words(&trial.aside().await?);
    let asked = request.bytes(&trial.target().address.authority());
    let asked = split(&String::from_utf8_lossy(&asked));
    let alone = |word: &String| !of_any.contains(word) && !asked.contains(word);
    Ok(words(first).into_iter().filter(alone).collect())
}

/// The words of what a reply says of its operation: its body, and the headers that name things.
pub(super) fn words(reply: &Reply) -> BTreeSet<String> {
    let mut words = split(&reply.text());
    for name in ["location", "content-location", "etag", "link"] {
        words.extend(reply.all(name).iter().flat_map(|value| split(value)));
    }
    words
}

/// Words of three letters or more that are no times: a moment may stand in two replies by chance.
fn split(text: &str) -> BTreeSet<String> {
    let within = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let moment = |c: char| c.is_ascii_digit() || matches!(c, '-' | 'T' | 'Z');
    let telling = |word: &&str| word.chars().count() >= 3 && !word.chars().all(moment);
    text.split(|c| !within(c)).filter(telling).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn words_name_things_and_are_no_times() {
        let body =
            r#"{"id":"ch_12","reference":"conform-0f","at":"2026-11-24T08:30:59Z","n":1763972956}"#;
        let headers = vec![
            ("location".to_owned(), b"/charges/ch_12?x=y1z".to_vec()),
            ("date".to_owned(), b"Tue, 24 Nov 2026 08:30:59 GMT".to_vec()),
        ];
        let reply = Reply { status: 201, headers, body: Bytes::from_static(body.as_bytes()) };
        let found: Vec<_> = words(&reply).into_iter().collect();
        assert_eq!(found, ["ch_12", "charges", "conform-0f", "reference", "y1z"]);
    }

    #[test]
    fn a_word_is_not_seen_within_another() {
        assert!(!split("ch_123").contains("ch_12"));
        assert!(split("\"ch_12\",").contains("ch_12"));
    }
}
