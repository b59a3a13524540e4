//! Fingerprints of JSON documents, held against a model of what they mean.

use std::sync::LazyLock;

use http::HeaderMap;
use semel_core::fingerprint::{FingerprintRules, JsonBodies, Pointer, RequestParts, fingerprint};
use semel_core::{Fingerprint, Secret};

use super::feed::Feed;
use super::model::{Model, Unread, read, spell};

static SECRET: LazyLock<Secret> = LazyLock::new(|| Secret::new(&[7; 32]));
static NO_HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

/// The fingerprint of a POST of `body`.
pub(super) fn of(rules: &FingerprintRules, content_type: &[u8], body: &[u8]) -> Fingerprint {
    let request = RequestParts {
        method: "POST",
        host: "api.example",
        path: "/v1/charges",
        query: None,
        content_type: Some(content_type),
        content_encoding: None,
        headers: &NO_HEADERS,
        body,
    };
    fingerprint(&SECRET, rules, &request)
}

fn rules(json: JsonBodies) -> FingerprintRules {
    FingerprintRules { json, ..FingerprintRules::default() }
}

/// Choices, a zero byte, a document, and perhaps another zero byte and another document.
pub(super) fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut choices = Feed::new(parts.next().unwrap_or_default());
    let one = parts.next().unwrap_or_default();
    let value = read(one);
    match parts.next() {
        Some(other) => compared(one, other),
        None => cut(one, &mut choices),
    }
    if let Ok(value) = value {
        respelled(one, &value, &mut choices);
    }
}

/// Two documents are the same when their values are; where one has none, when their bytes are.
fn compared(one: &[u8], other: &[u8]) {
    let equal = match (read(one), read(other)) {
        (Err(Unread::BeyondModel), _) | (_, Err(Unread::BeyondModel)) => return,
        (Ok(a), Ok(b)) => a == b,
        (Err(_), Err(_)) => one == other,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    };
    let same = |json| {
        let rules = rules(json);
        of(&rules, b"application/json", one).matches(&of(&rules, b"application/json", other))
    };
    let shown = || format!("{} | {}", String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    assert_eq!(same(JsonBodies::ByValue), equal, "by value: {}", shown());
    assert_eq!(same(JsonBodies::Bytes), one == other, "by bytes: {}", shown());
    if same(JsonBodies::ExactSpelling) {
        assert!(equal, "spelled alike and not equal: {}", shown());
    }
}

/// A document and what is left of it when it is cut.
fn cut(document: &[u8], choices: &mut Feed<'_>) {
    let at = usize::from(choices.u16()) % (document.len() + 1);
    compared(document, &document[..at]);
}

/// Another spelling of the value has the same fingerprint; a value that differs in a member has another.
fn respelled(document: &[u8], value: &Model, choices: &mut Feed<'_>) {
    let by_value = rules(JsonBodies::ByValue);
    let mut other = String::new();
    spell(value, choices, &mut other);
    let first = of(&by_value, b"application/problem+json; charset=utf-8", document);
    let second = of(&by_value, b"Application/Problem+JSON", other.as_bytes());
    assert!(first.matches(&second), "{} | {other}", String::from_utf8_lossy(document));
    let Model::Object(members) = value else { return };
    let Some((name, _)) = members.iter().nth(choices.below(members.len().clamp(1, 256))) else {
        return;
    };
    let mut left = members.clone();
    left.remove(name);
    let mut without = String::new();
    spell(&Model::Object(left), choices, &mut without);
    compared(document, without.as_bytes());
    left_out(document, name, &without);
}

/// A member that is left out does not count, whether it is there or not.
fn left_out(document: &[u8], name: &str, without: &str) {
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let pointer: Pointer = pointer.parse().expect("an escaped name behind a slash is a pointer");
    let rules = FingerprintRules { exclude: vec![pointer], ..FingerprintRules::default() };
    let whole = of(&rules, b"application/json", document);
    let rest = of(&rules, b"application/json", without.as_bytes());
    assert!(
        whole.matches(&rest),
        "without {name:?}: {} | {without}",
        String::from_utf8_lossy(document)
    );
}
