//! What a request asks for, without telling it.
//!
//! A key names an operation; the fingerprint says which. One key with another fingerprint is a
//! mismatch: never a second run, and never another's reply. It is a keyed hash of method, host,
//! path, query, media type with body, and chosen headers, each length-prefixed, so that no request
//! can spell another. It goes into a [`crate::machine::Claim`].
//!
//! Two requests that differ must never share a fingerprint: a retry that is taken for another
//! request costs a refusal, the reverse costs somebody's money. So wherever a body cannot be read
//! beyond doubt (doubled member names, invalid UTF-8, a broken multipart) its bytes are compared.
//!
//! A body that is too large to be held is hashed as it passes ([`BodyHasher`]) and compares by its bytes.
//!
//! The rules have a version ([`RULES_VERSION`]), which is kept with each fingerprint. Any change to
//! what is hashed needs a new one.
//!
//! ```
//! use http::HeaderMap;
//! use semel_core::Secret;
//! use semel_core::fingerprint::{FingerprintRules, RequestParts, fingerprint};
//!
//! let (secret, rules, headers) = (Secret::new(&[7; 32]), FingerprintRules::default(), HeaderMap::new());
//! let charge = |body| {
//!     let request = RequestParts {
//!         method: "POST",
//!         host: "api.example",
//!         path: "/v1/charges",
//!         query: None,
//!         content_type: Some(b"application/json"),
//!         content_encoding: None,
//!         headers: &headers,
//!         body,
//!     };
//!     fingerprint(&secret, &rules, &request)
//! };
//! assert!(charge(br#"{"amount": 10.0, "to": "a"}"#).matches(&charge(br#"{"to":"a","amount":10}"#)));
//! assert!(!charge(br#"{"amount": 10, "to": "a"}"#).matches(&charge(br#"{"amount": 11, "to": "a"}"#)));
//! ```

mod body;
mod difference;
mod digest;
mod form;
mod json;
mod multipart;
mod number;
mod pointer;
mod request;
mod target;

#[cfg(test)]
mod tests;

pub use difference::{Difference, Part, PartSet};
pub use digest::{BodyDigest, BodyHasher};
pub use pointer::{Pointer, PointerError};
pub use request::{
    FingerprintRules, FormBodies, JsonBodies, RequestParts, fingerprint, fingerprint_of_digest,
};

/// How many parts of a request are told apart in a mismatch.
pub const PARTS: usize = 6;

/// The version of the rules that [`fingerprint()`] follows.
pub const RULES_VERSION: u16 = 1;

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

    /// In which parts the two requests differ, for the caller who has to find out why.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Difference {
        difference::between(self, other)
    }
}
