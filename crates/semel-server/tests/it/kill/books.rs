//! The upstream's own books: what was charged, counted by nobody else.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::chance::Chance;
use crate::harness::Gate;
use crate::harness::upstream::{Script, Seen, after, reply};

/// So many requests at most are held at once: the callers must not all stand still.
const HELD_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Books(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    chance: Chance,
    charges: BTreeMap<String, u64>,
    charged: u64,
    /// Where replies wait until the process that asked for them is dead.
    gate: Gate,
    held: usize,
    holding: bool,
}

impl Books {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Inner {
            chance: Chance::new(seed),
            charges: BTreeMap::new(),
            charged: 0,
            gate: Gate::closed(),
            held: 0,
            holding: true,
        }))
    }

    /// Charges, and answers at once, or only when the asker has died; one request in ten is turned
    /// away before anything happens.
    pub(super) fn charge(&self, seen: &Seen) -> Script {
        let mut inner = self.0.lock().unwrap();
        if inner.chance.below(10) == 0 {
            return reply(429, &[], "busy");
        }
        let order = String::from_utf8(seen.body.clone()).unwrap();
        inner.charged += 1;
        let charge = inner.charged;
        *inner.charges.entry(order.clone()).or_default() += 1;
        let headers = [("X-Charge", format!("ch_{charge}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        // Some replies are longer than a block of the disk.
        let filler = "x".repeat(usize::try_from(inner.chance.below(20_000)).unwrap());
        let told = reply(201, &headers, format!("{order} charge {charge} {filler}"));
        if inner.holding && inner.held < HELD_MAX && inner.chance.below(12) == 0 {
            inner.held += 1;
            return after(&inner.gate, told);
        }
        told
    }

    /// The process is dead: what it waited for goes out to nobody.
    pub(super) fn let_go(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.gate.open();
        inner.gate = Gate::closed();
        inner.held = 0;
    }

    /// From now on all are answered at once.
    pub(super) fn hold_no_more(&self) {
        self.0.lock().unwrap().holding = false;
        self.let_go();
    }

    /// How often `order` was charged.
    pub(super) fn effects(&self, order: &str) -> u64 {
        self.0.lock().unwrap().charges.get(order).copied().unwrap_or(0)
    }

    /// How many orders were charged at all.
    pub(super) fn orders(&self) -> usize {
        self.0.lock().unwrap().charges.len()
    }
}
