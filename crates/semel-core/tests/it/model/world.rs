//! What one run is bounded by: requests, spans, budgets of faults, and which correction is left out.

use semel_core::machine::{Event, Step, step};
use semel_core::{OnLapse, Policy, Record, Timestamp};

use super::state::{BEGIN, CLIENTS, Faults, Model, TICK, at, span};

/// The machine: the real one, or the real one behind a seeded flaw.
pub(super) type Rules = fn(Option<&Record>, &Event, Timestamp, &Policy) -> Step;

/// Corrections around the machine that a run can leave out. All false is the design.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Without {
    /// An executor looks at its lease before it sends.
    pub(super) begin: bool,
    /// A claim that is given up is withdrawn before its caller is answered.
    pub(super) giveup: bool,
    /// The store refuses a write after its deadline.
    pub(super) deadline: bool,
    /// Every call names the life of the store it believes in.
    pub(super) incarnation: bool,
    /// The store stamps writes by its own clock and engines judge by it.
    pub(super) store_clock: bool,
    /// An operator's "it happened" leaves the reply to the executor.
    pub(super) resolve_no_reply: bool,
    /// A status is not proof that nothing happened.
    pub(super) status_is_no_proof: bool,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub(super) name: &'static str,
    pub(super) clients: usize,
    pub(super) nodes: [u8; CLIENTS],
    pub(super) fingerprints: [u8; CLIENTS],
    /// How far each node's estimate of the store's time lags behind it.
    pub(super) lag: [u8; 2],
    /// How far each node's own clock runs ahead. Only heard where `without.store_clock`.
    pub(super) ahead: [u8; 2],
    /// The nodes' policies on a lapse.
    pub(super) rerun: [bool; 2],
    pub(super) attempts: u32,
    /// How many ticks it lasts. All other times are in milliseconds.
    pub(super) end: u8,
    pub(super) lease: u8,
    pub(super) ceiling: u8,
    pub(super) retention: u8,
    pub(super) memory: u8,
    pub(super) upstream: u8,
    pub(super) pause: u8,
    pub(super) skew: u8,
    pub(super) deadline: u8,
    /// The time that the key carries.
    pub(super) key_time: Option<u8>,
    pub(super) budget: Faults,
    /// Requests may give up a claim that got no answer.
    pub(super) giveup: bool,
    /// Executors renew.
    pub(super) renew: bool,
    /// Writes of sweeps, operators and voids may be late, too.
    pub(super) all_late: bool,
    pub(super) without: Without,
    pub(super) rules: Rules,
}

impl World {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            clients: 2,
            nodes: [0, 1, 0],
            fingerprints: [0, 0, 0],
            lag: [0, 0],
            ahead: [0, 0],
            rerun: [false, false],
            attempts: 3,
            end: 6,
            lease: 2 * TICK,
            ceiling: 4 * TICK,
            retention: 3 * TICK,
            memory: 5 * TICK,
            upstream: TICK,
            pause: 0,
            skew: TICK,
            deadline: TICK,
            key_time: None,
            budget: Faults {
                lost: 0,
                crash: 0,
                resolve: 0,
                void: 0,
                empty: 0,
                accept: 0,
                slow: 0,
                cut: 0,
                connect: 0,
                status: 0,
                ack: 0,
                erase: 0,
            },
            giveup: false,
            renew: true,
            all_late: false,
            without: Without {
                begin: false,
                giveup: false,
                deadline: false,
                incarnation: false,
                store_clock: false,
                resolve_no_reply: false,
                status_is_no_proof: false,
            },
            rules: step,
        }
    }

    /// At most one effect is promised: no client runs where both word of the claim and of the
    /// present policy could be Rerun.
    pub(super) fn hold(&self) -> bool {
        let rerun = (0..self.clients).filter(|i| self.rerun[usize::from(self.nodes[*i])]).count();
        rerun < 2
    }

    pub(super) fn policy(&self, node: u8, birth: u8) -> Policy {
        Policy {
            lease: span(self.lease),
            ceiling: span(self.ceiling),
            on_lapse: if self.rerun[usize::from(node)] { OnLapse::Rerun } else { OnLapse::Hold },
            attempts_max: self.attempts,
            retention: span(self.retention),
            memory: span(self.memory),
            max_upstream: span(self.upstream),
            pause: span(self.pause),
            skew: span(self.skew),
            birth: at(birth),
            earlier: None,
            route: None,
        }
    }

    /// The store's time as `node` believes it to be.
    pub(super) fn estimate(&self, s: &Model, node: u8) -> u8 {
        let node = usize::from(node);
        if self.without.store_clock {
            return s.now + self.ahead[node];
        }
        s.now - self.lag[node]
    }

    /// What `node` decides on `event`, seeing the record as it stands.
    pub(super) fn decide(&self, s: &Model, node: u8, event: &Event) -> Step {
        let policy = self.policy(node, s.birth);
        let record = s.record.unpack(&policy);
        (self.rules)(record.as_ref(), event, at(self.estimate(s, node)), &policy)
    }

    /// The nodes that somebody uses.
    pub(super) fn live_nodes(&self) -> impl Iterator<Item = u8> + use<> {
        let used = |n: u8| (0..self.clients).any(|i| self.nodes[i] == n);
        let (zero, one) = (used(0), used(1) || self.lag[1] != 0 || self.ahead[1] != 0);
        [(0, zero), (1, one)].into_iter().filter_map(|(n, on)| on.then_some(n))
    }

    /// The last moment of the run.
    pub(super) const fn last(&self) -> u8 {
        BEGIN + self.end * TICK
    }
}
