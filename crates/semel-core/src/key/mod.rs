//! The idempotency key: parsed strictly, compared byte for byte, never printed.
//!
//! A key reaches Semel as a header (`Idempotency-Key: "8e03…"`, or bare) or as a member of a JSON
//! body; both give a [`Key`]. Together with a [`Scope`] it names an operation: the path goes on in
//! [`crate::Secret::record_id`]. A key must never be used without a scope, and never be stored or
//! logged: whoever shows it can have the reply.
//!
//! ```
//! use semel_core::Key;
//!
//! let quoted = Key::from_header(b"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")?;
//! let bare = Key::from_header(b"8e03978e-40d5-43dd-bc93-6894a57f9324")?;
//! assert!(quoted == bare);
//! # Ok::<(), semel_core::key::KeyError>(())
//! ```

mod field;
mod scope;
mod uuid;
mod weakness;

use std::fmt;

use crate::time::{Span, Timestamp};

pub use scope::{Principal, Scope, ScopeError};
pub use weakness::{BITS_MIN, Weakness};

/// The most bytes that a key may have, after unquoting.
pub const KEY_BYTES_MAX: usize = 255;

/// 2020-01-01T00:00:00Z: before it nobody made a UUIDv7, whose first draft is of that year.
pub const TIMED_FROM: Timestamp = Timestamp::from_unix_ms(1_577_836_800_000);

/// A year: no clock that makes keys is further ahead.
pub const TIMED_AHEAD: Span = Span::from_secs(366 * 86_400);

/// An idempotency key: 1 to 255 bytes of printable ASCII, compared byte for byte.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

/// Why a value is not an idempotency key. All of them are answered with 400 `key-malformed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Nothing between the quotes, or nothing at all.
    #[error("the idempotency key is empty: send 1 to {KEY_BYTES_MAX} characters, best a UUID")]
    Empty,
    /// More than [`KEY_BYTES_MAX`] bytes.
    #[error("the idempotency key has {bytes} bytes: send at most {KEY_BYTES_MAX}, best a UUID")]
    TooLong {
        /// Its length after unquoting.
        bytes: usize,
    },
    /// A byte that is not printable ASCII, or one that only a quoted key may hold.
    #[error(
        "the idempotency key has a forbidden character at byte {at}: use printable ASCII, and put \
         a key with spaces, commas or quotes in double quotes"
    )]
    Character {
        /// Where in the value, counted from 0.
        at: usize,
    },
    /// Several keys in one value.
    #[error("the idempotency key is a list: send one key a request")]
    List,
    /// Several header lines.
    #[error("there is more than one idempotency key line: send exactly one")]
    SeveralLines,
    /// The closing quote is missing.
    #[error(
        "the idempotency key has no closing quote: end it with `\"`, or send it without quotes"
    )]
    Unclosed,
    /// A backslash before something other than `"` or `\` (RFC 9651 §3.3.3).
    #[error(
        "the idempotency key has an unknown escape at byte {at}: only `\\\"` and `\\\\` are escapes"
    )]
    Escape {
        /// Where in the value, counted from 0.
        at: usize,
    },
    /// Something after the closing quote that is no parameter (RFC 9651 §3.1.2).
    #[error("the idempotency key is followed by something else at byte {at}: end at the quote")]
    Trailing {
        /// Where in the value, counted from 0.
        at: usize,
    },
    /// The route demands a UUID.
    #[error("the idempotency key is not a UUID: send one as 8-4-4-4-12 hexadecimal digits")]
    NotUuid,
}

impl Key {
    /// From one header value: an RFC 9651 Item that is a String, or the bare characters; both
    /// spellings are the same key.
    ///
    /// Parameters after a quoted key must be well-formed and mean nothing, as RFC 9651 §2 advises
    /// for unknown ones. A bare value is taken whole: it has no parameters, and may hold neither
    /// a comma, nor white space, nor `"`.
    ///
    /// # Errors
    /// A [`KeyError`] that says what to send instead.
    pub fn from_header(value: &[u8]) -> Result<Self, KeyError> {
        Self::checked(field::parse(value)?)
    }

    /// From all lines of the header: `None` when there is none.
    ///
    /// # Errors
    /// [`KeyError::SeveralLines`] for two lines, equal or not: lines may be joined with a comma on
    /// the way (RFC 9110 §5.3), so which is meant cannot be told. Else as [`Key::from_header`].
    pub fn from_headers<'a>(
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, KeyError> {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(KeyError::SeveralLines);
        }
        Self::from_header(first).map(Some)
    }

    /// From a string in a JSON body, taken as it is: no unquoting, and spaces and commas are legal.
    ///
    /// # Errors
    /// When it is empty, too long or not printable ASCII.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::checked(text.to_owned())
    }

    /// For a route whose keys are UUIDs: letter case does not count, so the key is lower-cased.
    ///
    /// # Errors
    /// [`KeyError::NotUuid`] unless it has the form of RFC 9562 §4.
    pub fn parse_uuid_insensitive(self) -> Result<Self, KeyError> {
        if uuid::parse(self.as_bytes()).is_none() {
            return Err(KeyError::NotUuid);
        }
        Ok(Self(self.0.to_ascii_lowercase()))
    }

    /// The time that the key itself carries: that of a UUIDv7 (RFC 9562 §5.7), else `None`.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        uuid::parse(self.as_bytes())?.time().map(Timestamp::from_unix_ms)
    }

    /// The time that the key carries, where somebody can have made it then: not before
    /// [`TIMED_FROM`], nor further ahead of `now` than [`TIMED_AHEAD`].
    ///
    /// 128 random bits spelled as a UUID (the Stripe SDK for Python makes its keys so) look like a
    /// UUIDv7 once in 64 times, and their time lies anywhere in 8,900 years. To believe it would refuse
    /// such a key for good; beyond these bounds it is a key without a time. Within them one random key in
    /// some 80,000 is still taken for a timed one, and refused rather than run unsafely.
    #[must_use]
    pub fn time_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.time().filter(|time| (TIMED_FROM..=now.plus(TIMED_AHEAD)).contains(time))
    }

    /// Why the key may be met again by accident, or `None` for a good one.
    #[must_use]
    pub fn weakness(&self, now: Timestamp) -> Option<Weakness> {
        weakness::of(self.as_bytes(), now)
    }

    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn checked(text: String) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong { bytes: text.len() });
        }
        match text.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
            Some(at) => Err(KeyError::Character { at }),
            None => Ok(Self(text)),
        }
    }
}

impl fmt::Debug for Key {
    /// Says only the length: the key opens the sealed reply, and logs are read by many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::from_text(text).unwrap()
    }

    #[test]
    fn two_lines_are_refused_even_when_they_are_equal() {
        assert_eq!(Key::from_headers([]), Ok(None));
        assert_eq!(Key::from_headers([&b"a"[..]]), Ok(Some(key("a"))));
        assert_eq!(Key::from_headers([&b"a"[..], &b"a"[..]]), Err(KeyError::SeveralLines));
    }

    #[test]
    fn a_key_has_1_to_255_bytes_after_unquoting() {
        assert_eq!(Key::from_text(""), Err(KeyError::Empty));
        assert!(Key::from_text(&"k".repeat(255)).is_ok());
        assert_eq!(Key::from_text(&"k".repeat(256)), Err(KeyError::TooLong { bytes: 256 }));
        let quoted = format!("\"{}\"", "\\\\".repeat(255));
        assert_eq!(Key::from_header(quoted.as_bytes()).map(|k| k.as_bytes().len()), Ok(255));
    }

    #[test]
    fn a_key_is_printable_ascii() {
        assert_eq!(Key::from_text("a\tb"), Err(KeyError::Character { at: 1 }));
        assert_eq!(Key::from_text("é"), Err(KeyError::Character { at: 0 }));
        assert_eq!(Key::from_text("a\u{7f}"), Err(KeyError::Character { at: 1 }));
        assert!(Key::from_text("a, \"b\"").is_ok());
    }

    #[test]
    fn keys_differ_by_case_unless_they_are_uuids() {
        let upper = "018F3B1E-7A2C-7F00-8ABC-0123456789AB";
        let lower = upper.to_ascii_lowercase();
        assert_ne!(key(upper), key(&lower));
        assert_eq!(key(upper).parse_uuid_insensitive(), Ok(key(&lower)));
        assert_eq!(key("8e03").parse_uuid_insensitive(), Err(KeyError::NotUuid));
    }

    #[test]
    fn only_a_uuid_of_version_7_carries_a_time() {
        // RFC 9562 appendix A.6: 2022-02-22 19:22:22 UTC.
        let time = Some(Timestamp::from_unix_ms(1_645_557_742_000));
        assert_eq!(key("017F22E2-79B0-7CC3-98C4-DC0C0C07398F").time(), time);
        for other in [
            "017F22E2-79B0-4CC3-98C4-DC0C0C07398F",
            "017F22E2-79B0-7CC3-18C4-DC0C0C07398F",
            "017F22E2-79B0-7CC3-C8C4-DC0C0C07398F",
            "017F22E279B07CC398C4DC0C0C07398F",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398F0",
            "017F22E2-79B0-7CC3-98C4+DC0C0C07398F",
            "+17F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        ] {
            assert_eq!(key(other).time(), None, "{other}");
        }
    }

    #[test]
    fn a_time_is_believed_where_a_key_can_have_been_made_then() {
        // 2026-04-01T00:00:00Z.
        let now = Timestamp::from_unix_ms(1_775_001_600_000);
        let at = |ms: u64| {
            let hex = format!("{ms:012x}");
            let key = key(&format!("{}-{}-7000-8000-000000000000", &hex[..8], &hex[8..]));
            key.time_at(now).map(Timestamp::as_unix_ms)
        };
        let day = 86_400_000;
        let (from, last) = (TIMED_FROM.as_unix_ms(), now.as_unix_ms() + 366 * day);
        for real in [from, now.as_unix_ms() - day, now.as_unix_ms() + day, last] {
            assert_eq!(at(real), Some(real));
        }
        for random in [0, from - 1, last + 1, 0x6b58_8d2e_326f] {
            assert_eq!(at(random), None, "{random}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", key("secret")), "Key(6 bytes)");
    }
}
