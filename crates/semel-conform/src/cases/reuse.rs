//! What came of a request whose key another request had used before: it was refused, ran as an
//! operation of its own, or was answered with what the other one got.

use std::collections::BTreeSet;

use super::replay::merges_by_itself;
use crate::case::{Halt, Outcome, expect, expect_own};
use crate::trial::{Operation, Tenant, Trial};
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
    /// Who sent it, if it was somebody else.
    stranger: Option<Tenant>,
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
        Self { operation, first, request, second, what, stranger: None }
    }

    /// The second was somebody else's.
    pub(super) fn by(self, stranger: Tenant) -> Self {
        Self { stranger: Some(stranger), ..self }
    }
}

/// Of a request that asks for the same and differs elsewhere: it may be refused, or run as an
/// operation of its own, but not be answered with the first one's reply.
pub(super) async fn apart(trial: &Trial, reuse: &Reuse<'_>) -> Outcome {
    let Reuse { operation, first, second, what, .. } = reuse;
    if !second.success() {
        trial.expect_effects(operation, 1).await?;
        return keeps_to_itself(trial, reuse).await.map(|_| ());
    }
    let expected = format!("{what} is refused, or runs as an operation of its own");
    let observed = format!("the first one's reply: {}", second.brief());
    let same = second.status == first.status && second.body == first.body;
    if !same {
        // Its own reply; where its effects are counted with the first one's, there are two.
        return keeps_to_itself(trial, reuse).await.map(|_| ());
    }
    if first.body.is_empty() || !tells(trial, first).await? {
        if ran(trial, reuse).await? {
            return Ok(());
        }
        let observed = format!("{observed}, and it did not run");
        return judged(reuse.stranger, expected, observed);
    }
    judged(reuse.stranger, expected, observed)
}

/// Whether the second request ran as an operation of its own, told by the effects alone: the replies
/// to all operations are one.
///
/// # Errors
/// [`Halt::Inconclusive`] where the effects do not tell, either.
async fn ran(trial: &Trial, reuse: &Reuse<'_>) -> Result<bool, Halt> {
    let why = "all operations get the same reply, so that a replay cannot be told";
    let unclear = || Halt::Inconclusive(why.into());
    let operation = reuse.operation;
    if !trial.target().effects.by_operation() {
        return Err(unclear());
    }
    trial.linger(1).await;
    let ran = match reuse.stranger {
        // Whose own operations are refused: a success is somebody else's.
        Some(Tenant::Nobody) => return Ok(false),
        Some(other) if counts_apart(trial, other).await? => {
            trial.effects(&operation.clone().by(other)).await? >= 1
        }
        _ => trial.effects(operation).await? >= 2,
    };
    // Elsewhere than in its caller it may have had an effect of another kind, which is not counted.
    if !ran && (reuse.stranger.is_none() || merges_by_itself(trial).await?) {
        return Err(unclear());
    }
    Ok(ran)
}

/// Whether that caller's count leaves out the first one's operations.
async fn counts_apart(trial: &Trial, other: Tenant) -> Result<bool, Halt> {
    let mine = trial.operation();
    trial.succeed(&mine).await?;
    trial.effect_happens(&mine).await?;
    Ok(trial.effects(&mine.by(other)).await? == 0)
}

/// Whether anything could have been seen in the second reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// The first reply says something that no other says, or nothing of its own at all.
    Closely,
    /// It differs from another one in what may stand in any reply by chance: small numbers, times.
    Dimly,
}

impl Looked {
    /// Expects that something could have been seen.
    ///
    /// # Errors
    /// [`Halt::Inconclusive`] where not.
    pub(super) fn closely(self) -> Outcome {
        match self {
            Self::Closely => Ok(()),
            Self::Dimly => Err(Halt::Inconclusive(
                "the first reply has no word of its own by which it could be known again: let it bear an id of letters, or of six digits or more".into(),
            )),
        }
    }
}

/// Expects that nothing of the first reply stands in the second.
pub(super) async fn keeps_to_itself(trial: &Trial, reuse: &Reuse<'_>) -> Result<Looked, Halt> {
    let like = trial.aside().await?;
    let marks = marks(trial, reuse.first, &like, reuse.request);
    let seen = words(reuse.second);
    let leaked = marks.iter().find(|mark| seen.contains(*mark));
    let observed = match leaked {
        Some(mark) => format!("{mark:?} of the first one's reply in {}", reuse.second.brief()),
        None => String::new(),
    };
    let expected = format!("{} is told nothing of the first one's reply", reuse.what);
    judged_if(leaked.is_none(), reuse.stranger, expected, observed)?;
    let says_nothing = said(reuse.first) == said(&like);
    Ok(if marks.is_empty() && !says_nothing { Looked::Dimly } else { Looked::Closely })
}

fn judged(stranger: Option<Tenant>, expected: String, observed: String) -> Outcome {
    judged_if(false, stranger, expected, observed)
}

fn judged_if(holds: bool, stranger: Option<Tenant>, expected: String, observed: String) -> Outcome {
    if stranger.is_some() {
        expect_own(holds, expected, observed)
    } else {
        expect(holds, expected, observed)
    }
}

/// Whether another operation gets another body, so that a body says whose it is.
async fn tells(trial: &Trial, first: &Reply) -> Result<bool, Halt> {
    Ok(trial.aside().await?.body != first.body)
}

/// Words that the first reply has alone: neither the second request brought them, nor does the reply
/// to another operation hold them.
fn marks(trial: &Trial, first: &Reply, like: &Reply, request: &Request) -> BTreeSet<String> {
    let of_any = words(like);
    let asked = request.bytes(&trial.target().address.authority());
    let asked = split(&String::from_utf8_lossy(&asked));
    let alone = |word: &String| !of_any.contains(word) && !asked.contains(word);
    words(first).into_iter().filter(alone).collect()
}

/// The words of what a reply says of its operation: its body, and the headers that name things.
fn words(reply: &Reply) -> BTreeSet<String> {
    let (body, headers) = said(reply);
    let mut words = split(&body);
    words.extend(headers.iter().flat_map(|value| split(value)));
    words
}

/// Its body, and the headers that name things.
fn said(reply: &Reply) -> (String, Vec<String>) {
    let names = ["location", "content-location", "etag", "link"];
    (reply.text(), names.iter().flat_map(|name| reply.all(name)).collect())
}

/// Words of three letters or more, and numbers of six digits or more, that are no times: a moment may
/// stand in two replies by chance.
fn split(text: &str) -> BTreeSet<String> {
    let within = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let moment = |c: char| c.is_ascii_digit() || matches!(c, '-' | 'T' | 'Z');
    let telling = |word: &&str| match word.chars().all(|c| c.is_ascii_digit()) {
        true => word.len() >= 6 && !epoch(word),
        false => word.chars().count() >= 3 && !word.chars().all(moment),
    };
    text.split(|c| !within(c)).filter(telling).map(str::to_owned).collect()
}

/// Whether a number may be a moment of 2020 to 2040: since 1970 in seconds or in thousandths,
/// millionths or billionths of one, or a date and time written in one.
fn epoch(digits: &str) -> bool {
    let seconds = || digits.get(..10).and_then(|first| first.parse::<u64>().ok());
    match digits.len() {
        8 | 14 => digits.starts_with("20"),
        10 | 13 | 16 | 19 => seconds().is_some_and(|s| (1_577_836_800..2_208_988_800).contains(&s)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn words_name_things_and_are_no_times() {
        let body = r#"{"id":"ch_12","reference":"conform-0f","at":"2026-11-24T08:30:59Z","n":1763972956,"ms":1763972956123,"day":20261124,"seq":4711,"no":482910007}"#;
        let headers = vec![
            ("location".to_owned(), b"/charges/ch_12?x=y1z".to_vec()),
            ("date".to_owned(), b"Tue, 24 Nov 2026 08:30:59 GMT".to_vec()),
        ];
        let reply = Reply { status: 201, headers, body: Bytes::from_static(body.as_bytes()) };
        let found: Vec<_> = words(&reply).into_iter().collect();
        assert_eq!(
            found,
            ["482910007", "ch_12", "charges", "conform-0f", "day", "reference", "seq", "y1z"]
        );
    }

    #[test]
    fn a_word_is_not_seen_within_another() {
        assert!(!split("ch_123").contains("ch_12"));
        assert!(split("\"ch_12\",").contains("ch_12"));
    }
}
