//! What happened in a run, as an observer outside of it saw it: calls and answers at the clients,
//! effects at the upstream, writes at the store, faults.
//!
//! The checker reads nothing else. Its text is the trace of a seed: two runs must agree in each byte.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use semel_core::{RecordId, State};
use tokio::time::Instant;

use crate::faults::{Fault, FaultCounts};

/// A key of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName {
    /// Whose.
    pub tenant: u8,
    /// Which of its keys. Two tenants use the same ones.
    pub key: u16,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}/k{}", self.tenant, self.key)
    }
}

/// Names a call of a client.
pub type Op = u32;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To run the operation with this body.
    Run {
        /// Bodies with different numbers have different fingerprints.
        body: u8,
    },
    /// To make sure that it never runs.
    Void,
    /// That its reply be dropped.
    Ack,
    /// Where it stands.
    Inquire,
    /// Says, as an operator, that it happened.
    ResolveDone,
    /// Says, as an operator, that it did not.
    ResolveReleased,
}

/// A reply as a client read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Of all its bytes.
    pub digest: u64,
    /// Whose reply it says it is.
    pub canary: KeyName,
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This call ran it. `kept`: a retry will get the same reply.
    Executed {
        /// The reply.
        heard: Heard,
        /// Whether the record keeps it.
        kept: bool,
    },
    /// It ran before.
    Replayed(Heard),
    /// This call started it, and nothing happened.
    Released,
    /// This call started it, and nobody knows.
    Doubted,
    /// Somebody runs it.
    InFlight,
    /// It may have happened.
    InDoubt,
    /// The key belongs to another body.
    Mismatch,
    /// It ran; the reply is gone.
    Spent,
    /// It ran; the reply was not kept.
    NotKept,
    /// It will never run.
    Void,
    /// The key's own time is too old.
    TooOld,
    /// The key's own time lies ahead.
    TooNew,
    /// Semel could not say (store out of reach, not recorded, stopping).
    Unavailable,
    /// No answer: the connection was cut, the node died, or the client left.
    Unknown,
    /// To a void: it is so.
    Voided,
    /// To an acknowledgement or resolve: written, or so already.
    Accepted,
    /// To a void, acknowledgement or resolve: not in this state, or not yet.
    Refused,
    /// To an inquiry.
    Standing(&'static str),
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A client sent a call.
    Invoke {
        /// Its name.
        op: Op,
        /// The node it went to.
        node: u8,
        /// The key.
        key: KeyName,
        /// The request.
        verb: Verb,
    },
    /// A client has its answer, or knows that none will come.
    Return {
        /// Which call.
        op: Op,
        /// The answer.
        outcome: Outcome,
    },
    /// A handler was started.
    Began {
        /// For which call.
        op: Op,
        /// The key.
        key: KeyName,
        /// Its fence.
        fence: u64,
        /// Whether its node's policy is to run again after a lapse.
        rerun: bool,
    },
    /// The upstream did it.
    Effect {
        /// The key.
        key: KeyName,
        /// The fence that the request carried.
        fence: u64,
        /// Never the same twice.
        effect: u64,
    },
    /// The upstream made this reply.
    Replied {
        /// The key.
        key: KeyName,
        /// The fence that the request carried.
        fence: u64,
        /// Of all its bytes.
        digest: u64,
        /// How many.
        bytes: usize,
    },
    /// The store acknowledged a write.
    Stored {
        /// The key.
        key: KeyName,
        /// Of the record.
        fence: u64,
        /// Of the record.
        revision: u32,
        /// Of the record; `None`: it was deleted.
        state: Option<State>,
        /// By how much the stamp lies behind the deadline of the write.
        late_ms: u64,
        /// By a store of another incarnation than the one that all began with.
        foreign: bool,
    },
    /// A fault struck.
    Struck {
        /// Which.
        fault: Fault,
        /// Where, and how hard.
        detail: String,
    },
    /// The store's process did not start, and not for want of a disk that works.
    Unopened {
        /// What it said.
        why: String,
    },
    /// No more faults from here on.
    Healed,
    /// What the record of a key says once everything had time to end.
    Rests {
        /// The key.
        key: KeyName,
        /// Its state; `None`: there is no record.
        state: Option<State>,
        /// Whether everything that can be resolved was.
        last: bool,
    },
}

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since the start of the run, by a clock that no fault touches.
    pub at: u64,
    /// What.
    pub what: Happened,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} ", self.at)?;
        match &self.what {
            Happened::Invoke { op, node, key, verb } => {
                write!(f, "op{op} {key} -> node{node} {verb:?}")
            }
            Happened::Return { op, outcome } => write!(f, "op{op} <- {outcome:?}"),
            Happened::Began { op, key, fence, rerun } => {
                write!(f, "op{op} {key} began fence {fence} rerun {rerun}")
            }
            Happened::Effect { key, fence, effect } => {
                write!(f, "{key} EFFECT {effect} fence {fence}")
            }
            Happened::Replied { key, fence, digest, bytes } => {
                write!(f, "{key} replied {digest:016x} of {bytes} bytes fence {fence}")
            }
            Happened::Stored { key, fence, revision, state, late_ms, foreign } => {
                let state = state.map_or("deleted", State::name);
                write!(f, "{key} stored {state} {fence}.{revision}")?;
                if *late_ms > 0 {
                    write!(f, " late {late_ms}")?;
                }
                if *foreign { write!(f, " foreign") } else { Ok(()) }
            }
            Happened::Struck { fault, detail } => write!(f, "! {fault:?} {detail}"),
            Happened::Unopened { why } => write!(f, "! the store does not open: {why}"),
            Happened::Healed => write!(f, "! healed"),
            Happened::Rests { key, state, last } => {
                let state = state.map_or("absent", State::name);
                write!(f, "{key} rests {state} last {last}")
            }
        }
    }
}

/// Everything that happened, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(pub Vec<Entry>);

impl History {
    /// For histories written by hand.
    #[must_use]
    pub fn of(entries: Vec<(u64, Happened)>) -> Self {
        Self(entries.into_iter().map(|(at, what)| Entry { at, what }).collect())
    }

    /// How often each fault struck.
    #[must_use]
    pub fn faults(&self) -> FaultCounts {
        let mut counts = FaultCounts::default();
        for entry in &self.0 {
            if let Happened::Struck { fault, .. } = &entry.what {
                counts.add(*fault);
            }
        }
        counts
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// Writes a history while a run goes on.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    entries: Mutex<Vec<Entry>>,
    /// Keys by the names of their records; sorted, so that looking one up costs no order.
    names: std::collections::BTreeMap<RecordId, KeyName>,
}

impl Recorder {
    /// Starts now. `names` tells keys by their records.
    #[must_use]
    pub fn new(names: std::collections::BTreeMap<RecordId, KeyName>) -> Self {
        Self { began: Instant::now(), entries: Mutex::default(), names }
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Writes it down.
    pub fn note(&self, what: Happened) {
        let entry = Entry { at: self.now_ms(), what };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Writes a fault down.
    pub fn struck(&self, fault: Fault, detail: impl Into<String>) {
        self.note(Happened::Struck { fault, detail: detail.into() });
    }

    /// Which key that is.
    #[must_use]
    pub fn name(&self, id: &RecordId) -> Option<KeyName> {
        self.names.get(id).copied()
    }

    /// What has happened so far.
    #[must_use]
    pub fn history(&self) -> History {
        History(self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
