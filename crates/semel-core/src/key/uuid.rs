//! UUIDs in their text form (RFC 9562 §4): version, variant and the time of version 7.

/// A UUID as the number that its 32 hexadecimal digits spell.
pub(super) struct Uuid(u128);

/// Reads 8-4-4-4-12 hexadecimal digits of either case, and nothing else.
pub(super) fn parse(text: &[u8]) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    let mut value = 0_u128;
    for (at, &byte) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        value = value << 4 | u128::from(digit);
    }
    Some(Uuid(value))
}

impl Uuid {
    /// The version, when the variant is the one of RFC 9562 §4.1 (bits 10); only there does the
    /// version field mean anything.
    pub(super) const fn version(&self) -> Option<u8> {
        if (self.0 >> 62) & 0b11 != 0b10 {
            return None;
        }
        Some(((self.0 >> 76) & 0xf) as u8)
    }

    /// Milliseconds since the Unix epoch: the first 48 bits of a version 7 (RFC 9562 §5.7).
    pub(super) fn time(&self) -> Option<u64> {
        if self.version() != Some(7) {
            return None;
        }
        u64::try_from(self.0 >> 80).ok()
    }
}
