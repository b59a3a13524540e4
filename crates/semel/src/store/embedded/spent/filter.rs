//! A blocked Bloom filter (Putze, Sanders, Singler 2007): whether a table can hold a key at all, in
//! one cache line. New keys, which are nearly all, so cost no read.

use super::super::batch::u64_at;

const LINE: usize = 64;
const BITS_PER_KEY: usize = 12;
const PROBES: u32 = 6;

#[derive(Debug)]
pub(super) struct Filter(Vec<u8>);

impl Filter {
    pub(super) fn with_room_for(keys: usize) -> Self {
        let lines = (keys * BITS_PER_KEY).div_ceil(LINE * 8).max(1);
        Self(vec![0; lines * LINE])
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(LINE)).then_some(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The line of a key and its bits there. Ids are hashes, but tests have others: one multiplication spreads those.
    fn probes(&self, key: &[u8; 16]) -> (usize, impl Iterator<Item = (usize, u8)> + use<>) {
        let low = u64_at(key, 0).unwrap_or(0);
        let high = u64_at(key, 8).unwrap_or(0);
        let a = (low ^ high.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let b = (high ^ (a >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let line = ((u128::from(a) * (self.0.len() / LINE) as u128) >> 64) as usize * LINE;
        let bits = (0..PROBES).map(move |i| {
            let bit = (b >> (9 * i)) as usize & (LINE * 8 - 1);
            (bit / 8, 1 << (bit % 8))
        });
        (line, bits)
    }

    pub(super) fn add(&mut self, key: &[u8; 16]) {
        let (line, bits) = self.probes(key);
        for (byte, bit) in bits {
            self.0[line + byte] |= bit;
        }
    }

    pub(super) fn may_hold(&self, key: &[u8; 16]) -> bool {
        let (line, mut bits) = self.probes(key);
        bits.all(|(byte, bit)| self.0[line + byte] & bit != 0)
    }
}
