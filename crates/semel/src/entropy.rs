//! Where random bytes come from, and the one place that asks the system for them.

use std::cell::RefCell;
use std::fmt;

/// Makes random bytes: owners, incarnations, the nonces of sealed replies.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Panics
    /// When the system has no randomness to give: nothing safe can be done without it.
    fn fill(&self, bytes: &mut [u8]);
}

/// The system's random source, asked for a block at a time: one request needs some forty bytes, and
/// a system call for each would cost more than the rest of its claim.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

const BLOCK: usize = 1024;

/// Random bytes that nobody has been given yet: the first `left` of them.
struct Block {
    bytes: [u8; BLOCK],
    left: usize,
}

thread_local! {
    static UNUSED: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK], left: 0 }) };
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > BLOCK {
            return ask_the_system(bytes);
        }
        UNUSED.with_borrow_mut(|block| {
            if block.left < bytes.len() {
                ask_the_system(&mut block.bytes);
                block.left = BLOCK;
            }
            block.left -= bytes.len();
            let given = &mut block.bytes[block.left..block.left + bytes.len()];
            bytes.copy_from_slice(given);
            // What was given once is never given again, and does not stay in memory.
            given.fill(0);
        });
    }
}

fn ask_the_system(bytes: &mut [u8]) {
    let filled = getrandom::fill(bytes);
    assert!(filled.is_ok(), "the system gave no random bytes, so no owner would be unique");
}

/// `N` random bytes.
#[must_use]
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_twice_across_blocks_and_threads() {
        let draw = || (0..500).map(|_| random::<24>(&SystemEntropy)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let drawn: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        let distinct: HashSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), 2000);
        assert!(!distinct.contains(&[0; 24]));
    }

    #[test]
    fn more_than_a_block_comes_from_the_system_at_once() {
        let drawn: [u8; 3 * BLOCK] = random(&SystemEntropy);
        assert!(drawn.chunks(64).all(|chunk| chunk.iter().any(|b| *b != 0)));
    }
}
