//! Whose key it is, and what it was used for.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};

use serde_json::Value;

use super::disk::Id;
use crate::sample::Flaw;

/// Bytes that a fingerprint that stops early looks at.
const FIRST_KB: usize = 1024;

/// The account that a request's credential stands for: `Bearer ACCOUNT` or `Bearer ACCOUNT.SECRET`.
pub(super) fn account(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    Some(token.split('.').next().unwrap_or(token)).filter(|account| !account.is_empty())
}

/// The name of the record: account and key. All else is fingerprint.
pub(super) fn id(account: &str, key: &[u8], body: &[u8], flaw: Option<Flaw>) -> Id {
    let scope: &[u8] = match flaw {
        Some(Flaw::KeyWithoutTenant | Flaw::OthersKeyBlocks | Flaw::LeaksOnMismatch) => b"",
        _ => account.as_bytes(),
    };
    match flaw {
        Some(Flaw::MismatchRuns) => {
            let json = by_value(body);
            framed(&[scope, key, json.as_deref().unwrap_or(body)])
        }
        Some(Flaw::BodyIsKey) => framed(&[scope, body]),
        _ => framed(&[scope, key]),
    }
}

/// What must be the same in each request under a key.
pub(super) fn fingerprint(
    parts: &Parts,
    account: &str,
    body: &Bytes,
    flaw: Option<Flaw>,
) -> [u8; 32] {
    let media = header_bytes(parts, header::CONTENT_TYPE);
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default();
    let mut host = header_bytes(parts, header::HOST);
    let mut method = parts.method.as_str();
    let mut path = parts.uri.path();
    let mut query = parts.uri.query().unwrap_or_default();
    let json = media.trim_ascii().ends_with(b"json").then(|| by_value(body)).flatten();
    let mut compared = json.as_deref().unwrap_or(body);
    let mut tenant = "";
    match flaw {
        Some(Flaw::KeyWithoutHost) => host = b"",
        Some(Flaw::KeyWithoutMethod) => method = "",
        Some(Flaw::KeyWithoutRoute) => path = "",
        Some(Flaw::FingerprintWithoutQuery) => query = "",
        Some(Flaw::NoFingerprint | Flaw::KeyFoldedBlind) => compared = b"",
        Some(Flaw::FingerprintFirstKb) => compared = body.get(..FIRST_KB).unwrap_or(body),
        Some(Flaw::OthersKeyBlocks | Flaw::LeaksOnMismatch) => tenant = account,
        _ => {}
    }
    let words = [method, path, query, tenant].map(str::as_bytes);
    framed(&[words[0], host, words[1], words[2], words[3], media.trim_ascii(), compared])
}

fn header_bytes(parts: &Parts, name: header::HeaderName) -> &[u8] {
    parts.headers.get(name).map(|value| value.as_bytes()).unwrap_or_default()
}

/// JSON with its members in order, where reading it loses nothing; `None` where it would: a doubled
/// member, a number that no float holds, an unusual spelling.
fn by_value(body: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let (mut quoted, mut escaped, mut tight) = (false, false, 0);
    for byte in body {
        let skipped = !quoted && byte.is_ascii_whitespace();
        tight += usize::from(!skipped);
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && *byte == b'\\' && !escaped;
    }
    let written = sorted(&value).into_bytes();
    (written.len() == tight).then_some(written)
}

/// Written with the members of each object by name.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let by_name: BTreeMap<&String, &Value> = members.iter().collect();
            let parts = by_name
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), sorted(value)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// A digest of parts, each with its length, so that none runs into the next.
fn framed(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("semel conform sample 2026 identity");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_compares_by_value_where_reading_it_loses_nothing() {
        let same = by_value(br#"{"b":[1, {"d":2,"c":"x y"}],"a":1}"#);
        assert!(same.is_some());
        assert_eq!(same, by_value(br#" {"a":1,"b":[1,{"c":"x y","d":2}]}"#));
        for lossy in
            ["{\"a\":1,\"a\":2}", "[100000000000000000001]", "[1.0e0]", "no", "[\"\\u0061\"]"]
        {
            assert_eq!(by_value(lossy.as_bytes()), None, "{lossy}");
        }
        assert!(by_value(br#"["a \" b"]"#).is_some());
    }
}
