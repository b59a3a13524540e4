//! Which parts of two requests differ, by name and never by value.

use std::fmt;

use super::{Fingerprint, PARTS};

/// A part of a request that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The request method.
    Method,
    /// The host, with its port unless that is the default.
    Host,
    /// The path.
    Path,
    /// The query, with or without which a path is another.
    Query,
    /// The body together with its media type and content coding.
    Body,
    /// The chosen headers.
    Headers,
}

impl Part {
    /// All parts, in the order of [`Fingerprint::parts`].
    pub const ALL: [Self; PARTS] =
        [Self::Method, Self::Host, Self::Path, Self::Query, Self::Body, Self::Headers];

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Query => "query",
            Self::Body => "body",
            Self::Headers => "headers",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of parts. It prints as `method, body`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PartSet(u8);

impl PartSet {
    /// Whether the part is in the set.
    #[must_use]
    pub const fn contains(self, part: Part) -> bool {
        self.0 & part.bit() != 0
    }

    /// True when no part is.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The parts, in the order of [`Part::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.contains(*part))
    }
}

impl FromIterator<Part> for PartSet {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        Self(parts.into_iter().fold(0, |set, part| set | part.bit()))
    }
}

impl fmt::Display for PartSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            f.write_str(part.name())?;
        }
        Ok(())
    }
}

/// How two fingerprints differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Difference {
    /// They match.
    Nothing,
    /// They were made by different rules, so nothing more can be said.
    RulesChanged,
    /// These parts differ: at least one.
    Parts(PartSet),
}

pub(super) fn between(one: &Fingerprint, other: &Fingerprint) -> Difference {
    if one.rules != other.rules {
        return Difference::RulesChanged;
    }
    if one.matches(other) {
        return Difference::Nothing;
    }
    let hashes = one.parts.iter().zip(&other.parts);
    let differing: PartSet =
        Part::ALL.into_iter().zip(hashes).filter(|(_, (a, b))| a != b).map(|(p, _)| p).collect();
    if differing.is_empty() {
        // The 32-bit hashes collided, though the requests differ. The body is where two requests
        // under one key nearly always do.
        return Difference::Parts(PartSet::from_iter([Part::Body]));
    }
    Difference::Parts(differing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(digest: u8, parts: [u32; PARTS]) -> Fingerprint {
        Fingerprint { rules: 1, digest: [digest; 16], parts }
    }

    #[test]
    fn parts_are_named_in_order() {
        let first = print(1, [0; PARTS]);
        let Difference::Parts(parts) = first.differs(&print(2, [1, 0, 0, 0, 2, 0])) else {
            panic!("two parts differ")
        };
        assert_eq!(parts.to_string(), "method, body");
        assert!(parts.contains(Part::Body) && !parts.contains(Part::Host));
    }

    #[test]
    fn equal_part_hashes_under_another_digest_are_the_body() {
        let difference = print(1, [0; PARTS]).differs(&print(2, [0; PARTS]));
        assert_eq!(difference, Difference::Parts(PartSet::from_iter([Part::Body])));
    }

    #[test]
    fn other_rules_say_nothing_of_the_parts() {
        let first = print(1, [0; PARTS]);
        let newer = Fingerprint { rules: 2, ..first };
        assert_eq!(first.differs(&newer), Difference::RulesChanged);
        assert!(!first.matches(&newer));
        assert_eq!(first.differs(&first), Difference::Nothing);
    }
}
