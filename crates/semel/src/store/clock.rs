//! The time of a store: the wall clock, watched.
//!
//! A store stamps each write, judges each deadline and says its time with every answer. That time
//! never runs backwards: the first fence of a key is the time of its claim, so a clock set back
//! could otherwise grant a forgotten key a lower fence than its old owner had. And deleting is never
//! urgent, so a clock that looks wrong stops it: see [`Reading::deletion_paused`].
//!
//! A store reads its clock under the guard that orders its writes, so that the stamps of one key
//! rise with its versions.

use std::sync::Arc;

use semel_core::{Span, Timestamp};

use crate::time::WallClock;

/// How far the wall clock may run ahead of monotonic time before nothing is deleted any more.
pub const AHEAD_MAX: Span = Span::from_secs(3600);

const AHEAD: &str = "the clock ran more than an hour ahead of the time that passed; check it, then restart the store if it is right";
const BEHIND: &str =
    "the clock stands behind a time that this store has already given out; check it";

/// A look at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The store's time.
    pub at: Timestamp,
    /// Why nothing may be deleted at present.
    pub deletion_paused: Option<&'static str>,
}

/// Both times at one moment.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    wall: Timestamp,
    monotonic: Span,
}

/// A wall clock that never runs backwards and knows when it is not to be trusted.
#[derive(Debug)]
pub struct StoreClock {
    clock: Arc<dyn WallClock>,
    opened: Anchor,
    /// The last moment at which the wall clock was not behind.
    high: Anchor,
}

impl StoreClock {
    /// For a store that has given out times up to `high_water`; [`Timestamp::ZERO`] for a new one.
    #[must_use]
    pub fn new(clock: Arc<dyn WallClock>, high_water: Timestamp) -> Self {
        let opened = Anchor { wall: clock.now(), monotonic: clock.monotonic() };
        let high = Anchor { wall: opened.wall.max(high_water), ..opened };
        Self { clock, opened, high }
    }

    /// The store's time now.
    ///
    /// While the wall clock stands behind, the store's time goes on at half the speed of monotonic
    /// time: leases still lapse, and the wall clock always catches up.
    pub fn read(&mut self) -> Reading {
        let wall = self.clock.now();
        let monotonic = self.clock.monotonic();
        let passed = monotonic.as_ms().saturating_sub(self.high.monotonic.as_ms());
        let least = self.high.wall.plus(Span::from_ms(passed / 2));
        if wall < least {
            return Reading { at: least, deletion_paused: Some(BEHIND) };
        }
        self.high = Anchor { wall, monotonic };
        let since_open = monotonic.as_ms().saturating_sub(self.opened.monotonic.as_ms());
        let expected = self.opened.wall.plus(Span::from_ms(since_open));
        let ahead = wall.since(expected) > AHEAD_MAX;
        Reading { at: wall, deletion_paused: ahead.then_some(AHEAD) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    const START: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);
    const HOUR: Span = Span::from_secs(3600);

    fn clocks(high_water: Timestamp) -> (Arc<ManualClock>, StoreClock) {
        let manual = Arc::new(ManualClock::at(START));
        let store = StoreClock::new(manual.clone(), high_water);
        (manual, store)
    }

    #[test]
    fn a_good_clock_is_passed_on() {
        let (manual, mut store) = clocks(Timestamp::ZERO);
        manual.advance(Span::from_secs(90 * 86_400));
        let at = START.plus(Span::from_secs(90 * 86_400));
        assert_eq!(store.read(), Reading { at, deletion_paused: None });
    }

    #[test]
    fn a_jump_of_more_than_an_hour_ahead_pauses_deletion() {
        let (manual, mut store) = clocks(Timestamp::ZERO);
        manual.set(START.plus(HOUR));
        assert_eq!(store.read().deletion_paused, None, "an hour is allowed");
        manual.set(START.plus(HOUR).plus(Span::from_ms(1)));
        assert_eq!(store.read().deletion_paused, Some(AHEAD));
        manual.advance(HOUR);
        assert_eq!(store.read().deletion_paused, Some(AHEAD), "an hour later it is still ahead");
    }

    #[test]
    fn a_clock_set_back_pauses_deletion_and_time_goes_on_at_half_speed() {
        let (manual, mut store) = clocks(Timestamp::ZERO);
        manual.set(START.minus(HOUR));
        assert_eq!(store.read(), Reading { at: START, deletion_paused: Some(BEHIND) });
        for _ in 0..1000 {
            manual.advance(Span::from_ms(1));
            store.read(); // frequent looks must not stop the time
        }
        assert_eq!(store.read().at, START.plus(Span::from_ms(500)));
        manual.advance(HOUR.times(2));
        let reading = store.read();
        assert_eq!(reading.deletion_paused, None, "caught up");
        assert_eq!(reading.at, START.plus(HOUR).plus(Span::from_secs(1)));
    }

    #[test]
    fn a_high_water_mark_of_an_earlier_run_counts() {
        let (_, mut store) = clocks(START.plus(HOUR));
        let at = START.plus(HOUR);
        assert_eq!(store.read(), Reading { at, deletion_paused: Some(BEHIND) });
    }
}
