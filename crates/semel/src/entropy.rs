//! Where random bytes come from, and the one place that asks the system for them.

use std::fmt;

/// Makes random bytes: owners, incarnations, the nonces of sealed replies.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Panics
    /// When the system has no randomness to give: nothing safe can be done without it.
    fn fill(&self, bytes: &mut [u8]);
}

/// The system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let filled = getrandom::fill(bytes);
        assert!(
            filled.is_ok(),
            "the system gave no random bytes, so no owner or nonce would be unique"
        );
    }
}

/// `N` random bytes.
#[must_use]
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
