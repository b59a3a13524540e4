//! The switches for trouble: what may go wrong between a payment and its reply.
//!
//! A trouble is drawn by a request that is about to have its effect: its credential and parameters
//! are good, its card was not declined. Trouble must never change the books by itself; it only
//! decides when a reply leaves, and whether.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;

use crate::error::ApiError;
use crate::reply;
use crate::serve::{Lost, truncated};

/// Exhausted troubles that are still listed, with their counts.
const MAX_LISTED: usize = 256;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The effect waits this long.
    Slow(Duration),
    /// The effect is done at once, and the reply waits this long.
    SlowReply(Duration),
    /// 500, and nothing happened.
    FailBefore,
    /// The effect is done, and the reply is a 500.
    FailAfter,
    /// The effect is done, and the connection is closed without a byte of a reply.
    DropReply,
    /// The effect is done, and the connection is closed after half of the reply's body.
    Truncate,
    /// The effect is done, and the process dies before it replies: see [`Troubles::on_death`].
    Die,
}

/// Which requests a trouble strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Charges and refunds.
    Writes,
    /// `POST /v1/charges`.
    Charges,
    /// `POST /v1/refunds`.
    Refunds,
    /// The `GET` routes under `/v1`.
    Reads,
}

impl Target {
    fn covers(self, request: Self) -> bool {
        self == request || (self == Self::Writes && request != Self::Reads)
    }
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What goes wrong.
    pub kind: Kind,
    /// How often; `None` stands until it is removed.
    pub times: Option<u32>,
    /// For which requests.
    pub on: Target,
    /// Only for a charge or refund that carries all of these metadata pairs.
    pub metadata: BTreeMap<String, String>,
}

impl Trouble {
    /// Strikes the next charge or refund.
    #[must_use]
    pub fn once(kind: Kind) -> Self {
        Self { kind, times: Some(1), on: Target::Writes, metadata: BTreeMap::new() }
    }

    /// Strikes every charge and refund until it is removed.
    #[must_use]
    pub fn standing(kind: Kind) -> Self {
        Self { times: None, ..Self::once(kind) }
    }
}

/// Names a switch; never used again by the same [`Troubles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TroubleId(pub u64);

/// A switch and how often it struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub id: TroubleId,
    /// What was set.
    pub trouble: Trouble,
    /// How often it struck so far.
    pub struck: u32,
}

impl Standing {
    /// How often it will still strike; `None` is without end.
    #[must_use]
    pub fn left(&self) -> Option<u32> {
        self.trouble.times.map(|times| times.saturating_sub(self.struck))
    }
}

/// All switches of a service. A clone is a handle on the same switches.
///
/// Over HTTP, `POST /_trouble` with a JSON object adds one and answers 201 with it:
///
/// | member | value |
/// |---|---|
/// | `kind` | `slow`, `slow_reply`, `fail_before`, `fail_after`, `drop_reply`, `truncate`, `die` |
/// | `delay_ms` | for `slow` and `slow_reply` only, and there required: at most 600,000 |
/// | `times` | how often, default 1 |
/// | `standing` | `true` instead of `times`: until removed |
/// | `on` | `writes` (default), `charges`, `refunds`, `reads` |
/// | `metadata` | an object of texts: only requests that carry these metadata pairs |
///
/// `GET /_trouble` lists them with `id`, `struck` and `left`; `DELETE /_trouble/{id}` removes one
/// and `DELETE /_trouble` all. An unknown member is refused with 400.
///
/// A request meets every delay that is set for it, and of the other kinds the one that was set
/// first; the rest wait for the next request.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    board: Arc<Mutex<Board>>,
}

#[derive(Default)]
struct Board {
    last: u64,
    switches: Vec<Standing>,
    on_death: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("switches", &self.switches).finish_non_exhaustive()
    }
}

impl Troubles {
    /// No trouble.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a switch.
    pub fn add(&self, trouble: Trouble) -> TroubleId {
        let mut board = self.board();
        if board.switches.len() >= MAX_LISTED
            && let Some(at) = board.switches.iter().position(|s| s.left() == Some(0))
        {
            board.switches.remove(at);
        }
        board.last += 1;
        let id = TroubleId(board.last);
        board.switches.push(Standing { id, trouble, struck: 0 });
        id
    }

    /// Removes a switch; `false` if there is none of that name.
    pub fn remove(&self, id: TroubleId) -> bool {
        let mut board = self.board();
        let before = board.switches.len();
        board.switches.retain(|s| s.id != id);
        board.switches.len() < before
    }

    /// Removes every switch.
    pub fn clear(&self) {
        self.board().switches.clear();
    }

    /// Every switch, oldest first, with those that have struck their last.
    #[must_use]
    pub fn list(&self) -> Vec<Standing> {
        self.board().switches.clone()
    }

    /// What [`Kind::Die`] does: a binary exits here. Where nothing is set, or it returns,
    /// [`crate::serve`] closes its listener and all connections and drops the work in hand, which
    /// is what a client sees of a dead process.
    pub fn on_death(&self, exit: impl Fn() + Send + Sync + 'static) {
        self.board().on_death = Some(Arc::new(exit));
    }

    pub(crate) fn die(&self) {
        let exit = self.board().on_death.clone();
        if let Some(exit) = exit {
            exit();
        }
    }

    /// Draws for one request, and counts.
    pub(crate) fn draw(&self, request: Target, metadata: &BTreeMap<String, String>) -> Strike {
        let mut strike = Strike::default();
        for switch in &mut self.board().switches {
            let trouble = &switch.trouble;
            let meant = trouble.on.covers(request)
                && trouble.metadata.iter().all(|(name, value)| metadata.get(name) == Some(value));
            if !meant || switch.left() == Some(0) {
                continue;
            }
            match trouble.kind {
                Kind::Slow(delay) => strike.before += delay,
                Kind::SlowReply(delay) => strike.after += delay,
                _ if strike.ending.is_some() => continue,
                ending => strike.ending = Some(ending),
            }
            switch.struck += 1;
        }
        strike
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Each change to the board is one step: a poisoned lock still guards a whole board.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The trouble of one request.
#[derive(Debug, Default)]
pub(crate) struct Strike {
    before: Duration,
    after: Duration,
    ending: Option<Kind>,
}

impl Strike {
    /// What comes before the effect.
    pub(crate) async fn before(&self) -> Result<(), ApiError> {
        if !self.before.is_zero() {
            tokio::time::sleep(self.before).await;
        }
        if self.ending == Some(Kind::FailBefore) {
            return Err(ApiError::FailedBefore);
        }
        Ok(())
    }

    /// What comes after it: the reply, or what is left of it.
    pub(crate) async fn after(self, status: StatusCode, body: &Value) -> Response {
        if !self.after.is_zero() {
            tokio::time::sleep(self.after).await;
        }
        match self.ending {
            Some(Kind::FailAfter) => ApiError::FailedAfter.into_response(),
            Some(Kind::DropReply) => Lost::Reply.into_response(),
            Some(Kind::Die) => Lost::Process.into_response(),
            Some(Kind::Truncate) => truncated(status, body.to_string()),
            _ => reply::json(status, body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_switch_strikes_as_often_as_it_was_set_and_counts() {
        let troubles = Troubles::new();
        let id = troubles.add(Trouble { times: Some(2), ..Trouble::once(Kind::DropReply) });
        for expected in [Some(Kind::DropReply), Some(Kind::DropReply), None] {
            assert_eq!(troubles.draw(Target::Charges, &pairs(&[])).ending, expected);
        }
        let [standing] = troubles.list().try_into().unwrap();
        assert_eq!((standing.id, standing.struck, standing.left()), (id, 2, Some(0)));

        let standing = troubles.add(Trouble::standing(Kind::FailBefore));
        for _ in 0..5 {
            assert!(troubles.draw(Target::Refunds, &pairs(&[])).ending.is_some());
        }
        assert!(troubles.remove(standing));
        assert!(!troubles.remove(standing));
        assert_eq!(troubles.draw(Target::Refunds, &pairs(&[])).ending, None);
    }

    #[test]
    fn a_switch_strikes_only_what_it_was_set_for() {
        let troubles = Troubles::new();
        troubles.add(Trouble { on: Target::Refunds, ..Trouble::standing(Kind::Die) });
        troubles.add(Trouble { on: Target::Reads, ..Trouble::standing(Kind::Truncate) });
        let run = pairs(&[("run", "1"), ("lane", "with")]);
        troubles.add(Trouble { metadata: run, ..Trouble::standing(Kind::DropReply) });
        let draw = |request, metadata: &[_]| troubles.draw(request, &pairs(metadata)).ending;
        assert_eq!(draw(Target::Charges, &[]), None);
        assert_eq!(draw(Target::Charges, &[("run", "1")]), None);
        assert_eq!(draw(Target::Charges, &[("run", "2"), ("lane", "with")]), None);
        let all = [("run", "1"), ("lane", "with"), ("other", "x")];
        assert_eq!(draw(Target::Charges, &all), Some(Kind::DropReply));
        assert_eq!(draw(Target::Refunds, &[]), Some(Kind::Die));
        assert_eq!(draw(Target::Reads, &[]), Some(Kind::Truncate));
    }

    #[test]
    fn delays_add_up_and_the_second_ending_waits_for_the_next_request() {
        let troubles = Troubles::new();
        let second = Duration::from_secs(1);
        for kind in [Kind::Slow(second), Kind::FailAfter, Kind::Slow(second), Kind::DropReply] {
            troubles.add(Trouble::once(kind));
        }
        let first = troubles.draw(Target::Charges, &pairs(&[]));
        assert_eq!((first.before, first.ending), (2 * second, Some(Kind::FailAfter)));
        let next = troubles.draw(Target::Charges, &pairs(&[]));
        assert_eq!((next.before, next.ending), (Duration::ZERO, Some(Kind::DropReply)));
    }

    #[test]
    fn the_list_is_bounded_by_dropping_what_has_struck_its_last() {
        let troubles = Troubles::new();
        let standing = troubles.add(Trouble { on: Target::Reads, ..Trouble::standing(Kind::Die) });
        for _ in 0..2 * MAX_LISTED {
            troubles.add(Trouble::once(Kind::FailBefore));
            let _ = troubles.draw(Target::Charges, &pairs(&[]));
        }
        let listed = troubles.list();
        assert_eq!(listed.len(), MAX_LISTED);
        assert_eq!(listed[0].id, standing);
    }
}
