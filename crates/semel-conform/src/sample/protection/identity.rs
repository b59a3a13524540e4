//! Whose key it is, and what it was used for.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};

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
pub(super) fn id(parts: &Parts, account: &str, key: &[u8], body: &[u8], flaw: Option<Flaw>) -> Id {
    let scope: &[u8] = match flaw {
        Some(Flaw::KeyWithoutTenant | Flaw::OthersKeyBlocks | Flaw::LeaksOnMismatch) => b"",
        Some(Flaw::ScopeByCredential) => header_bytes(parts, header::AUTHORIZATION),
        _ => account.as_bytes(),
    };
    let body: &[u8] = if flaw == Some(Flaw::MismatchRuns) { body } else { b"" };
    framed(&[scope, key, body])
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
    let mut body = &body[..];
    let mut tenant = "";
    match flaw {
        Some(Flaw::KeyWithoutHost) => host = b"",
        Some(Flaw::KeyWithoutMethod) => method = "",
        Some(Flaw::KeyWithoutRoute) => path = "",
        Some(Flaw::FingerprintWithoutQuery) => query = "",
        Some(Flaw::NoFingerprint) => body = b"",
        Some(Flaw::FingerprintFirstKb) => body = body.get(..FIRST_KB).unwrap_or(body),
        Some(Flaw::OthersKeyBlocks | Flaw::LeaksOnMismatch) => tenant = account,
        _ => {}
    }
    let words = [method, path, query, tenant].map(str::as_bytes);
    framed(&[words[0], host, words[1], words[2], words[3], media.trim_ascii(), body])
}

fn header_bytes(parts: &Parts, name: header::HeaderName) -> &[u8] {
    parts.headers.get(name).map(|value| value.as_bytes()).unwrap_or_default()
}

/// A digest of parts, each with its length, so that none runs into the next.
fn framed(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("semel conform sample 2026 identity");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}
