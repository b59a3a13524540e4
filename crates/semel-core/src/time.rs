//! Time as the rules see it: a point on the store's clock, and a length.
//!
//! Nothing here reads a clock. A [`Timestamp`] comes from the store (it stamps each write and says
//! its time with every answer); a [`Span`] comes from a policy. The two never share a type, so a
//! lease (seconds) cannot be mistaken for a date.

use std::fmt;
use std::time::Duration;

/// A point in time by the store's clock: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest point: 1970-01-01T00:00:00Z.
    pub const ZERO: Self = Self(0);
    /// Later than every point that will come: "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_ms(self) -> u64 {
        self.0
    }

    /// The point `span` later; [`Timestamp::NEVER`] when the span is [`Span::FOREVER`].
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The point `span` earlier, not before the epoch.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this point lies; zero when it lies before it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in milliseconds. The greatest value means *for ever*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Without end: legal for retention and memory.
    pub const FOREVER: Self = Self(u64::MAX);

    /// From milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// From seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds; `u64::MAX` means for ever.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds, rounded up, as `Retry-After` wants them.
    #[must_use]
    pub const fn as_secs_ceil(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// True for [`Span::FOREVER`].
    #[must_use]
    pub const fn is_forever(self) -> bool {
        self.0 == u64::MAX
    }

    /// The sum; for ever plus anything is for ever.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This span `n` times; for ever stays for ever.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// As the standard library's duration, for timers. For ever becomes some 584 million years.
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for Span {
    fn from(d: Duration) -> Self {
        Self(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Span {
    /// `90 s`, `250 ms`, `24 h`, `30 d`, `forever`: the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] =
            [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
        if self.is_forever() {
            return f.write_str("forever");
        }
        for (ms, unit) in UNITS {
            if self.0 >= ms && self.0.is_multiple_of(ms) {
                return write!(f, "{} {unit}", self.0 / ms);
            }
        }
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forever_stays_forever() {
        assert_eq!(Span::FOREVER.plus(Span::from_ms(1)), Span::FOREVER);
        assert_eq!(Timestamp::from_unix_ms(5).plus(Span::FOREVER), Timestamp::NEVER);
        assert_eq!(Span::FOREVER.times(2), Span::FOREVER);
    }

    #[test]
    fn since_never_goes_below_zero() {
        let (a, b) = (Timestamp::from_unix_ms(3), Timestamp::from_unix_ms(9));
        assert_eq!(a.since(b), Span::ZERO);
        assert_eq!(b.since(a), Span::from_ms(6));
    }

    #[test]
    fn spans_print_in_their_largest_unit() {
        for (span, text) in [
            (Span::from_secs(86_400), "1 d"),
            (Span::from_secs(90), "90 s"),
            (Span::from_ms(250), "250 ms"),
            (Span::FOREVER, "forever"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }
}
