//! The store's time, between its answers.
//!
//! Every answer of a store carries its time. In between the engine adds what its own monotonic timer
//! has counted since that answer *arrived*: an estimate that never runs ahead of the store (unless
//! the store's clock is set back), so a lapse is never judged early.

use std::sync::{Mutex, PoisonError};

use semel_core::{Span, Timestamp};
use tokio::time::{Duration, Instant};

/// A sample older than this gives way to a newer one even if that lags more: the store's clock may
/// have been set back.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct StoreTime(Mutex<(Timestamp, Instant)>);

impl StoreTime {
    pub(super) fn new(at: Timestamp) -> Self {
        Self(Mutex::new((at, Instant::now())))
    }

    /// The store said that it is `at`.
    pub(super) fn observe(&self, at: Timestamp) {
        let now = Instant::now();
        let mut sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = now.duration_since(sample.1) > SAMPLE_AGE_MAX;
        if stale || at > estimate(*sample, now) {
            *sample = (at, now);
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        estimate(*self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }
}

fn estimate((at, received): (Timestamp, Instant), now: Instant) -> Timestamp {
    at.plus(Span::from(now.saturating_duration_since(received)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn counts_on_from_the_last_answer() {
        let clock = StoreTime::new(ms(1000));
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(clock.now(), ms(1300));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_lagged_does_not_set_it_back() {
        let clock = StoreTime::new(ms(1000));
        tokio::time::advance(Duration::from_millis(300)).await;
        clock.observe(ms(1200));
        assert_eq!(clock.now(), ms(1300));
        clock.observe(ms(1350));
        assert_eq!(clock.now(), ms(1350));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_was_set_back_is_followed_after_a_second() {
        let clock = StoreTime::new(ms(5000));
        tokio::time::advance(Duration::from_millis(1500)).await;
        clock.observe(ms(2000));
        assert_eq!(clock.now(), ms(2000));
    }
}
