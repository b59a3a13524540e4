//! The wall clock of a store, and the one place that reads the system's.
//!
//! Only stores ask for the time of day: an engine counts with its monotonic timer from the last
//! answer of its store. Tests use [`ManualClock`].

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use semel_core::{Span, Timestamp};

/// Tells the time of day.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// The present time. It may jump either way; whoever deletes by it must mind that.
    fn now(&self) -> Timestamp;

    /// Time that never jumps, from a start of its own. By it a store finds out that the wall clock
    /// did. A clock that knows no other time than its own is believed.
    fn monotonic(&self) -> Span {
        self.now().since(Timestamp::ZERO)
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one module that may")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::ZERO.plus(Span::from(since_epoch))
    }

    fn monotonic(&self) -> Span {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Span::from(START.elapsed())
    }
}

/// A clock that stands until it is moved.
///
/// Time that passes is kept in one place, so that nobody sees it pass for one of the two times and
/// not yet for the other.
#[derive(Debug)]
pub struct ManualClock {
    /// What the time of day was, or would have been, when no time had passed.
    start_ms: AtomicI64,
    passed_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        let start_ms = AtomicI64::new(now.as_unix_ms().cast_signed());
        Self { start_ms, passed_ms: AtomicU64::new(0) }
    }

    /// Time passes.
    pub fn advance(&self, span: Span) {
        self.passed_ms.fetch_add(span.as_ms(), Ordering::SeqCst);
    }

    /// The time of day jumps, backwards too, and no time passes.
    pub fn set(&self, now: Timestamp) {
        let passed = self.passed_ms.load(Ordering::SeqCst).cast_signed();
        let start = now.as_unix_ms().cast_signed().wrapping_sub(passed);
        self.start_ms.store(start, Ordering::SeqCst);
    }
}

impl WallClock for ManualClock {
    fn now(&self) -> Timestamp {
        let passed = self.passed_ms.load(Ordering::SeqCst);
        let now = self.start_ms.load(Ordering::SeqCst).wrapping_add(passed.cast_signed());
        Timestamp::from_unix_ms(now.cast_unsigned())
    }

    fn monotonic(&self) -> Span {
        Span::from_ms(self.passed_ms.load(Ordering::SeqCst))
    }
}
