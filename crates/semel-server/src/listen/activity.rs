//! What happens on a connection, and when it has gone on for too long.
//!
//! Kept in a few numbers that each request touches; one timer for each connection looks at them now and
//! then. (A timer of hyper's would be set anew at every request.)

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::bounds::Bounds;

/// A connection's state. Times are milliseconds since it was accepted; 0 is never.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    /// On HTTP/2, what comes in between requests is no head that begins.
    http_2: bool,
    /// Requests that are being answered.
    open: AtomicU32,
    /// Of those, whose replies wait to be taken on.
    held: AtomicU32,
    /// When the last of them was over.
    idle_since: AtomicU64,
    /// When a head began that is not whole yet.
    head_since: AtomicU64,
    /// When the last part of any reply was taken on.
    taken_at: AtomicU64,
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A head did not become whole.
    Head,
    /// Nothing was asked.
    Idle,
    /// No reply is taken on.
    Stuck,
}

/// What the numbers say at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Overdue(Overdue),
    /// Not before so many milliseconds after accepting.
    Until(u64),
}

impl Activity {
    /// Of a connection accepted at `accepted`. Its first head has begun.
    pub(super) const fn new(accepted: Instant, http_2: bool) -> Self {
        Self {
            accepted,
            http_2,
            open: AtomicU32::new(0),
            held: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(1),
            taken_at: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        millis(self.accepted.elapsed()).max(1)
    }

    /// Bytes came.
    pub(super) fn read(&self) {
        if !self.http_2
            && self.open.load(Ordering::Relaxed) == 0
            && self.head_since.load(Ordering::Relaxed) == 0
        {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// A request is whole but for its body.
    pub(super) fn begin(&self) {
        self.head_since.store(0, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Its reply is over, or given up.
    pub(super) fn end(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A part of a reply waits to be taken on.
    pub(super) fn hold(&self) {
        self.taken_at.store(self.now(), Ordering::Relaxed);
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// It was taken on.
    pub(super) fn take(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// Resolves once the connection is to be closed.
    pub(super) async fn overdue(&self, bounds: &Bounds) -> Overdue {
        loop {
            match self.judge(self.now(), bounds) {
                Judged::Overdue(why) => return why,
                Judged::Until(ms) => {
                    tokio::time::sleep_until(self.accepted + Duration::from_millis(ms)).await;
                }
            }
        }
    }

    fn judge(&self, now: u64, bounds: &Bounds) -> Judged {
        let [head, idle, stuck] =
            [bounds.head_time, bounds.keep_alive, bounds.reply_pause].map(millis);
        let open = self.open.load(Ordering::Relaxed);
        let head_since = self.head_since.load(Ordering::Relaxed);
        let (why, due) = if open == 0 && head_since > 0 {
            (Overdue::Head, head_since.saturating_add(head))
        } else if open == 0 {
            (Overdue::Idle, self.idle_since.load(Ordering::Relaxed).saturating_add(idle))
        } else if self.held.load(Ordering::Relaxed) >= open {
            (Overdue::Stuck, self.taken_at.load(Ordering::Relaxed).saturating_add(stuck))
        } else {
            // Nothing is due. Whatever begins from now on is due later than this.
            return Judged::Until(now.saturating_add(head.min(idle).min(stuck).max(1)));
        };
        if due <= now {
            return Judged::Overdue(why);
        }
        // The state may change meanwhile, to one of a shorter time.
        Judged::Until(due.min(now.saturating_add(head.min(idle).min(stuck).max(1))))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        connections_max: 1,
        head_time: Duration::from_millis(300),
        headers_max: 1,
        head_max: 1,
        keep_alive: Duration::from_millis(1000),
        reply_pause: Duration::from_millis(500),
        streams_max: 1,
    };

    fn at(state: &Activity, now: u64) -> Judged {
        state.judge(now, &BOUNDS)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_due_sooner_than_an_idle_connection() {
        let state = Activity::new(Instant::now(), false);
        assert_eq!(at(&state, 100), Judged::Until(301));
        assert_eq!(at(&state, 301), Judged::Overdue(Overdue::Head));
        state.begin();
        assert_eq!(at(&state, 301), Judged::Until(601), "nothing is due while it is answered");
        state.end();
        assert_eq!(at(&state, 900), Judged::Until(1001));
        assert_eq!(at(&state, 1001), Judged::Overdue(Overdue::Idle));
        state.read();
        assert_eq!(
            at(&state, 2000),
            Judged::Overdue(Overdue::Head),
            "a head began, and never ended"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_when_no_reply_is_taken_on_a_connection_is_stuck() {
        let state = Activity::new(Instant::now(), true);
        state.begin();
        state.hold();
        state.begin();
        assert_eq!(at(&state, 5000), Judged::Until(5300), "the other waits for its service");
        state.hold();
        assert_eq!(at(&state, 501), Judged::Overdue(Overdue::Stuck));
        state.take();
        assert_eq!(at(&state, 5000), Judged::Until(5300));
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_rings_when_it_is_due_and_not_before() {
        let began = Instant::now();
        let state = Activity::new(began, false);
        assert_eq!(state.overdue(&BOUNDS).await, Overdue::Head);
        assert_eq!(began.elapsed().as_millis(), 301);
    }
}
