//! The server secret, and all that is derived from it.
//!
//! One secret for all processes on one store. It keys every hash, so a stolen store tells nothing
//! about the keys in it, and one half of every reply's encryption key, so that it reads no reply.

use std::fmt;

use crate::id::{Digest, Fence, RecordId, RouteTag};
use crate::key::{Key, Scope};

/// 32 secret bytes. Never printed.
#[derive(Clone)]
pub struct Secret {
    ids: [u8; 32],
    derived: [u8; 32],
    seal: [u8; 32],
    digests: [u8; 32],
    fingerprints: [u8; 32],
    principals: [u8; 32],
    routes: [u8; 32],
    audit: [u8; 32],
    check: [u8; 16],
}

impl Secret {
    /// From 32 bytes of good randomness.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let sub = |context| blake3::derive_key(context, bytes);
        let whole = sub("semel 1 check value");
        let mut check = [0; 16];
        for (to, from) in check.iter_mut().zip(whole) {
            *to = from;
        }
        Self {
            ids: sub("semel 1 record id"),
            derived: sub("semel 1 derived key"),
            seal: sub("semel 1 sealed reply"),
            digests: sub("semel 1 outcome digest"),
            fingerprints: sub("semel 1 fingerprint"),
            principals: sub("semel 1 principal"),
            routes: sub("semel 1 route tag"),
            audit: sub("semel 1 audit"),
            check,
        }
    }

    /// Tells whether two processes share a secret without telling the secret. The store keeps it.
    #[must_use]
    pub const fn check_value(&self) -> [u8; 16] {
        self.check
    }

    /// The name of the operation that this key means within this scope.
    #[must_use]
    pub fn record_id(&self, scope: &Scope, key: &Key) -> RecordId {
        let mut hasher = Framed::new(&self.ids);
        hasher.part(scope.service().as_bytes());
        hasher.part(scope.principal());
        hasher.part(key.as_bytes());
        RecordId(hasher.finish())
    }

    /// A stand-in for a credential as a principal: keyed, so that a stolen store tells nothing.
    #[must_use]
    pub fn principal(&self, credential: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.principals, credential).as_bytes()
    }

    /// The idempotency key that is passed on in place of the caller's: a UUIDv8 of the record, by
    /// `name` for the calls that a handler makes itself ("" for the operation as a whole).
    #[must_use]
    pub fn derived_key(&self, id: &RecordId, name: &str) -> String {
        let mut hasher = Framed::new(&self.derived);
        hasher.part(&id.0);
        hasher.part(name.as_bytes());
        let mut uuid = truncate16(hasher.finish());
        // RFC 9562 §5.8: version 8, variant 10.
        uuid[6] = (uuid[6] & 0x0f) | 0x80;
        uuid[8] = (uuid[8] & 0x3f) | 0x80;
        let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' + half - 10 });
        let mut text = String::with_capacity(36);
        for (i, byte) in uuid.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push(digit(byte >> 4));
            text.push(digit(byte & 0x0f));
        }
        text
    }

    /// The encryption key of one reply: of one record, one fence, and (when a caller is showing it)
    /// the caller's own key.
    #[must_use]
    pub fn sealing_key(&self, id: &RecordId, fence: Fence, caller: Option<&Key>) -> [u8; 32] {
        let mut hasher = Framed::new(&self.seal);
        hasher.part(&id.0);
        hasher.part(&fence.0.to_le_bytes());
        match caller {
            Some(key) => {
                hasher.part(b"caller");
                hasher.part(key.as_bytes());
            }
            None => hasher.part(b"server"),
        }
        hasher.finish()
    }

    /// The digest by which two outcomes of one record are the same.
    #[must_use]
    pub fn outcome_digest(&self, id: &RecordId, plain: &[u8]) -> Digest {
        let mut hasher = Framed::new(&self.digests);
        hasher.part(&id.0);
        hasher.part(plain);
        Digest(truncate16(hasher.finish()))
    }

    /// The tag of a route, from all that decides which requests it takes and which key is passed on.
    #[must_use]
    pub fn route_tag<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> RouteTag {
        let mut hasher = Framed::new(&self.routes);
        for part in parts {
            hasher.part(part);
        }
        let mut tag = [0; 8];
        for (to, from) in tag.iter_mut().zip(hasher.finish()) {
            *to = from;
        }
        RouteTag(tag)
    }

    /// A keyed hash over a line of the audit log and all lines before it, by the hash of the one before:
    /// nobody without the secret can write another line that fits.
    #[must_use]
    pub fn audit_link(&self, before: &[u8; 32], line: &[u8]) -> [u8; 32] {
        let mut hasher = Framed::new(&self.audit);
        hasher.part(before);
        hasher.part(line);
        hasher.finish()
    }

    /// Keys the fingerprints.
    pub(crate) const fn fingerprints(&self) -> &[u8; 32] {
        &self.fingerprints
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

pub(crate) fn truncate16(whole: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(whole) {
        *to = from;
    }
    half
}

/// A keyed hash over parts that cannot run into each other: each is preceded by its length.
///
/// Most are short. They are laid out in one piece and hashed in one call, for a fraction of what many
/// small updates cost.
#[derive(Clone)]
pub(crate) struct Framed {
    key: [u8; 32],
    short: [u8; SHORT_MAX],
    short_len: usize,
    /// Takes over where the room for short ones ends.
    long: Option<Box<blake3::Hasher>>,
}

/// A request's parts, or a small reply.
const SHORT_MAX: usize = 512;

impl Framed {
    pub(crate) const fn new(key: &[u8; 32]) -> Self {
        Self { key: *key, short: [0; SHORT_MAX], short_len: 0, long: None }
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.rest(&(bytes.len() as u64).to_le_bytes());
        self.rest(bytes);
    }

    /// A piece of the last part, whose length is not known beforehand. No part may follow.
    pub(crate) fn rest(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.long {
            hasher.update(bytes);
            return;
        }
        let end = self.short_len + bytes.len();
        if let Some(room) = self.short.get_mut(self.short_len..end) {
            room.copy_from_slice(bytes);
            self.short_len = end;
            return;
        }
        let mut hasher = Box::new(blake3::Hasher::new_keyed(&self.key));
        hasher.update(self.short());
        hasher.update(bytes);
        self.long = Some(hasher);
    }

    fn short(&self) -> &[u8] {
        self.short.get(..self.short_len).unwrap_or_default()
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        match &self.long {
            Some(hasher) => *hasher.finalize().as_bytes(),
            None => *blake3::keyed_hash(&self.key, self.short()).as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_parts_hash_as_their_bytes_in_one_piece() {
        let key = [7; 32];
        for len in [0, 1, SHORT_MAX - 9, SHORT_MAX - 8, SHORT_MAX - 7, SHORT_MAX, 3 * SHORT_MAX] {
            let bytes = vec![3; len];
            let mut framed = Framed::new(&key);
            framed.part(&bytes);
            framed.rest(b"and more");
            let whole = [&(len as u64).to_le_bytes()[..], &bytes, b"and more"].concat();
            assert_eq!(framed.finish(), *blake3::keyed_hash(&key, &whole).as_bytes(), "{len}");
        }
    }
}
