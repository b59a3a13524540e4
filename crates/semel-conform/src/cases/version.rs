//! Versioned writes: nobody overwrites what they have not seen, and a retry of a write that won is not
//! told that it lost.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::case;
use super::document::{Document, Write};
use crate::case::{Case, Halt, Need, Outcome, expect};
use crate::mischief::{Mischief, Passage};
use crate::trial::Trial;
use crate::wire::Request;

pub(super) const CASES: &[Case] = &[
    case!(
        "version/etag-on-reads", Should, etag_on_reads, needs: [Need::Versioned],
        "A read carries an ETag, which changes with each write.",
        "RFC 9110 §8.8.3"
    ),
    case!(
        "version/stale-write-refused", Must, stale_refused, needs: [Need::Versioned],
        "A write against a version that is gone is refused and changes nothing.",
        "RFC 9110 §13.1.1: the method is not performed"
    ),
    case!(
        "version/stale-write-412", Should, stale_412, needs: [Need::Versioned],
        "A write against a version that is gone is answered 412.",
        "RFC 9110 §13.1.1 and §15.5.13"
    ),
    case!(
        "version/match-demanded", Should, match_demanded, needs: [Need::RequiresMatch],
        "Where writes demand If-Match, one without it is answered 428 and changes nothing.",
        "RFC 6585 §3"
    ),
    case!(
        "version/retry-of-won-write", Should, won_write, needs: [Need::Versioned],
        "A retry, with the same key, of a write that succeeded gets that success and not a conflict with itself.",
        "RFC 9110 §13.1.1: a 2xx where the change has already been made by the same caller"
    ),
    case!(
        "version/lost-reply-of-won-write", Should, lost_reply, needs: [Need::Versioned],
        "A write that succeeded and whose reply was lost is told to have succeeded when it is sent again.",
        "RFC 9110 §13.1.1"
    ),
    case!(
        "version/late-retry-overwrites-nothing", Must, late_retry, needs: [Need::Versioned],
        "A late retry of a write that succeeded does not overwrite what others wrote since.",
        "RFC 9110 §13.1.1: lost updates"
    ),
    case!(
        "version/fifty-writers", Must, fifty_writers, needs: [Need::Versioned],
        "Of fifty writers at once who read one version, at most one is told that its write succeeded, and the last success stands.",
        "RFC 9110 §13.1.1: lost updates; Cash App, June 2023: updates applied over one another"
    ),
    case!(
        "version/star-on-absent", Should, star_on_absent, needs: [Need::Versioned],
        "If-Match: * on a resource that does not exist is answered 412, and none is made.",
        "RFC 9110 §13.1.1: * is false where there is no current representation"
    ),
];

fn against<'a>(tag: &'a str, key: Option<&'a str>) -> Write<'a> {
    Write { key, if_match: Some(tag) }
}

async fn etag_on_reads(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let first = document.read(trial).await?;
    let tag = first.header("etag");
    expect(tag.is_some(), "a read has an ETag", first.brief())?;
    let tag = tag.unwrap_or_default();
    let written = document.write(trial, "81547", against(&tag, None)).await?;
    expect(written.success(), "a write against that version succeeds", written.brief())?;
    let other = document.tag(trial).await?;
    expect(other != tag, "another ETag after a write", format!("{other}, as before"))
}

/// A resource whose first version was overwritten, and the tag of that version. 81547 stands there.
async fn overwritten(trial: &Trial) -> Result<(Document, String), Halt> {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let tag = document.tag(trial).await?;
    let won = document.write(trial, "81547", against(&tag, None)).await?;
    expect(won.success(), "a write against the version that stands succeeds", won.brief())?;
    Ok((document, tag))
}

async fn stale_refused(trial: &Trial) -> Outcome {
    let (document, tag) = overwritten(trial).await?;
    let key = trial.fresh_key();
    let stale = document.write(trial, "92683", against(&tag, Some(&key))).await?;
    expect(!stale.success(), "a write against a version that is gone is refused", stale.brief())?;
    document.expect_amount(trial, "81547").await
}

async fn stale_412(trial: &Trial) -> Outcome {
    let (document, tag) = overwritten(trial).await?;
    let stale = document.write(trial, "92683", against(&tag, None)).await?;
    expect(stale.status == 412, "412", stale.brief())
}

async fn match_demanded(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let key = trial.fresh_key();
    let write = Write { key: Some(&key), if_match: None };
    let reply = document.write(trial, "81547", write).await?;
    document.expect_amount(trial, "73019").await?;
    expect(reply.status == 428, "428", reply.brief())
}

/// A write under a key that won.
async fn won(trial: &Trial) -> Result<(Document, Request), Halt> {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let (key, tag) = (trial.fresh_key(), document.tag(trial).await?);
    let request = document.put(trial, "81547", against(&tag, Some(&key)))?;
    let reply = trial.send_request(&request).await?;
    expect(reply.success(), "a write against the version that stands succeeds", reply.brief())?;
    Ok((document, request))
}

async fn won_write(trial: &Trial) -> Outcome {
    let (document, request) = won(trial).await?;
    let again = trial.send_request(&request).await?;
    document.expect_amount(trial, "81547").await?;
    expect(again.success(), "the retry is told that the write succeeded", again.brief())
}

async fn lost_reply(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let (key, tag) = (trial.fresh_key(), document.tag(trial).await?);
    let request = document.put(trial, "81547", against(&tag, Some(&key)))?;
    lose(trial, &request).await?;
    let again = trial.send_request(&request).await?;
    document.expect_amount(trial, "81547").await?;
    expect(again.success(), "the retry is told that the write succeeded", again.brief())
}

/// Sends it, and loses its reply.
async fn lose(trial: &Trial, request: &Request) -> Outcome {
    trial.write_down(request);
    let (address, host) = (&trial.target().address, trial.target().address.authority());
    let broken = |error: crate::wire::WireError| Halt::Broken(error.to_string());
    let (_passage, mut connection) =
        Passage::open(address, Mischief::LoseReply).await.map_err(broken)?;
    let sent = connection.exchange(request, &host);
    match tokio::time::timeout(trial.patience(), sent).await {
        Ok(Err(_)) => Ok(()),
        _ => Err(Halt::Inconclusive("the reply was not lost".into())),
    }
}

async fn late_retry(trial: &Trial) -> Outcome {
    let (document, request) = won(trial).await?;
    let tag = document.tag(trial).await?;
    let newer = document.write(trial, "92683", against(&tag, None)).await?;
    expect(newer.success(), "a write against the version that stands succeeds", newer.brief())?;
    trial.send_request(&request).await?;
    document.expect_amount(trial, "92683").await
}

const WRITERS: usize = 50;
const ROUNDS: usize = 3;

async fn fifty_writers(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    document.create(trial, "73019").await?;
    let (mut used, mut all) = (BTreeSet::new(), 0);
    for round in 0..ROUNDS {
        let tag = document.tag(trial).await?;
        let amounts: Vec<String> =
            (0..WRITERS).map(|writer| (100_000 + round * WRITERS + writer).to_string()).collect();
        let keys: Vec<String> = amounts.iter().map(|_| trial.fresh_key()).collect();
        let writes = amounts
            .iter()
            .zip(&keys)
            .map(|(amount, key)| document.put(trial, amount, against(&tag, Some(key))))
            .collect::<Result<Vec<_>, _>>()?;
        let replies = join_all(writes.iter().map(|write| trial.try_request(write))).await;
        let told = replies
            .iter()
            .zip(&amounts)
            .filter(|(reply, _)| reply.as_ref().is_ok_and(crate::wire::Reply::success));
        let won: Vec<&String> = told.map(|(_, amount)| amount).collect();
        let expected = "at most one of the writers against one version succeeds";
        expect(won.len() <= 1, expected, format!("{} of {WRITERS} succeeded", won.len()))?;
        if let Some(amount) = won.first() {
            all += 1;
            document.expect_amount(trial, amount).await?;
            expect(used.insert(tag.clone()), "each version has its own ETag", tag)?;
        }
    }
    if all == 0 {
        return Err(Halt::Inconclusive("none of the writers succeeded".into()));
    }
    trial.note(format!("{all} of {} writes succeeded", WRITERS * ROUNDS));
    Ok(())
}

async fn star_on_absent(trial: &Trial) -> Outcome {
    let document = Document::new(trial);
    let reply = document.write(trial, "73019", against("*", None)).await?;
    expect(reply.status == 412, "412", reply.brief())?;
    let absent = document.read(trial).await?;
    expect(matches!(absent.status, 404 | 410), "none is made", absent.brief())
}
