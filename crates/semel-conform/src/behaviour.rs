//! What an operation can be asked to do, so that a case sees a retry meet it.
//!
//! The tester's own upstream can do all of it. An application does what its target file says under
//! `[behaviour.NAME]`: usually another member in the body, as test cards of payment APIs do.

use std::time::Duration;

/// One way for an operation to go. Each but the last group has the effect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Behaviour {
    /// Takes `{slow_ms}` before it answers; the effect comes at the end.
    Slow,
    /// Answers 200 with the effect, after `{slow_ms}`: the effect comes at once.
    SlowAfter,
    /// Answers 204.
    NoContent,
    /// Answers 200 with an empty body.
    Empty,
    /// Answers with all 256 values of a byte.
    Binary,
    /// Answers 303 with `Location`.
    Redirect,
    /// Answers with at least 1.5 MB.
    Large,
    /// Answers in chunks, with no length.
    Streamed,
    /// Answers gzip, with `Content-Encoding: gzip`, to whoever accepts it.
    Compressed,
    /// Answers with two `Link` headers, `ETag`, `Location` and `Content-Language`.
    Headers,
    /// Answers with `Set-Cookie`.
    Cookie,
    /// Has the effect, then answers 500, each time.
    FailsAfter,
    /// Has the effect, then ends the connection without a reply, each time.
    BreaksAfter,
    /// Has the effect, then cuts the reply within its body, each time.
    Truncates,
    /// Has the effect, and never answers.
    Silent,
    /// Answers 500 without the effect the first time, and then succeeds.
    FailsBefore,
    /// Answers 401 without the effect the first time, and then succeeds.
    Unauthorized,
    /// Answers 403 without the effect the first time, and then succeeds.
    Forbidden,
    /// Answers 429 without the effect the first time, and then succeeds.
    RateLimited,
    /// Answers 402 without the effect the first time; would succeed then.
    Declines,
    /// Answers 400 without the effect, each time.
    Invalid,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Slow,
        Self::SlowAfter,
        Self::NoContent,
        Self::Empty,
        Self::Binary,
        Self::Redirect,
        Self::Large,
        Self::Streamed,
        Self::Compressed,
        Self::Headers,
        Self::Cookie,
        Self::FailsAfter,
        Self::BreaksAfter,
        Self::Truncates,
        Self::Silent,
        Self::FailsBefore,
        Self::Unauthorized,
        Self::Forbidden,
        Self::RateLimited,
        Self::Declines,
        Self::Invalid,
    ];

    /// Its name in a target file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::SlowAfter => "slow-after",
            Self::NoContent => "no-content",
            Self::Empty => "empty",
            Self::Binary => "binary",
            Self::Redirect => "redirect",
            Self::Large => "large",
            Self::Streamed => "streamed",
            Self::Compressed => "compressed",
            Self::Headers => "headers",
            Self::Cookie => "cookie",
            Self::FailsAfter => "fails-after",
            Self::BreaksAfter => "breaks-after",
            Self::Truncates => "truncates",
            Self::Silent => "silent",
            Self::FailsBefore => "fails-before",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate-limited",
            Self::Declines => "declines",
            Self::Invalid => "invalid",
        }
    }

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behaviour| behaviour.name() == name)
    }
}

/// How long a slow operation takes where a case does not say: longer than anything else that a case
/// waits for.
#[must_use]
pub fn slow(unit: Duration) -> Duration {
    unit * 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for behaviour in Behaviour::ALL {
            assert_eq!(Behaviour::named(behaviour.name()), Some(behaviour));
        }
        assert_eq!(Behaviour::named("slower"), None);
    }
}
