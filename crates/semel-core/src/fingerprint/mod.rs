//! Placeholder doc: see the module's owner.

/// How many parts of a request are told apart in a mismatch.
pub const PARTS: usize = 6;

/// What a request asks for, without telling it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Version of the rules it was made by.
    pub rules: u16,
    /// Keyed hash of all parts.
    pub digest: [u8; 16],
    /// Short keyed hashes of method, host, path, query, body and chosen headers.
    pub parts: [u32; PARTS],
}

impl Fingerprint {
    /// Whether the two requests ask for the same.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.rules == other.rules && self.digest == other.digest
    }
}
