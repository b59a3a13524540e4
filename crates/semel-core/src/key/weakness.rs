//! Keys that two different operations may share by accident.
//!
//! A clock gives one value to two clients at once, a counter starts anew after a restore, and a
//! short key collides by the birthday bound. Each is a warning, or a refusal where a route says so.

use std::fmt;

use super::uuid;
use crate::time::Timestamp;

/// Why a key may be met again by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Weakness {
    /// It looks like a time: a Unix time near now in s, ms, µs or ns, an ISO 8601 date, a UUIDv1.
    Clock,
    /// It looks like a counter: at most 12 digits.
    Counter,
    /// It holds under [`BITS_MIN`] bits.
    FewBits {
        /// The most that a key of this length and alphabet can hold, rounded down.
        bits: u32,
    },
}

/// A key that can hold fewer bits is weak: 2^32 keys would be even odds for a collision at 64.
pub const BITS_MIN: u32 = 64;

/// How far from now a number of seconds is still taken for a clock: ten years.
const CLOCK_WINDOW_SECS: u64 = 3653 * 86_400;

impl Weakness {
    /// A short name for headers, metrics and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Counter => "counter",
            Self::FewBits { .. } => "few-bits",
        }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock => f.write_str("the key looks like a time, which two requests can share"),
            Self::Counter => f.write_str("the key looks like a counter, which can start anew"),
            Self::FewBits { bits } => write!(f, "the key holds at most {bits} bits"),
        }?;
        f.write_str(": make a random UUID for each operation")
    }
}

pub(super) fn of(key: &[u8], now: Timestamp) -> Option<Weakness> {
    if unix_time_near(key, now) || iso_date(key) || uuid_of_time(key) {
        return Some(Weakness::Clock);
    }
    if key.len() <= 12 && key.iter().all(u8::is_ascii_digit) {
        return Some(Weakness::Counter);
    }
    let bits = bits(key);
    (bits < BITS_MIN).then_some(Weakness::FewBits { bits })
}

fn uuid_of_time(key: &[u8]) -> bool {
    uuid::parse(key).is_some_and(|uuid| uuid.version() == Some(1))
}

fn unix_time_near(key: &[u8], now: Timestamp) -> bool {
    let per_second = match key.len() {
        10 => 1,
        13 => 1_000,
        16 => 1_000_000,
        19 => 1_000_000_000,
        _ => return false,
    };
    let Some(value) = digits(key) else { return false };
    (value / per_second).abs_diff(now.as_unix_ms() / 1000) <= CLOCK_WINDOW_SECS
}

/// `2026-04-01`, `20260401`, each alone or with a time of day behind a `T` or a space.
fn iso_date(key: &[u8]) -> bool {
    let split = |at: usize| key.split_at_checked(at);
    let (date, time) = match (split(10), split(8)) {
        (Some(([y @ .., b'-', m1, m2, b'-', d1, d2], time)), _) if y.len() == 4 => {
            ((digits(y), digits(&[*m1, *m2]), digits(&[*d1, *d2])), time)
        }
        (_, Some(([y @ .., m1, m2, d1, d2], time))) => {
            ((digits(y), digits(&[*m1, *m2]), digits(&[*d1, *d2])), time)
        }
        _ => return false,
    };
    let (Some(_), Some(1..=12), Some(1..=31)) = date else { return false };
    match time.split_first() {
        None => true,
        Some((b'T' | b't' | b' ', of_day)) => {
            of_day.iter().all(|b| b.is_ascii_digit() || b":.,+-Zz".contains(b))
        }
        Some(_) => false,
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Length × log2 of the smallest alphabet that holds the key, in whole bits rounded down.
fn bits(key: &[u8]) -> u32 {
    let all = |wanted: fn(&u8) -> bool| key.iter().all(wanted);
    let thousandths = if all(u8::is_ascii_digit) {
        3_321 // log2 10
    } else if all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        || all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
    {
        4_000 // log2 16
    } else if all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        || all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    {
        5_169 // log2 36
    } else if all(u8::is_ascii_alphanumeric) {
        5_954 // log2 62
    } else {
        6_569 // log2 95
    };
    u32::try_from(key.len()).unwrap_or(u32::MAX).saturating_mul(thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-04-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_unix_ms(1_775_001_600_000);

    fn weakness(key: &str) -> Option<Weakness> {
        of(key.as_bytes(), NOW)
    }

    #[test]
    fn clocks_are_known() {
        for key in [
            "1775001600",
            "1775001600123",
            "1775001600123456",
            "1775001600123456789",
            "1460000000",
            "2090000000",
            "2026-04-01",
            "20260401",
            "2026-04-01T12:00:00.123456789Z",
            "20260401T120000Z",
            "2026-04-01 12:00:00+02:00",
            "c232ab00-9414-11ec-b3c8-9f6bdeced846",
        ] {
            assert_eq!(weakness(key), Some(Weakness::Clock), "{key}");
        }
    }

    #[test]
    fn numbers_far_from_now_are_no_clocks() {
        assert_eq!(weakness("1450000000"), Some(Weakness::Counter));
        assert_eq!(weakness("2100000000"), Some(Weakness::Counter));
        assert_eq!(weakness("1450000000000"), Some(Weakness::FewBits { bits: 43 }));
        assert_eq!(weakness("2026-13-01-0123456789"), None);
        assert_eq!(weakness("2026-04-01-c232ab00"), None);
    }

    #[test]
    fn counters_are_known() {
        for key in ["1", "42", "000000000001", "123456789012"] {
            assert_eq!(weakness(key), Some(Weakness::Counter), "{key}");
        }
    }

    #[test]
    fn each_alphabet_has_its_shortest_good_key() {
        for (good, bits) in [
            ("98765432109876543210", 63),
            ("0123456789abcdef", 60),
            ("0123456789ABCDEF", 60),
            ("0123456789xyz", 62),
            ("XYZ0123456789", 62),
            ("aBc01234567", 59),
            ("a-B_c.d~e!", 59),
        ] {
            let short = good.get(..good.len() - 1).unwrap();
            assert_eq!(weakness(good), None, "{good}");
            assert_eq!(weakness(short), Some(Weakness::FewBits { bits }), "{short}");
        }
    }

    #[test]
    fn random_uuids_pass() {
        assert_eq!(weakness("8e03978e-40d5-43dd-bc93-6894a57f9324"), None);
        assert_eq!(weakness("019d4f1e-7a2c-7f00-8abc-0123456789ab"), None);
    }
}
