//! The wall clock of the simulated store: it follows the runtime's paused time, and jumps when told.

use std::sync::atomic::{AtomicI64, Ordering};

use semel::core::{Span, Timestamp};
use semel::time::WallClock;
use tokio::time::Instant;

/// The time of day at which every run starts: 2025-06-15T15:06:40Z.
pub const START: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);

/// Wall time and monotonic time of the store's machine.
#[derive(Debug)]
pub struct SimClock {
    began: Instant,
    offset_ms: AtomicI64,
}

impl Default for SimClock {
    fn default() -> Self {
        Self { began: Instant::now(), offset_ms: AtomicI64::new(0) }
    }
}

impl SimClock {
    /// The time of day jumps by so much, and no time passes.
    pub fn jump(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl WallClock for SimClock {
    fn now(&self) -> Timestamp {
        let true_ms = START.plus(self.monotonic()).as_unix_ms();
        let offset = self.offset_ms.load(Ordering::SeqCst);
        Timestamp::from_unix_ms(true_ms.saturating_add_signed(offset))
    }

    fn monotonic(&self) -> Span {
        Span::from(self.began.elapsed())
    }
}
