//! The status header, and the names of all headers of ours.
//!
//! `Idempotency-Status` stands on every reply to a keyed request and says who spoke: the handler, the
//! record, or Semel. It is an RFC 9651 item: one token, with parameters. It must never be taken from
//! an upstream or from a stored reply.

use http::{HeaderName, HeaderValue};
use semel_core::Span;
use semel_core::key::Weakness;

/// The request's idempotency key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What became of the key; see [`Status`].
pub const IDEMPOTENCY_STATUS: HeaderName = HeaderName::from_static("idempotency-status");
/// `true` on a replay: the spelling that existing SDKs know.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// To the upstream: which attempt this is, from 1.
pub const IDEMPOTENCY_ATTEMPT: HeaderName = HeaderName::from_static("idempotency-attempt");
/// To the upstream: the fence of this attempt.
pub const IDEMPOTENCY_FENCE: HeaderName = HeaderName::from_static("idempotency-fence");
/// From the upstream: `none` says that nothing happened. It goes no further than Semel.
pub const IDEMPOTENCY_EFFECT: HeaderName = HeaderName::from_static("idempotency-effect");
/// To the caller: its key is weak, or was sent lately under another principal. An RFC 9651 list of
/// tokens: `key-weak`, with the parameter `reason`, and `principal-changed`.
pub const IDEMPOTENCY_WARNING: HeaderName = HeaderName::from_static("idempotency-warning");
/// `true` or `false`: what the Stripe SDKs obey in place of their own judgement of a status.
pub const STRIPE_SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");

/// What became of a keyed request, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// This request ran the operation; the reply is fresh.
    Executed,
    /// The reply is the stored one.
    Replayed,
    /// Nothing happened, nothing is remembered: the key may run again.
    Released,
    /// Another request runs it, or its outcome is still being written down.
    InFlight,
    /// It may have happened.
    InDoubt,
    /// The key belongs to another request.
    Mismatch,
    /// The key was used, and its reply is gone or was never kept.
    Spent,
    /// The key was voided and will never run.
    Void,
    /// Semel turned the request away before looking at, or changing, the key's record.
    Refused,
    /// The request bears a key that is not looked at: by its method or its route.
    Ignored,
}

impl Word {
    /// Every word, in the order of the contract.
    pub const ALL: [Self; 10] = [
        Self::Executed,
        Self::Replayed,
        Self::Released,
        Self::InFlight,
        Self::InDoubt,
        Self::Mismatch,
        Self::Spent,
        Self::Void,
        Self::Refused,
        Self::Ignored,
    ];

    /// The token on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Replayed => "replayed",
            Self::Released => "released",
            Self::InFlight => "in-flight",
            Self::InDoubt => "in-doubt",
            Self::Mismatch => "mismatch",
            Self::Spent => "spent",
            Self::Void => "void",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
        }
    }
}

/// The value of `Idempotency-Status`: a word, and what is known beside it.
///
/// ```
/// use semel::http::{Status, Word};
/// use semel::core::Span;
///
/// let status = Status::new(Word::Replayed)
///     .attempt(1)
///     .retention(Span::from_secs(86_398))
///     .memory(Span::FOREVER)
///     .age(Span::from_ms(2_900));
/// assert_eq!(
///     status.to_string(),
///     "replayed;attempt=1;retention=86398;memory=forever;age=2"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    word: Word,
    attempt: Option<u32>,
    retention: Option<Span>,
    memory: Option<Span>,
    age: Option<Span>,
}

impl Status {
    /// The word alone.
    #[must_use]
    pub const fn new(word: Word) -> Self {
        Self { word, attempt: None, retention: None, memory: None, age: None }
    }

    /// The word.
    #[must_use]
    pub const fn word(&self) -> Word {
        self.word
    }

    /// Which execution of the operation the answer speaks of, from 1.
    #[must_use]
    pub const fn attempt(self, attempt: u32) -> Self {
        Self { attempt: Some(attempt), ..self }
    }

    /// How long the reply stays replayable from now. Written in whole seconds, rounded down; for ever
    /// as the token `forever`.
    #[must_use]
    pub const fn retention(self, left: Span) -> Self {
        Self { retention: Some(left), ..self }
    }

    /// How long the key stays known from now. Written as [`Status::retention`] is.
    #[must_use]
    pub const fn memory(self, left: Span) -> Self {
        Self { memory: Some(left), ..self }
    }

    /// On a replay: how old the stored reply is. Whole seconds, rounded down.
    #[must_use]
    pub const fn age(self, age: Span) -> Self {
        Self { age: Some(age), ..self }
    }

    /// The header's value.
    #[must_use]
    pub fn to_value(&self) -> HeaderValue {
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(self.to_string()));
        value.expect("words, digits, semicolons and equal signs are a header value")
    }
}

/// The value of [`IDEMPOTENCY_WARNING`] for a weak key: `key-weak;reason=counter`.
#[must_use]
pub fn weak_key_warning(weakness: Weakness) -> HeaderValue {
    let value = format!("key-weak;reason={}", weakness.name());
    HeaderValue::try_from(value).expect("the names of weaknesses are tokens")
}

/// The value of [`IDEMPOTENCY_WARNING`] for a key that was sent lately with the same request under
/// another principal. For each of them it is an operation of its own.
#[must_use]
pub const fn principal_changed_warning() -> HeaderValue {
    HeaderValue::from_static("principal-changed")
}

/// RFC 9651 §3.3.1: an integer has at most fifteen digits.
const LARGEST: u64 = 999_999_999_999_999;

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word.name())?;
        if let Some(attempt) = self.attempt {
            write!(f, ";attempt={attempt}")?;
        }
        let spans = [("retention", self.retention), ("memory", self.memory), ("age", self.age)];
        for (name, span) in spans {
            match span {
                None => {}
                Some(span) if span.is_forever() => write!(f, ";{name}=forever")?,
                // Rounded down: a second too few is harmless, a second too many is a promise broken.
                Some(span) => write!(f, ";{name}={}", (span.as_ms() / 1000).min(LARGEST))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_written_as_the_contract_spells_it() {
        let words: Vec<_> = Word::ALL.iter().map(|w| Status::new(*w).to_string()).collect();
        assert_eq!(
            words.join(" "),
            "executed replayed released in-flight in-doubt mismatch spent void refused ignored"
        );
    }

    #[test]
    fn parameters_are_written_in_one_order_and_rounded_down() {
        let status = Status::new(Word::Replayed)
            .age(Span::from_ms(1999))
            .memory(Span::from_secs(2_592_000))
            .retention(Span::from_ms(999))
            .attempt(3);
        assert_eq!(status.to_value(), "replayed;attempt=3;retention=0;memory=2592000;age=1");
    }

    #[test]
    fn a_warning_names_the_weakness_as_a_token() {
        assert_eq!(weak_key_warning(Weakness::FewBits { bits: 9 }), "key-weak;reason=few-bits");
    }

    #[test]
    fn for_ever_is_a_token_and_no_integer_has_more_than_fifteen_digits() {
        let status = Status::new(Word::Executed)
            .retention(Span::FOREVER)
            .memory(Span::from_ms(u64::MAX - 1));
        assert_eq!(status.to_string(), "executed;retention=forever;memory=999999999999999");
    }
}
