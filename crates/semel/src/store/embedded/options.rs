//! How a record log is laid out, with the bounds that keep its promises.

use std::time::Duration;

use semel_core::codec::OVERHEAD_MAX;
use semel_core::{Incarnation, Span};

use super::batch::{BATCH_HEADER, FRAME_HEADER, SECTOR};
use super::error::OpenError;
use super::segment::FIRST_BATCH;

/// How far a record log had come: kept outside its directory, it tells an older copy of it from
/// itself ([`super::EmbeddedStore::mark`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which life of the store.
    pub incarnation: Incarnation,
    /// The number of its last write that is on disk; zero before the first. It only grows.
    pub sequence: u64,
}

/// How the record log uses its directory. The defaults suit a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Bytes of one segment file.
    pub segment_bytes: u32,
    /// A segment takes writes for at most this long, so that all in it dies at about one time.
    pub bucket_width: Span,
    /// Bytes of the largest sealed reply that a claim reserves room for. A larger one is taken where
    /// there happens to be room.
    pub reply_cap: u32,
    /// Bytes after which a batch takes no further write; the rest goes into the next one.
    pub batch_bytes: u32,
    /// Segments that are kept written and ready, beside the one in use.
    pub pool: usize,
    /// Free bytes of the file system that no claim may promise away: room for carrying over.
    pub margin_bytes: u64,
    /// How often the maintenance thread looks for work when nobody calls it.
    pub maintain_every: Duration,
    /// How far this store is known to have come. One of the same life that stands behind it is refused
    /// before anything is written to it; another life is for the caller to judge.
    pub known: Option<Mark>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            bucket_width: Span::from_secs(3600),
            reply_cap: 1 << 20,
            batch_bytes: 2 << 20,
            pool: 2,
            margin_bytes: 64 << 20,
            maintain_every: Duration::from_secs(5),
            known: None,
        }
    }
}

impl EmbeddedOptions {
    /// Bytes that one claim sets aside: the write that may declare it in doubt, and its settle with
    /// the largest reply, each in a batch of its own.
    pub(super) fn claim_reserve(&self) -> u64 {
        let lone = |body: usize| (BATCH_HEADER + FRAME_HEADER + body).next_multiple_of(SECTOR);
        (lone(OVERHEAD_MAX) + lone(OVERHEAD_MAX + self.reply_cap as usize)) as u64
    }

    /// Bytes of the longest batch that can come about.
    pub(super) fn longest_batch(&self) -> u64 {
        let one = (FRAME_HEADER + OVERHEAD_MAX) as u64 + u64::from(self.reply_cap);
        u64::from(self.batch_bytes) + one + (BATCH_HEADER + SECTOR) as u64
    }

    /// Bytes of the longest frame that is taken: one that fits into a fresh segment behind a batch
    /// that is about to close. Its operation has run, so it is taken though it exceeds the cap.
    pub(super) fn longest_frame(&self) -> usize {
        let beside = FIRST_BATCH as usize + self.batch_bytes as usize + BATCH_HEADER + 2 * SECTOR;
        (self.segment_bytes as usize).saturating_sub(beside)
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let needed = FIRST_BATCH as u64 + self.longest_batch();
        if u64::from(self.segment_bytes) < needed {
            return Err(OpenError::Options {
                what: "segment_bytes is smaller than the longest batch",
                least: needed,
            });
        }
        if self.bucket_width == Span::ZERO {
            return Err(OpenError::Options { what: "bucket_width is zero", least: 1 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_their_bounds() {
        assert!(EmbeddedOptions::default().check().is_ok());
    }

    #[test]
    fn a_segment_that_cannot_hold_a_batch_is_refused() {
        let small = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
        assert!(matches!(small.check(), Err(OpenError::Options { .. })));
    }
}
