//! The digest of a body that is too large to be held: hashed piece by piece while it is put aside.

use std::fmt;

use crate::secret::{Framed, Secret};

/// Hashes a body in pieces; how it is cut does not count.
#[derive(Clone)]
pub struct BodyHasher(Framed);

impl BodyHasher {
    /// Of an empty body, under the server secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let mut hasher = Framed::new(secret.fingerprints());
        hasher.part(b"body in pieces");
        Self(hasher)
    }

    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.rest(piece);
    }

    /// The digest of all pieces so far.
    #[must_use]
    pub fn finish(&self) -> BodyDigest {
        BodyDigest(self.0.finish())
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyHasher(..)")
    }
}

/// Stands for a body in a fingerprint: a keyed hash of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyDigest(pub(super) [u8; 32]);
