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
    ///
    /// The two clocks cannot be read at one moment, and the process may be held up in between. So
    /// monotonic time is read on both sides of the wall clock, and each bound takes the side from
    /// which a pause cannot look like a clock that was set.
    pub fn read(&mut self) -> Reading {
        let before = self.clock.monotonic();
        let wall = self.clock.now();
        let monotonic = self.clock.monotonic();
        let passed = before.as_ms().saturating_sub(self.high.monotonic.as_ms());
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
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::SeqCst;

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

    /// A clock of a process that is held up for a while behind its next look, once.
    #[derive(Debug)]
    struct HeldUp {
        manual: ManualClock,
        /// After this many looks from now; the last of them is the one behind which time passes.
        at_look: AtomicU64,
        by: Span,
    }

    impl HeldUp {
        fn looked<T>(&self, seen: T) -> T {
            let left = self.at_look.load(SeqCst);
            self.at_look.store(left.saturating_sub(1), SeqCst);
            if left == 1 {
                self.manual.advance(self.by);
            }
            seen
        }
    }

    impl WallClock for HeldUp {
        fn now(&self) -> Timestamp {
            self.looked(self.manual.now())
        }

        fn monotonic(&self) -> Span {
            self.looked(self.manual.monotonic())
        }
    }

    /// A virtual machine that stood still between two looks of one reading made the wall clock seem
    /// to stand behind: a deletion was refused, and a time was given out that had not come.
    #[test]
    fn a_pause_within_a_reading_is_no_clock_set_back() {
        for at_look in 1..=4 {
            let manual = ManualClock::at(START);
            let by = Span::from_secs(10);
            let clock = Arc::new(HeldUp { manual, at_look: AtomicU64::new(0), by });
            let mut store = StoreClock::new(clock.clone(), Timestamp::ZERO);
            clock.at_look.store(at_look, SeqCst);
            for _ in 0..3 {
                let reading = store.read();
                assert_eq!(reading.deletion_paused, None, "held up behind look {at_look}");
                assert!(reading.at <= clock.manual.now(), "held up behind look {at_look}");
            }
        }
    }
}
