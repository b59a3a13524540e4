//! Every code has its page under `docs/errors/`, every page its code, and no page says anything that
//! the program does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use semel::core::fingerprint::{Difference, Part};
use semel::core::{Effect, Span, Timestamp};
use semel::http::Problem;
use semel::http::catalogue::{Code, ENTRIES, Entry};
use serde_json::Value;

const SECTIONS: [&str; 5] = [
    "## What happened",
    "## What is certain",
    "## What to do as a caller",
    "## What to do as the operator",
    "## Example",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn page(entry: &Entry) -> String {
    let path = folder().join(format!("{}.md", entry.code.id()));
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The answer that the page shows.
fn sample(code: Code) -> Problem {
    let since = Some(Timestamp::from_unix_ms(1_750_000_000_000));
    let soon = Span::from_secs(1);
    match code {
        Code::KeyMissing => Problem::request(code, "It is expected in the header `idempotency-key`."),
        Code::KeyMalformed => Problem::request(
            code,
            "The idempotency key is a list: send one key a request.",
        ),
        Code::KeyWeak => Problem::request(
            code,
            "The key looks like a counter, which can start anew: make a random UUID for each operation.",
        )
        .with_extra("weakness", "counter"),
        Code::KeyAhead => Problem::key_ahead(Span::from_secs(300)),
        Code::ScopeMissing => Problem::request(code, "There is no header `authorization`."),
        Code::ScopeUnstable => Problem::request(code, ""),
        Code::BodyTooLarge => Problem::body_too_large(64 << 20),
        Code::BodyIncomplete => Problem::body_incomplete(),
        Code::PathUnknown => Problem::path_unknown(),
        Code::MethodUnknown => Problem::method_unknown(&[Method::GET, Method::DELETE]),
        Code::RouteUnnamed => Problem::route_unnamed("Routes of this API read this key, or whose it is, in ways of their own, and no path is named."),
        Code::NotUnary => Problem::request(code, ""),
        Code::ScopeUnverified => Problem::request(code, "The token has expired."),
        Code::KeyReused => {
            let parts = [Part::Path, Part::Body].into_iter().collect();
            Problem::mismatch(Effect::Done, Difference::Parts(parts))
        }
        Code::InFlight => Problem::in_flight(soon),
        Code::InDoubt => Problem::in_doubt(false, since),
        Code::KeySpent => Problem::key_spent(Effect::Done, Some(201)),
        Code::ReplyNotKept => Problem::reply_not_kept(Effect::Done, Some(200)),
        Code::KeyTooOld => Problem::key_too_old(),
        Code::KeyVoid => Problem::key_void(since),
        Code::KeyUsed => Problem::key_used(Effect::Done, Some(201), since),
        Code::KeyUnknown => Problem::key_unknown(),
        Code::StoreUnavailable => Problem::store_unavailable(soon),
        Code::StoreFull => Problem::store_full(soon),
        Code::NotRecorded => Problem::not_recorded(Effect::Done, soon),
        Code::RecordingStopped => Problem::recording_stopped(Effect::Done, soon),
        Code::OutcomeLost => Problem::outcome_lost(Effect::Done),
        Code::RecordUnreadable => Problem::record_unreadable(),
        Code::UpstreamUnreachable => Problem::upstream_unreachable(false, soon),
        Code::Quota => Problem::quota(soon),
        Code::Overloaded => Problem::overloaded(soon),
        Code::Draining => Problem::draining(soon),
        Code::BodyNotSpooled => Problem::body_not_spooled(soon),
        other => panic!("{other:?} is new: give its page a sample"),
    }
}

#[test]
fn every_code_has_a_page_with_its_title_status_and_slug() {
    for entry in &ENTRIES {
        let text = page(entry);
        let id = entry.code.id();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(format!("# {id}: {}", entry.title).as_str()));
        let head = format!("HTTP status {} · type `{}`", entry.status, entry.slug);
        assert_eq!(lines.nth(1), Some(head.as_str()), "{id}");
        let sections: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(sections, SECTIONS, "{id}");
    }
}

#[test]
fn every_page_shows_the_answer_that_is_really_given() {
    for entry in &ENTRIES {
        let text = page(entry);
        let (_, from) = text.split_once("```json\n").expect("an example");
        let (shown, _) = from.split_once("```").expect("an end of the example");
        let shown: Value = serde_json::from_str(shown).unwrap();
        let given: Value = serde_json::from_slice(&sample(entry.code).to_json()).unwrap();
        assert_eq!(shown, given, "{}", entry.code.id());
    }
}

#[test]
fn every_page_has_a_code_and_the_index_names_each_once() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let rows: Vec<_> = index.lines().filter(|line| line.starts_with("| [SEM-")).collect();
    let expected: Vec<_> = ENTRIES
        .iter()
        .map(|e| {
            let id = e.code.id();
            format!("| [{id}]({id}.md) | {} | `{}` | {} |", e.status, e.slug, e.title)
        })
        .collect();
    assert_eq!(rows, expected);

    let pages: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut names: BTreeSet<_> =
        ENTRIES.iter().map(|entry| format!("{}.md", entry.code.id())).collect();
    names.insert("README.md".to_owned());
    assert_eq!(pages, names);
}
