//! The one source of chance. Everything that happens in a run is decided by its seed, through here.

use std::sync::{Mutex, PoisonError};

use semel::entropy::Entropy;

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same everywhere. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for a part of the run, so that one part drawing more or less often does
    /// not change what the others draw.
    #[must_use]
    pub fn fork(&self, label: &str) -> Self {
        let mut forked = Self(self.0 ^ fnv(label.as_bytes()));
        forked.draw();
        forked
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.draw() % n }
    }

    /// One of `least..=most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there is nothing to choose from.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        assert!(!choices.is_empty(), "there is nothing to choose from");
        let n = self.below(choices.len() as u64);
        choices[usize::try_from(n).unwrap_or(0)]
    }
}

/// FNV-1a, 64 bits: digests of replies in a history, labels of streams. Not for secrets.
#[must_use]
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Random bytes for an engine or a store, from a stream of the seed.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<Rng>);

impl SeededEntropy {
    /// Draws from `rng`.
    #[must_use]
    pub const fn new(rng: Rng) -> Self {
        Self(Mutex::new(rng))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            let drawn = rng.draw().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_does_not_depend_on_what_its_parent_drew_later() {
        let mut parent = Rng::new(7);
        let before = parent.fork("disk").draw();
        let again = Rng::new(7).fork("disk").draw();
        parent.draw();
        assert_eq!(before, again);
        assert_ne!(before, Rng::new(7).fork("net").draw());
        assert_ne!(before, Rng::new(8).fork("disk").draw());
    }

    #[test]
    fn between_reaches_both_ends() {
        let mut rng = Rng::new(1);
        let drawn: Vec<u64> = (0..200).map(|_| rng.between(3, 5)).collect();
        assert!([3, 4, 5].iter().all(|n| drawn.contains(n)));
        assert!(drawn.iter().all(|n| (3..=5).contains(n)));
    }
}
