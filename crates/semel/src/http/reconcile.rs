//! A route's look-up: what is asked of the service about an operation in doubt, and how its answer is
//! read.
//!
//! An answer is *found*, *not found*, or neither. Only what is clearly one or the other counts: a
//! "not found" that meant something else would release a key whose operation happened. So a status
//! proves absence only where the route lists it, and an empty list only where the list is there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use semel_core::Key;
use semel_core::fingerprint::Pointer;
use serde_json::value::RawValue;

use super::problem::RESERVED;
use super::route::{Forward, KeySource, Route};

/// Stands in a look-up's target for the key that the service was shown.
const DERIVED: &str = "{derived_key}";
/// Stands in a look-up's target for the caller's own key, while a caller is showing it.
const CALLERS: &str = "{key}";

/// A route's look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconcile {
    /// GET.
    pub method: Method,
    /// Path and query, with `{derived_key}` or `{key}` where the key stands:
    /// `/charges?idempotency_key={derived_key}`.
    pub target: String,
    /// Where in a successful answer (JSON) the operation stands: `/data/0`, where a list is answered. It
    /// is not found where the list is too short for it, or where `null` stands in its place. `None`: the
    /// whole answer is the operation.
    pub found: Option<Pointer>,
    /// Statuses that say that there is no such operation: 404, where it is asked for by its path. Empty
    /// by default.
    pub not_found: Vec<u16>,
    /// The look-up sees whatever has happened by the time that it is asked: no replica that lags, no
    /// index that is filled later. Without it, "not found" proves nothing and releases nothing.
    pub consistent: bool,
    /// A file with the headers to ask with, one a line (`Authorization: Bearer …`). Read at each
    /// look-up. Without it, a caller's retry asks with the caller's own headers, and Semel by itself
    /// with none.
    pub header_file: Option<PathBuf>,
}

/// How an answer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// It happened; this is what the service says of it.
    Found(Bytes),
    /// There is no such operation.
    NotFound,
    /// Neither is clear.
    Unclear(&'static str),
}

/// Why a look-up could never work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// It would change something, or its answer has no body.
    #[error(
        "the look-up is asked by {method}: use GET, which changes nothing and has an answer to read"
    )]
    Method {
        /// As configured.
        method: Method,
    },
    /// No path, or one of Semel's own.
    #[error(
        "the look-up's target `{target}` must be a path that begins with `/` outside {RESERVED}, with no braces but those of {DERIVED} or {CALLERS}"
    )]
    Target {
        /// As configured.
        target: String,
    },
    /// It would ask the same of every operation.
    #[error(
        "the look-up's target `{target}` names no key: put {DERIVED} (or {CALLERS}) where the service wants it"
    )]
    NoKey {
        /// As configured.
        target: String,
    },
    /// The service never saw the key that it would be asked about, so nothing would be found.
    #[error(
        "the look-up asks by {asked}, which the service never sees on this route ({why}): it would find nothing of what happened"
    )]
    UnseenKey {
        /// As configured.
        asked: &'static str,
        /// Which setting says so.
        why: &'static str,
    },
    /// A success, or no final status.
    #[error("{status} is in the look-up's `not_found`, and is no status from 400 to 499")]
    NotFound {
        /// As configured.
        status: u16,
    },
    /// It promises a proof that it cannot give.
    #[error(
        "the look-up is declared consistent, and nothing that it answers says \"not found\": name `found`, where a list is answered, or the statuses of `not_found`"
    )]
    NoWayToSayNo,
}

impl Reconcile {
    /// A look-up that finds by its whole answer, and whose "not found" proves nothing.
    #[must_use]
    pub fn get(target: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            target: target.into(),
            found: None,
            not_found: Vec::new(),
            consistent: false,
            header_file: None,
        }
    }

    /// Whether it can only be asked while a caller shows its key.
    #[must_use]
    pub fn needs_the_caller(&self) -> bool {
        self.target.contains(CALLERS)
    }

    /// The target for one operation. `None` where the caller's key is wanted and nobody shows it.
    #[must_use]
    pub fn target_for(&self, derived: &str, callers: Option<&Key>) -> Option<PathAndQuery> {
        let mut target = self.target.replace(DERIVED, derived);
        if self.needs_the_caller() {
            target = target.replace(CALLERS, &escaped(callers?.as_bytes()));
        }
        target.parse().ok()
    }

    /// How an answer reads.
    #[must_use]
    pub fn read(&self, status: StatusCode, body: &Bytes) -> Read {
        if self.not_found.contains(&status.as_u16()) {
            return Read::NotFound;
        }
        // 204 may mean either, and 206 is a part of something.
        if !status.is_success() || matches!(status.as_u16(), 204..=206) {
            return Read::Unclear("its status says neither found nor not found");
        }
        match &self.found {
            None => Read::Found(body.clone()),
            Some(pointer) => element(body, pointer),
        }
    }

    /// Checks what could never work on `route`.
    pub(super) fn check(&self, route: &Route) -> Result<(), ReconcileError> {
        if self.method != Method::GET {
            return Err(ReconcileError::Method { method: self.method.clone() });
        }
        let target = self.target.clone();
        let bare = target.replace(DERIVED, "k").replace(CALLERS, "k");
        let path = bare.parse::<PathAndQuery>().ok();
        let fit = |t: &PathAndQuery| t.path().starts_with('/') && !t.path().starts_with(RESERVED);
        if bare.contains(['{', '}', '#']) || !path.as_ref().is_some_and(fit) {
            return Err(ReconcileError::Target { target });
        }
        if bare == target {
            return Err(ReconcileError::NoKey { target });
        }
        let derived = target.contains(DERIVED);
        if derived && route.forward == Forward::Caller {
            let why = "`forward` is the caller's";
            return Err(ReconcileError::UnseenKey { asked: DERIVED, why });
        }
        let in_header = matches!(route.key, KeySource::Header(_));
        if self.needs_the_caller() && in_header && route.forward == Forward::Derived {
            let why = "`forward` is the derived key";
            return Err(ReconcileError::UnseenKey { asked: CALLERS, why });
        }
        if let Some(&status) = self.not_found.iter().find(|s| !(400..500).contains(*s)) {
            return Err(ReconcileError::NotFound { status });
        }
        if self.consistent && self.found.is_none() && self.not_found.is_empty() {
            return Err(ReconcileError::NoWayToSayNo);
        }
        Ok(())
    }
}

/// What the pointer names in a JSON document, as it is written there.
fn element(body: &Bytes, pointer: &Pointer) -> Read {
    let Ok(mut here) = serde_json::from_slice::<&RawValue>(body) else {
        return Read::Unclear("it is no JSON");
    };
    for token in pointer.tokens() {
        if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(here.get()) {
            let Some(at) = index(token) else {
                return Read::Unclear("a list stands where `found` names a member");
            };
            match list.get(at) {
                Some(next) => here = next,
                None => return Read::NotFound,
            }
        } else if let Ok(mut members) =
            serde_json::from_str::<BTreeMap<String, &RawValue>>(here.get())
        {
            match members.remove(token) {
                Some(next) => here = next,
                // Another document than the one that the route describes.
                None => return Read::Unclear("it has no such member as `found` names"),
            }
        } else {
            return Read::Unclear("there is neither a list nor an object on the way of `found`");
        }
    }
    match here.get() {
        "null" => Read::NotFound,
        found => Read::Found(body.slice_ref(found.as_bytes())),
    }
}

/// RFC 6901 §4: no leading zeros.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with('0');
    token.parse().ok().filter(|_| plain && token.bytes().all(|b| b.is_ascii_digit()))
}

/// Percent-encoded but for RFC 3986's unreserved characters, so that it is one value wherever it stands.
fn escaped(key: &[u8]) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The headers in a file: one a line, `Name: value`; empty lines and those that begin with `#` are left
/// out.
///
/// # Errors
/// What is wrong with which line; never what stands there, for that may be secret.
pub fn headers_of(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}", at + 1);
        let (name, value) =
            line.split_once(':').ok_or_else(|| wrong("it is no header; write `Name: value`"))?;
        let name =
            HeaderName::try_from(name.trim()).map_err(|_| wrong("no header has its name"))?;
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&name) {
            return Err(wrong("it speaks of a message, not of its sender"));
        }
        let mut value =
            HeaderValue::try_from(value.trim()).map_err(|_| wrong("its value is no header's"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
