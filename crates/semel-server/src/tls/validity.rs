//! From when to when a certificate holds.

use semel::core::Timestamp;
use semel::time::{SystemClock, WallClock};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate's time, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub not_before: i64,
    pub not_after: i64,
    /// Both, for people.
    pub shown: [String; 2],
}

impl Validity {
    /// Of a certificate in DER.
    pub(super) fn of(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let (from, to) = (certificate.validity().not_before, certificate.validity().not_after);
        Ok(Self {
            not_before: from.timestamp(),
            not_after: to.timestamp(),
            shown: [from.to_string(), to.to_string()],
        })
    }

    /// Whether it is in the past, the present or the future.
    pub(super) fn at(&self, now: Timestamp) -> When {
        let now = i64::try_from(now.as_unix_ms() / 1000).unwrap_or(i64::MAX);
        if now > self.not_after {
            When::Past
        } else if now < self.not_before {
            When::Future
        } else {
            When::Now
        }
    }
}

/// How a span of time lies to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Past,
    Now,
    Future,
}

/// By this machine's clock, which is the one that callers' clocks should agree with.
pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_within() {
        let validity = Validity { not_before: 10, not_after: 20, shown: Default::default() };
        let at = |secs: u64| validity.at(Timestamp::from_unix_ms(secs * 1000));
        assert_eq!(
            [at(9), at(10), at(20), at(21)],
            [When::Future, When::Now, When::Now, When::Past]
        );
    }
}
