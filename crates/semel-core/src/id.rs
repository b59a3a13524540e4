//! The small values that name things: a record, an owner, a fence, a version, an incarnation.

use std::fmt;

/// Names one operation of one principal: a keyed, length-prefixed hash of service, principal and
/// idempotency key. See [`crate::Secret::record_id`], which alone makes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub [u8; 32]);

impl RecordId {
    /// The first eight bytes in hexadecimal: enough for a log line, useless to an attacker.
    #[must_use]
    pub fn short(&self) -> String {
        hex(self.0.iter().take(8))
    }

    /// The 64 hexadecimal digits that [`fmt::Display`] writes, read back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut id = [0_u8; 32];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let text = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(text, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.iter()))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({})", self.short())
    }
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.map(|b| format!("{b:02x}")).collect()
}

/// Says under which rules of routing an operation was claimed: a keyed hash of the service, of all that
/// decides which requests its route takes, and of which key is passed on. Two routes with one tag take
/// exactly the same requests, so what may be asked about one operation of the route may be asked about
/// another. See [`crate::Secret::route_tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTag(pub [u8; 8]);

/// Made at random by whoever claims, kept in the record: a claim whose answer was lost is known
/// again as one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub [u8; 16]);

/// Orders the executions of one key: whoever holds a lower fence than the record's has lost it.
///
/// The first fence of a key is the store's time in milliseconds, each later one is greater by one;
/// so a key that was purged and claimed again never meets its old owner under an equal fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

impl Fence {
    /// The fence after this one.
    ///
    /// # Panics
    /// When 2^64 is reached, some 584 million years after 1970.
    #[must_use]
    pub fn next(self) -> Self {
        assert!(
            self.0 < u64::MAX,
            "a fence never wraps: a wrapped fence would let an old owner win"
        );
        Self(self.0 + 1)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a compare-and-set compares: which execution, and which write under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The record's fence.
    pub fence: Fence,
    /// Counts the writes under one fence, from zero.
    pub revision: u32,
}

/// Names one life of a store: made at random when the store is made, and never again. A store that
/// came back empty bears another one, and is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.iter()))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

/// A keyed digest of a plain outcome (status, kept headers, body): two settles are equal when
/// their digests are, whatever their ciphertexts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_id_reads_back_what_it_prints() {
        let id = RecordId([0xa7; 32]);
        assert_eq!(RecordId::parse(&id.to_string()), Some(id));
        assert_eq!(RecordId::parse("a7"), None);
        assert_eq!(RecordId::parse(&"zz".repeat(32)), None);
    }
}
