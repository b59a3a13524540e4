//! The wall clock of a store, and the one place that reads the system's.
//!
//! Only stores ask for the time of day: an engine counts with its monotonic timer from the last
//! answer of its store. Tests use [`ManualClock`].

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
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
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self { wall: AtomicU64::new(now.as_unix_ms()), monotonic: AtomicU64::new(0) }
    }

    /// Time passes.
    pub fn advance(&self, span: Span) {
        self.wall.fetch_add(span.as_ms(), Ordering::SeqCst);
        self.monotonic.fetch_add(span.as_ms(), Ordering::SeqCst);
    }

    /// The time of day jumps, backwards too, and no time passes.
    pub fn set(&self, now: Timestamp) {
        self.wall.store(now.as_unix_ms(), Ordering::SeqCst);
    }
}

impl WallClock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Span {
        Span::from_ms(self.monotonic.load(Ordering::SeqCst))
    }
}
