//! What money moved: charges and refunds, with amounts as whole minor units, never floats.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The largest amount of one charge, in minor units (999,999.99 in a currency with two decimals).
/// With it, a sum of charges stays in an `i64` for 92 thousand million charges: more than fit in
/// memory, so sums need no check.
pub const MAX_AMOUNT: i64 = 99_999_999;

/// A currency by its three letters (ISO 4217), kept in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Three ASCII letters in any case. The sample does not ask whether such a currency exists.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 3] = text.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Self(letters.map(|l| l.to_ascii_lowercase())))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&letter| write!(f, "{}", char::from(letter)))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A charge that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCharge {
    /// In minor units, from 1 to [`MAX_AMOUNT`].
    pub amount: i64,
    /// What the amount counts.
    pub currency: Currency,
    /// The card token or the customer that pays, as it was named.
    pub payer: Payer,
    /// The merchant's own words.
    pub description: Option<String>,
    /// The merchant's own pairs.
    pub metadata: BTreeMap<String, String>,
    /// Where the goods go: kept and shown as it came.
    pub shipping: Option<Value>,
    /// The `Idempotency-Key` header as the service saw it, without the quotation marks of RFC 9651.
    /// The service only notes it, so that the charge can be looked up by it.
    pub idempotency_key: Option<String>,
}

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payer {
    /// A card token, such as `tok_visa`.
    Source(String),
    /// A customer on file, such as `cus_1`.
    Customer(String),
}

/// A charge in the books.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// `ch_…`, unique among the charges of all ledgers that were born in different seconds.
    pub id: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created: u64,
    /// What was asked for.
    pub asked: NewCharge,
    /// What went back so far, in minor units: at most the amount.
    pub amount_refunded: i64,
}

impl Charge {
    /// What can still be refunded, in minor units.
    #[must_use]
    pub fn left(&self) -> i64 {
        self.asked.amount - self.amount_refunded
    }
}

/// A refund that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRefund {
    /// The charge to give back.
    pub charge: String,
    /// In minor units; all that is left, if not given.
    pub amount: Option<i64>,
    /// The merchant's reason, as it came.
    pub reason: Option<String>,
    /// The merchant's own pairs.
    pub metadata: BTreeMap<String, String>,
}

/// A refund in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// `re_…`, unique as a charge's id is.
    pub id: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created: u64,
    /// The charge that was given back.
    pub charge: String,
    /// In minor units.
    pub amount: i64,
    /// The charge's currency.
    pub currency: Currency,
    /// The merchant's reason, as it came.
    pub reason: Option<String>,
    /// The merchant's own pairs.
    pub metadata: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_letters_in_any_case() {
        assert_eq!(Currency::parse("EUR").unwrap().to_string(), "eur");
        for bad in ["", "eu", "euro", "e1r", "€"] {
            assert_eq!(Currency::parse(bad), None, "{bad}");
        }
    }
}
