//! Sealed replies: encrypted so that only who shows the caller's key can read them.
//!
//! XChaCha20-Poly1305 under [`Secret::sealing_key`], which binds record, fence and the caller's key;
//! the associated data binds them again, with the version of this layout, so that a ciphertext moved
//! to another record does not open. The 24-byte nonce is random: a record is sealed once per settle.

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use semel_core::{Fence, Key, RecordId, Sealed, SealedUnder, Secret};

use crate::entropy::{Entropy, random};

const VERSION: u8 = 1;
const NONCE: usize = 24;

/// A sealed reply did not open: it was changed, moved from another record, or sealed under another
/// key or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored reply does not open under this key and secret: it was damaged, or written under another secret"
)]
pub struct OpenError;

/// Encrypts `plain` for whoever shows `caller` (or, without it, for whoever holds the secret).
#[must_use]
pub fn seal(
    secret: &Secret,
    entropy: &dyn Entropy,
    id: &RecordId,
    fence: Fence,
    caller: Option<&Key>,
    plain: &[u8],
) -> Sealed {
    let nonce: [u8; NONCE] = random(entropy);
    let aad = associated_data(id, fence);
    let cipher = XChaCha20Poly1305::new(&secret.sealing_key(id, fence, caller).into());
    let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad });
    let Ok(sealed) = sealed else {
        panic!("XChaCha20-Poly1305 refuses only messages of more than 256 GiB");
    };
    let mut bytes = Vec::with_capacity(NONCE + sealed.len());
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&sealed);
    let under = if caller.is_some() { SealedUnder::Caller } else { SealedUnder::Server };
    Sealed { under, bytes: Bytes::from(bytes) }
}

/// Decrypts what [`seal`] made for the same record, fence and key.
///
/// # Errors
/// [`OpenError`] when anything differs by a bit.
pub fn open(
    secret: &Secret,
    id: &RecordId,
    fence: Fence,
    caller: &Key,
    sealed: &Sealed,
) -> Result<Bytes, OpenError> {
    let (nonce, body) = sealed.bytes.split_first_chunk::<NONCE>().ok_or(OpenError)?;
    let caller = match sealed.under {
        SealedUnder::Caller => Some(caller),
        SealedUnder::Server => None,
    };
    let cipher = XChaCha20Poly1305::new(&secret.sealing_key(id, fence, caller).into());
    let aad = associated_data(id, fence);
    let plain = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: &aad });
    plain.map(Bytes::from).map_err(|_| OpenError)
}

fn associated_data(id: &RecordId, fence: Fence) -> [u8; 41] {
    let mut aad = [VERSION; 41];
    aad[..32].copy_from_slice(&id.0);
    aad[32..40].copy_from_slice(&fence.0.to_le_bytes());
    aad
}
