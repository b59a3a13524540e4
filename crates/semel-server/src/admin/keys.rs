//! What operators do with keys: list, show, find by key and principal, resolve, void, erase.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;

use http::{HeaderValue, StatusCode};
use semel::core::machine::{Answer, Resolution};
use semel::core::store::{Filter, Listing, Page};
use semel::core::{
    Doubt, Effect, Key, Policy, RecordId, Settled, Span, State, StoreError, StoredReply, Timestamp,
};
use semel::engine::{Applied, Engine};
use semel::http::inquiry::{About, Asked};
use semel::http::{Code, Problem, Ways, rfc3339};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Who;
use super::audit::{Audit, Entry};
use super::problem::{Told, refused, store_failed};
use super::render;

/// Records of one page at most.
const PAGE_MAX: usize = 1000;
/// Later is no time that anybody means: the end of the year 9999, as Unix time.
const BEFORE_MAX_MS: u64 = 253_402_300_799_999;

/// The query of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListQuery {
    filter: Filter,
    after: Option<RecordId>,
    limit: usize,
}

impl ListQuery {
    /// Reads `state`, `before_ms` (Unix time), `after` and `limit`.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut this = Self { limit: 100, ..Self::default() };
        let mut seen = BTreeSet::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = || format!("`{name}` cannot be `{value}`");
            match &*name {
                "state" => this.filter.state = Some(state(&value).ok_or_else(wrong)?),
                "before_ms" => {
                    let ms = number(&value, 0..=BEFORE_MAX_MS).ok_or_else(wrong)?;
                    this.filter.before = Some(Timestamp::from_unix_ms(ms));
                }
                "after" => this.after = Some(RecordId::parse(&value).ok_or_else(wrong)?),
                "limit" => {
                    let limit = number(&value, 1..=PAGE_MAX as u64).ok_or_else(wrong)?;
                    this.limit = usize::try_from(limit).unwrap_or(PAGE_MAX);
                }
                _ => return Err(format!("`{name}` is not known here")),
            }
            if !seen.insert(name.clone().into_owned()) {
                return Err(format!("`{name}` is said twice"));
            }
        }
        Ok(this)
    }
}

/// Of decimal digits alone.
fn number(text: &str, within: RangeInclusive<u64>) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    within.contains(&number).then_some(number)
}

fn state(name: &str) -> Option<State> {
    [
        State::InFlight,
        State::InDoubt(Doubt::Declared),
        State::Completed,
        State::Released,
        State::Spent,
        State::Voided,
    ]
    .into_iter()
    .find(|state| state.name() == name)
}

/// A page of records in the order of their ids.
pub(super) async fn list(engine: &Engine, query: ListQuery) -> Told {
    let page = Page { after: query.after, limit: query.limit };
    match listed(engine, query.filter, page).await {
        Ok(listing) => {
            let records: Vec<Value> = listing
                .records
                .iter()
                .map(|(id, record)| render::record(id, record, engine.secret()))
                .collect();
            let next = listing.next.map(|id| id.to_string());
            let unreadable: Vec<Value> = listing
                .unreadable
                .iter()
                .map(|one| json!({ "id": one.id.map(|id| id.to_string()), "why": one.why }))
                .collect();
            let page = json!({ "keys": records, "next": next, "unreadable": unreadable });
            (StatusCode::OK, page)
        }
        Err(error) => store_failed(&error),
    }
}

/// On a thread of its own: a store reads from its disk what it lists, and callers must not wait for that.
async fn listed(engine: &Engine, filter: Filter, page: Page) -> Result<Listing, StoreError> {
    let (engine, runtime) = (engine.clone(), tokio::runtime::Handle::current());
    let walk = move || runtime.block_on(engine.list(filter, page));
    let walked = tokio::task::spawn_blocking(walk).await;
    walked.unwrap_or_else(|error| Err(StoreError::Unavailable { reason: error.to_string() }))
}

/// One record.
pub(super) async fn show(engine: &Engine, id: RecordId) -> Told {
    match engine.show(id).await {
        Ok(Some(record)) => (StatusCode::OK, render::record(&id, &record, engine.secret())),
        Ok(None) => refused(StatusCode::NOT_FOUND, "nothing is known under this id"),
        Err(error) => store_failed(&error),
    }
}

/// A caller's key, the value of the header that says whose it is, and the route where routes differ in how
/// they read these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Find {
    key: String,
    principal: Option<String>,
    path: Option<String>,
    method: Option<String>,
}

/// The id of a caller's key, computed here as the layer computes it.
pub(super) fn find(engine: &Engine, ways: &Ways, service: &str, asked: Find) -> Told {
    match found(engine, ways, service, asked) {
        Ok((id, ..)) => (StatusCode::OK, json!({ "id": id.to_string() })),
        Err(told) => told,
    }
}

/// The record that a caller's key names, the key, and what judges its time.
fn found(
    engine: &Engine,
    ways: &Ways,
    service: &str,
    asked: Find,
) -> Result<(RecordId, Key, Policy), Told> {
    let unreadable = |what: &str| refused(StatusCode::BAD_REQUEST, format!("{what} is unreadable"));
    let key = HeaderValue::from_str(&asked.key).map_err(|_| unreadable("the key"))?;
    let principal = asked.principal.as_deref().map(HeaderValue::from_str).transpose();
    let principal = principal.map_err(|_| unreadable("the principal"))?;
    let about = About { path: asked.path, method: asked.method };
    let by = Asked { service, secret: engine.secret(), now: engine.now() };
    let (id, key) =
        ways.find(&about, &key, principal.as_ref(), &by).map_err(|problem| unfound(&problem))?;
    let policy = ways.judged_by(&about).map_err(|problem| unfound(&problem))?;
    Ok((id, key, policy))
}

fn unfound(problem: &Problem) -> Told {
    let cause = problem.code.entry().cause;
    let told = if problem.code == Code::RouteUnnamed {
        let flags = "Name it by `path` and `method`: --path and --method of `semel keys`.";
        format!("{cause} {} {flags}", problem.detail)
    } else {
        format!("{cause} {}", problem.detail)
    };
    refused(StatusCode::BAD_REQUEST, told.trim_end())
}

/// What a void of `id` is judged by. Of a key that is not known, only the key itself says whether it may
/// have run and been forgotten, so it must be named.
///
/// # Errors
/// What is told instead.
pub(super) async fn voiding(
    engine: &Engine,
    ways: &Ways,
    service: &str,
    id: RecordId,
    named: Option<Find>,
) -> Result<Act, Told> {
    let held = ways.held();
    if let Some(asked) = named {
        let (own, key, policy) = found(engine, ways, service, asked)?;
        if own != id {
            let why = "the id is not that of the key";
            return Err(refused(StatusCode::BAD_REQUEST, why));
        }
        return Ok(Act::Void { key: Some(key), policy, held });
    }
    match engine.show(id).await {
        Ok(Some(_)) => Ok(Act::Void { key: None, policy: ways.first().policy.clone(), held }),
        Ok(None) => {
            let why = "nothing is known under this id; to void a key that has not come yet, name the key itself: --key of `semel keys void`";
            Err(refused(StatusCode::NOT_FOUND, why))
        }
        Err(error) => Err(store_failed(&error)),
    }
}

/// What somebody knows of a key in doubt.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Debug)]
#[serde(tag = "outcome", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Word {
    /// It happened.
    Done {
        /// The HTTP status that was given, if that is known.
        status: Option<u16>,
    },
    /// It did not, and nothing of it is under way.
    Released {},
}

impl Word {
    /// # Errors
    /// What is told of a status that no answer has.
    pub(super) fn checked(self) -> Result<Self, Told> {
        match self {
            Self::Done { status: Some(status) } if !(200..600).contains(&status) => {
                let why = format!("{status} is the status of no answer: name one from 200 to 599");
                Err(refused(StatusCode::BAD_REQUEST, why))
            }
            Self::Done { .. } | Self::Released {} => Ok(self),
        }
    }

    fn resolution(self) -> Resolution {
        match self {
            Self::Done { status } => Resolution::Done(Settled {
                digest: None,
                status,
                effect: Effect::Done,
                reply: StoredReply::Unknown,
            }),
            Self::Released {} => Resolution::Released,
        }
    }

    fn told(self) -> Value {
        match self {
            Self::Done { status } => json!({ "outcome": "done", "status": status }),
            Self::Released {} => json!({ "outcome": "released" }),
        }
    }
}

/// What an operator does with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Says what happened.
    Resolve(Word),
    /// Makes sure that it never will.
    Void {
        /// The key itself, whose own time may say that nobody here can know.
        key: Option<Key>,
        /// Judges that time.
        policy: Policy,
        /// How long it holds.
        held: Span,
    },
    /// Drops the reply, keeps the knowledge that the key was used.
    Erase,
}

/// Does it. Noted before (an act without a note is not done) and after (what came of it).
pub(super) async fn act(engine: &Engine, audit: &Audit, who: &Who, id: RecordId, act: Act) -> Told {
    let (name, asked) = match act {
        Act::Resolve(word) => ("resolve", word.told()),
        Act::Void { .. } => ("void", Value::Null),
        Act::Erase => ("erase", Value::Null),
    };
    if let Err(error) = noted(engine, audit, who, id, name.to_owned(), asked).await {
        let why = format!("nothing was done, for it could not be noted: {error}");
        return refused(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    let applied = match act {
        Act::Resolve(word) => engine.resolve(id, word.resolution()).await,
        Act::Void { key, policy, held } => engine.void_for(id, key.as_ref(), &policy, held).await,
        Act::Erase => engine.erase(id).await,
    };
    let told = match applied {
        Ok(applied) => outcome(engine, &id, &applied),
        Err(error) => store_failed(&error),
    };
    let came = json!({ "http": told.0.as_u16(), "why": told.1.get("detail") });
    if let Err(error) = noted(engine, audit, who, id, format!("{name}-ended"), came).await {
        tracing::error!(%error, "the end of an act could not be noted");
    }
    told
}

/// Waits for the disk on a thread of its own.
pub(super) async fn noted(
    engine: &Engine,
    audit: &Audit,
    who: &Who,
    id: RecordId,
    act: String,
    detail: Value,
) -> io::Result<()> {
    let (audit, who, at) = (audit.clone(), who.clone(), rfc3339(engine.now()));
    let note = move || {
        let (peer, record) = (who.peer.to_string(), id.to_string());
        let entry = Entry {
            at: &at,
            who: &who.name,
            peer: &peer,
            record: &record,
            act: &act,
            detail: &detail,
        };
        audit.note(&entry)
    };
    tokio::task::spawn_blocking(note).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn outcome(engine: &Engine, id: &RecordId, applied: &Applied) -> Told {
    let state = applied.record.as_ref().map_or("absent", |record| record.state.name());
    let done = |what: &str| {
        let record = applied.record.as_ref().map(|r| render::record(id, r, engine.secret()));
        (StatusCode::OK, json!({ "done": what, "record": record }))
    };
    match applied.answer {
        Answer::Resolved => done("resolved"),
        Answer::Voided => done("voided"),
        Answer::Erased => done("erased"),
        Answer::Already => done("nothing: it was so already"),
        Answer::NotFound => refused(StatusCode::NOT_FOUND, "nothing is known under this id"),
        Answer::TooSoon(from) => refused(
            StatusCode::CONFLICT,
            format!(
                "not before {}: until then the request may still be under way, so that nothing was found proves nothing",
                rfc3339(from)
            ),
        ),
        Answer::InDoubt => refused(
            StatusCode::CONFLICT,
            "it is in doubt: voiding cannot undo what may have run; find out and resolve it",
        ),
        Answer::TooOld | Answer::TooNew => {
            refused(StatusCode::CONFLICT, "the key's own time lies outside what is remembered")
        }
        Answer::Refused
        | Answer::Execute
        | Answer::InFlight
        | Answer::Replay
        | Answer::NotKept
        | Answer::Mismatch
        | Answer::Spent
        | Answer::Void
        | Answer::Renewed
        | Answer::Settled { .. }
        | Answer::Lost { .. }
        | Answer::Swept
        | Answer::Nothing => {
            refused(StatusCode::CONFLICT, format!("that cannot be done to a key that is {state}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_reads_its_query_strictly() {
        let query = ListQuery::parse("state=in-doubt&limit=7&before_ms=1000").unwrap();
        assert_eq!(query.limit, 7);
        assert_eq!(query.filter.state.unwrap().name(), "in-doubt");
        assert_eq!(query.filter.before, Some(Timestamp::from_unix_ms(1000)));
        assert_eq!(ListQuery::parse("limit=1000&state=in%2Ddoubt").unwrap().limit, PAGE_MAX);
        for wrong in
            ["limit=0", "limit=1001", "limit=+7", "limit=", "limit=1&limit=2", "before_ms=-1"]
        {
            assert!(ListQuery::parse(wrong).is_err(), "{wrong}");
        }
        assert!(ListQuery::parse("state=lost").is_err());
        assert!(ListQuery::parse("stat=spent").is_err());
    }

    #[test]
    fn a_resolution_is_one_of_two_words() {
        let read = |text: &str| serde_json::from_str::<Word>(text).ok();
        assert_eq!(read(r#"{"outcome":"done"}"#), Some(Word::Done { status: None }));
        assert_eq!(
            read(r#"{"outcome":"done","status":201}"#),
            Some(Word::Done { status: Some(201) })
        );
        assert_eq!(read(r#"{"outcome":"released"}"#), Some(Word::Released {}));
        assert_eq!(read(r#"{"outcome":"perhaps"}"#), None);
        // Of a variant without members, members that are not known were taken in silence.
        assert_eq!(read(r#"{"outcome":"released","status":500}"#), None);
    }
}
