//! The store's time, between its answers, and how long it has run evenly.
//!
//! Every answer of a store carries its time. In between the engine adds what its own monotonic timer
//! has counted since that answer *arrived*: an estimate that never runs ahead of the store (unless
//! the store's clock is set back), so a lapse is never judged early.
//!
//! A clock that jumps ahead would end a grace that has not passed: the upstream works on by its own
//! time. So the engine also keeps since when the store's clock and its own timer have run alike, and
//! believes that a grace is over only when it saw all of it.

use std::sync::{Mutex, PoisonError};

use semel_core::{Span, Timestamp};
use tokio::time::{Duration, Instant};

/// A sample older than this gives way to a newer one even if that lags more: the store's clock may
/// have been set back.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(1);

/// Two good clocks drift apart by less within the hours between two resolves; the allowed pause of
/// every policy covers it.
const DRIFT_MAX_MS: i128 = 1000;

#[derive(Debug)]
pub(super) struct StoreTime {
    /// Counts the engine's own time.
    base: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The store's time, and when it arrived.
    sample: (Timestamp, Instant),
    /// The store's clock is ahead of the engine's timer by no more than this: the least that any
    /// answer since `steady_since` allows, each having been written after it was asked for.
    ahead_max_ms: i128,
    steady_since: Instant,
}

impl StoreTime {
    /// From the first answer, which was asked for at `asked`.
    pub(super) fn new(at: Timestamp, asked: Instant) -> Self {
        let now = Instant::now();
        let ahead_max_ms = ahead_ms(at, asked, asked);
        let state = State { sample: (at, now), ahead_max_ms, steady_since: now };
        Self { base: asked, state: Mutex::new(state) }
    }

    /// The store said that it is `at`, asked at `asked`.
    pub(super) fn observe(&self, at: Timestamp, asked: Instant) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Written before it arrived, so at least so far ahead is the store's clock now.
        let ahead_min_ms = ahead_ms(at, now, self.base);
        let ahead_max_ms = ahead_ms(at, asked, self.base);
        if ahead_min_ms > state.ahead_max_ms.saturating_add(DRIFT_MAX_MS) {
            let by_ms = ahead_min_ms - state.ahead_max_ms;
            tracing::warn!(
                by_ms,
                "the store's clock jumped ahead: no key is released before a whole grace has passed from now"
            );
            state.ahead_max_ms = ahead_max_ms;
            state.steady_since = now;
        }
        state.ahead_max_ms = state.ahead_max_ms.min(ahead_max_ms);
        let stale = now.duration_since(state.sample.1) > SAMPLE_AGE_MAX;
        if stale || at > estimate(state.sample, now) {
            state.sample = (at, now);
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        estimate(state.sample, Instant::now())
    }

    /// How much of `span` is missing before the store's clock has been seen to run evenly for all
    /// of it; zero once it has.
    pub(super) fn unseen(&self, span: Span) -> Span {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Span::from(state.steady_since.elapsed());
        Span::from_ms(span.as_ms().saturating_sub(seen.as_ms()))
    }
}

fn ahead_ms(at: Timestamp, when: Instant, base: Instant) -> i128 {
    let own = when.saturating_duration_since(base).as_millis();
    i128::from(at.as_unix_ms()) - i128::try_from(own).unwrap_or(i128::MAX)
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
        let clock = StoreTime::new(ms(1000), Instant::now());
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(clock.now(), ms(1300));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_lagged_does_not_set_it_back() {
        let clock = StoreTime::new(ms(1000), Instant::now());
        tokio::time::advance(Duration::from_millis(300)).await;
        clock.observe(ms(1200), Instant::now());
        assert_eq!(clock.now(), ms(1300));
        clock.observe(ms(1350), Instant::now());
        assert_eq!(clock.now(), ms(1350));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_was_set_back_is_followed_after_a_second() {
        let clock = StoreTime::new(ms(5000), Instant::now());
        tokio::time::advance(Duration::from_millis(1500)).await;
        clock.observe(ms(2000), Instant::now());
        assert_eq!(clock.now(), ms(2000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_no_jump_and_a_jump_begins_the_grace_anew() {
        let clock = StoreTime::new(ms(1000), Instant::now());
        let grace = Span::from_secs(70);
        assert_eq!(clock.unseen(grace), grace, "of the time before the start nothing was seen");
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(clock.unseen(grace), Span::ZERO);

        // Asked at 101 s, written at once, three seconds on the way; then a quick one.
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        clock.observe(ms(101_000), asked);
        clock.observe(ms(104_000), Instant::now());
        assert_eq!(clock.unseen(grace), Span::ZERO);

        clock.observe(ms(104_000 + 1_900_000), Instant::now());
        assert_eq!(clock.unseen(grace), grace);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(clock.unseen(grace), Span::from_secs(40));
    }
}
