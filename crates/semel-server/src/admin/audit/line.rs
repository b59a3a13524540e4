//! A line of the audit log: what was done, the hash of the line before, and a keyed hash over both.
//!
//! `{"seq":7,"at":"…","who":"alice","peer":"10.0.0.7","record":"…","act":"void","detail":null,"prev":"…","mac":"…"}`
//!
//! The keyed hash is over the bytes of the line up to `,"mac":`, so nothing has to be written again in the
//! same way to check it.

use semel::core::Secret;
use serde_json::{Value, json};

/// The hash that stands before the first line.
pub(super) const START: [u8; 32] = [0; 32];

/// How each line begins.
pub(super) const BEGINNING: &[u8] = b"{\"seq\":";

const MAC: &str = ",\"mac\":\"";
const END: &str = "\"}";

/// The end of a log: what the next line is written behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the last line; none at 0.
    pub(crate) seq: u64,
    /// Its keyed hash.
    pub(crate) mac: [u8; 32],
}

impl Head {
    /// Of a log without lines.
    pub(crate) const EMPTY: Self = Self { seq: 0, mac: START };
}

/// What is noted.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// When, as RFC 3339.
    pub(crate) at: &'a str,
    /// Who did it: the name of a token, or a part of the server.
    pub(crate) who: &'a str,
    /// Where they came from; empty for the server itself.
    pub(crate) peer: &'a str,
    /// The record that it was done to; empty for none.
    pub(crate) record: &'a str,
    /// What.
    pub(crate) act: &'a str,
    /// How, or what came of it.
    pub(crate) detail: &'a Value,
}

/// The line behind `head`, without its end of line, and the head that it makes.
pub(super) fn write(secret: &Secret, head: &Head, entry: &Entry<'_>) -> (String, Head) {
    let seq = head.seq + 1;
    let Entry { at, who, peer, record, act, detail } = entry;
    let told = [
        ("seq", json!(seq)),
        ("at", json!(at)),
        ("who", json!(who)),
        ("peer", json!(peer)),
        ("record", json!(record)),
        ("act", json!(act)),
        ("detail", (*detail).clone()),
        ("prev", json!(hex(&head.mac))),
    ];
    let members: Vec<String> =
        told.iter().map(|(name, told)| format!("\"{name}\":{told}")).collect();
    let open = format!("{{{}", members.join(","));
    let mac = secret.audit_link(&head.mac, open.as_bytes());
    (format!("{open}{MAC}{}{END}", hex(&mac)), Head { seq, mac })
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineFault {
    /// It is no line of such a log.
    #[error("it is no line of an audit log, or its end is missing")]
    Unreadable,
    /// Its keyed hash fits neither its text nor the secret.
    #[error("it was changed, or written under another secret")]
    Changed,
    /// It was written behind another line than the one before it.
    #[error(
        "it was written as line {found}, behind another than the one before it: lines were taken out, put in or moved"
    )]
    Moved {
        /// Its number.
        found: u64,
    },
}

/// Checks a line that should stand behind `head`, and returns the head that it makes.
///
/// # Errors
/// [`LineFault`], with the head to go on from where the line is a whole one all the same.
pub(super) fn check(
    secret: &Secret,
    head: &Head,
    line: &[u8],
) -> Result<Head, (LineFault, Option<Head>)> {
    let own = read(secret, line).map_err(|fault| (fault, None))?;
    if own.prev == head.mac && own.head.seq == head.seq + 1 {
        return Ok(own.head);
    }
    Err((LineFault::Moved { found: own.head.seq }, Some(own.head)))
}

/// The head that a line makes, whatever stands before it.
pub(super) fn head_of(secret: &Secret, line: &[u8]) -> Result<Head, LineFault> {
    read(secret, line).map(|own| own.head)
}

struct Own {
    head: Head,
    prev: [u8; 32],
}

fn read(secret: &Secret, line: &[u8]) -> Result<Own, LineFault> {
    let text = std::str::from_utf8(line).map_err(|_| LineFault::Unreadable)?;
    let (open, mac) = text
        .strip_suffix(END)
        .and_then(|text| text.rsplit_once(MAC))
        .ok_or(LineFault::Unreadable)?;
    let told: Value =
        serde_json::from_str(&format!("{open}}}")).map_err(|_| LineFault::Unreadable)?;
    let prev = told["prev"].as_str().and_then(unhex).ok_or(LineFault::Unreadable)?;
    let seq = told["seq"].as_u64().ok_or(LineFault::Unreadable)?;
    let mac = unhex(mac).ok_or(LineFault::Unreadable)?;
    if secret.audit_link(&prev, open.as_bytes()) != mac {
        return Err(LineFault::Changed);
    }
    Ok(Own { head: Head { seq, mac }, prev })
}

/// As 64 hexadecimal digits.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

fn unhex(digits: &str) -> Option<[u8; 32]> {
    Some(*blake3::Hash::from_hex(digits).ok()?.as_bytes())
}
