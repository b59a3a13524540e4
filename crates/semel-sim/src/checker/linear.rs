//! A second opinion: is there an order of the calls of one key, each at a moment between its start and
//! its answer, in which a plain write-once cell gives all these answers?
//!
//! The rules beside this one were derived one by one from the promises; this one searches (Wing and Gong
//! 1993, in the form of Lowe 2017: calls are put in order as late as possible, when one returns). It
//! reads the history by itself and knows nothing of stores, fences or the upstream. It does not search
//! where more than [`OPEN_MAX`] calls are open at once, a call without a certain answer being open for
//! ever, and ends where the first record of a key may be forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::{Rule, Terms, Violation};
use crate::history::{Happened, History, KeyName, Op, Outcome, Verb};

/// Calls open at once that are still searched.
pub const OPEN_MAX: usize = 12;

/// The cell: what a key is to its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// Nothing has ended: unseen, in flight, in doubt or released.
    Open,
    /// It happened. The reply and the body, as far as somebody was told.
    Ended { digest: Option<u64>, body: Option<u8> },
    /// It happened, and the reply is gone.
    Gone,
    /// It will never run.
    Void,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    op: Op,
    verb: Verb,
    /// `None`: whether and when it did something is known to nobody.
    told: Option<Outcome>,
}

/// The cells that a call can leave behind when it takes `cell` and gives its answer.
fn after(cell: Cell, call: &Open) -> Option<Cell> {
    match (call.verb, call.told) {
        (Verb::Run { body }, None) => ends(cell, None, Some(body)),
        (Verb::ResolveDone, None | Some(Outcome::Accepted)) => ends(cell, None, None),
        (Verb::Void, None | Some(Outcome::Voided)) => {
            matches!(cell, Cell::Open | Cell::Void).then_some(Cell::Void)
        }
        (Verb::Ack, None | Some(Outcome::Accepted)) => {
            matches!(cell, Cell::Ended { .. } | Cell::Gone).then_some(Cell::Gone)
        }
        (Verb::ResolveReleased | Verb::Inquire, None) => Some(cell),
        (verb, Some(outcome)) => told(cell, verb, outcome),
    }
}

fn ends(cell: Cell, digest: Option<u64>, body: Option<u8>) -> Option<Cell> {
    (cell == Cell::Open).then_some(Cell::Ended { digest, body })
}

fn told(cell: Cell, verb: Verb, outcome: Outcome) -> Option<Cell> {
    let asked = match verb {
        Verb::Run { body } => Some(body),
        _ => None,
    };
    match outcome {
        Outcome::Executed { heard, .. } => match cell {
            Cell::Open => ends(cell, Some(heard.digest), asked),
            // Somebody had said so already, without the reply or the body.
            Cell::Ended { .. } => same(cell, heard.digest, asked, true),
            Cell::Gone | Cell::Void => None,
        },
        Outcome::Replayed(heard) => same(cell, heard.digest, asked, false),
        Outcome::Released | Outcome::InFlight | Outcome::InDoubt => {
            (cell == Cell::Open).then_some(cell)
        }
        Outcome::Accepted if verb == Verb::ResolveReleased => (cell == Cell::Open).then_some(cell),
        Outcome::Mismatch => match cell {
            Cell::Ended { body, .. } => (body.is_none() || body != asked).then_some(cell),
            Cell::Open | Cell::Gone => Some(cell),
            Cell::Void => None,
        },
        Outcome::NotKept => matches!(cell, Cell::Ended { .. }).then_some(cell),
        Outcome::Spent => matches!(cell, Cell::Ended { .. } | Cell::Gone).then_some(Cell::Gone),
        Outcome::Void => (cell == Cell::Void).then_some(cell),
        Outcome::Standing("completed") => matches!(cell, Cell::Ended { .. }).then_some(cell),
        Outcome::Standing("spent") => {
            matches!(cell, Cell::Ended { .. } | Cell::Gone).then_some(Cell::Gone)
        }
        Outcome::Standing("void") => (cell == Cell::Void).then_some(cell),
        Outcome::Standing("absent" | "in-flight" | "in-doubt") => {
            (cell == Cell::Open).then_some(cell)
        }
        Outcome::Standing(_)
        | Outcome::Doubted
        | Outcome::TooOld
        | Outcome::TooNew
        | Outcome::Unavailable
        | Outcome::Unknown
        | Outcome::Voided
        | Outcome::Accepted
        | Outcome::Refused => Some(cell),
    }
}

/// `fills`: only what was not known before may be said now.
fn same(cell: Cell, digest: u64, asked: Option<u8>, fills: bool) -> Option<Cell> {
    let Cell::Ended { digest: known, body } = cell else { return None };
    let fits = known.is_none_or(|known| known == digest && !fills)
        && (body.is_none() || asked.is_none() || body == asked);
    fits.then_some(Cell::Ended { digest: Some(digest), body: body.or(asked) })
}

/// Whether the call may act long after its caller has stopped listening.
const fn uncertain(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Unknown | Outcome::Unavailable | Outcome::Doubted)
}

/// One key while it is searched.
#[derive(Debug)]
struct Search {
    until: u64,
    open: [Option<Open>; OPEN_MAX],
    /// Each cell that is possible, with the open calls that have acted.
    possible: BTreeSet<(Cell, u16)>,
    /// It is not judged any further.
    over: bool,
}

impl Search {
    fn begins(&mut self, call: Open) {
        match self.open.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(call),
            None => self.over = true,
        }
    }

    /// False: no order explains the answer.
    fn returns(&mut self, op: Op) -> bool {
        let is_it = |slot: &Option<Open>| slot.is_some_and(|call| call.op == op);
        let Some(place) = self.open.iter().position(is_it) else { return true };
        let mut reached = self.possible.clone();
        let mut todo: Vec<(Cell, u16)> = reached.iter().copied().collect();
        while let Some((cell, acted)) = todo.pop() {
            // Whatever may act after this one may as well be put in order later.
            if acted & (1 << place) != 0 {
                continue;
            }
            for (n, call) in self.open.iter().enumerate() {
                let Some(call) = call.filter(|_| acted & (1 << n) == 0) else { continue };
                if let Some(next) = after(cell, &call).map(|cell| (cell, acted | 1 << n))
                    && reached.insert(next)
                {
                    todo.push(next);
                }
            }
        }
        let acted = reached.into_iter().filter(|(_, acted)| acted & (1 << place) != 0);
        self.possible = acted.map(|(cell, acted)| (cell, acted & !(1 << place))).collect();
        if let Some(slot) = self.open.get_mut(place) {
            *slot = None;
        }
        !self.possible.is_empty()
    }
}

/// How many keys were judged to the end of their memory, and how many were left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Searched.
    pub searched: usize,
    /// With too many calls open at once.
    pub left: usize,
}

/// Searches each key of `history`.
#[must_use]
pub fn linear(history: &History, terms: &Terms) -> (Vec<Violation>, Judged) {
    let answers: BTreeMap<Op, Outcome> = (history.0.iter())
        .filter_map(|entry| match entry.what {
            Happened::Return { op, outcome } => Some((op, outcome)),
            _ => None,
        })
        .collect();
    let memory = terms.memory_ms.saturating_sub(terms.clock_error_ms);
    let mut keys: BTreeMap<Op, KeyName> = BTreeMap::new();
    let mut searches: BTreeMap<KeyName, Search> = BTreeMap::new();
    let (mut violations, mut judged) = (Vec::new(), Judged::default());
    for entry in &history.0 {
        match entry.what {
            Happened::Invoke { op, key, verb, .. } => {
                keys.insert(op, key);
                let told = answers.get(&op).copied().filter(|outcome| !uncertain(*outcome));
                let search = searches.entry(key).or_insert_with(|| Search {
                    until: entry.at.saturating_add(memory),
                    open: [None; OPEN_MAX],
                    possible: BTreeSet::from([(Cell::Open, 0)]),
                    over: false,
                });
                if !search.over && entry.at < search.until {
                    search.begins(Open { op, verb, told });
                    judged.left += usize::from(search.over);
                }
            }
            Happened::Return { op, outcome } if !uncertain(outcome) => {
                let Some((key, search)) =
                    keys.get(&op).and_then(|key| Some((*key, searches.get_mut(key)?)))
                else {
                    continue;
                };
                if search.over || entry.at >= search.until || search.returns(op) {
                    continue;
                }
                search.over = true;
                let text =
                    format!("no order of the calls explains what op{op} was told: {outcome:?}");
                violations.push(Violation { rule: Rule::Linear, key, at: entry.at, text });
            }
            _ => {}
        }
    }
    judged.searched = searches.len() - judged.left;
    (violations, judged)
}
