//! The wall clock of a store, and the one place that reads the system's.
//!
//! Only stores ask for the time of day: an engine counts with its monotonic timer from the last
//! answer of its store. Tests use [`ManualClock`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use semel_core::{Span, Timestamp};

/// Tells the time of day.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// The present time. It may jump either way; whoever deletes by it must mind that.
    fn now(&self) -> Timestamp;
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
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.as_unix_ms()))
    }

    /// Moves it on.
    pub fn advance(&self, span: Span) {
        self.0.fetch_add(span.as_ms(), Ordering::SeqCst);
    }

    /// Sets it, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_unix_ms(), Ordering::SeqCst);
    }
}

impl WallClock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}
