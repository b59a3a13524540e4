//! The search: breadth first, so the first trace of a violation is a shortest one.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use super::moves::Next;
use super::properties::{Broken, Property, at_rest};
use super::state::Model;
use super::store::successors;
use super::world::World;

/// A fast hash that is the same in every run.
#[derive(Default, Clone)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u8(*byte);
        }
    }
    fn write_u8(&mut self, x: u8) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(x)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    fn write_isize(&mut self, x: isize) {
        self.write_u8(x as u8);
    }
    fn write_usize(&mut self, x: usize) {
        self.write_u8(x as u8);
    }
}

/// The states seen, in the order in which they were found, and how each was reached.
struct Seen {
    states: Vec<Model>,
    from: Vec<(u32, u16)>,
    /// Open addressing over `states`; `u32::MAX` is empty.
    slots: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

impl Seen {
    fn new(start: Model) -> Self {
        let mut seen = Self { states: vec![], from: vec![], slots: vec![EMPTY; 1 << 16] };
        seen.insert(start, (EMPTY, 0));
        seen
    }

    fn slot(&self, state: &Model) -> (usize, bool) {
        let mask = self.slots.len() - 1;
        let hash = BuildHasherDefault::<Mix>::default().hash_one(state);
        let mut slot = (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as usize & mask;
        loop {
            match self.slots[slot] {
                EMPTY => return (slot, false),
                i if self.states[i as usize] == *state => return (slot, true),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn insert(&mut self, state: Model, from: (u32, u16)) {
        let (slot, known) = self.slot(&state);
        if known {
            return;
        }
        self.slots[slot] = self.states.len() as u32;
        self.states.push(state);
        self.from.push(from);
        if self.states.len() * 2 > self.slots.len() {
            self.slots = vec![EMPTY; self.slots.len() * 2];
            for i in 0..self.states.len() {
                let (slot, _) = self.slot(&self.states[i]);
                self.slots[slot] = i as u32;
            }
        }
    }

    /// The way to state `i`, in words.
    fn trace(&self, w: &World, i: usize, last: Option<String>) -> Vec<String> {
        let mut way = vec![];
        let mut at = i;
        while self.from[at].0 != EMPTY {
            way.push(self.from[at]);
            at = self.from[at].0 as usize;
        }
        let mut next = vec![];
        let mut lines: Vec<String> = way
            .iter()
            .rev()
            .map(|(parent, edge)| {
                successors(w, &self.states[*parent as usize], true, &mut next);
                next[usize::from(*edge)].label.clone().unwrap_or_default()
            })
            .collect();
        lines.extend(last);
        lines
    }
}

/// A broken property, its shortest trace, and how often it was met.
pub(super) struct Violation {
    pub(super) property: Property,
    pub(super) trace: Vec<String>,
    pub(super) times: u64,
}

/// What a run found.
pub(super) struct Report {
    pub(super) states: usize,
    pub(super) edges: u64,
    /// The bound on states was reached: the absence of a violation proves nothing.
    pub(super) capped: bool,
    pub(super) violations: Vec<Violation>,
}

impl Report {
    pub(super) fn shows(&self, property: Property) -> bool {
        self.violations.iter().any(|v| v.property == property)
    }

    pub(super) fn print(&self, w: &World) {
        let capped = if self.capped { " (capped)" } else { "" };
        println!(
            "model {}: {} states{capped}, {} edges, {} properties broken",
            w.name,
            self.states,
            self.edges,
            self.violations.len()
        );
        for v in &self.violations {
            println!("  {:?}: {} (met {} times)", v.property, v.property.text(), v.times);
            for (i, line) in v.trace.iter().enumerate() {
                println!("    {}. {line}", i + 1);
            }
        }
    }
}

/// Tries everything within the bounds of `w`; with `wanted`, stops once all of those are broken.
pub(super) fn search(w: &World, cap: usize, wanted: &[Property]) -> Report {
    let mut seen = Seen::new(Model::start());
    let mut report = Report { states: 0, edges: 0, capped: false, violations: vec![] };
    let mut next = vec![];
    let mut here = 0;
    while here < seen.states.len() {
        let state = seen.states[here];
        note(&mut report, at_rest(w, &state), || seen.trace(w, here, None));
        successors(w, &state, false, &mut next);
        for (edge, Next { model, broken, .. }) in next.iter().enumerate() {
            report.edges += 1;
            note(&mut report, *broken, || {
                let mut again = vec![];
                successors(w, &state, true, &mut again);
                seen.trace(w, here, again.swap_remove(edge).label)
            });
            // What follows a broken core promise is broken, too, and says nothing more.
            if broken.each().any(Property::ends_the_trace) {
                continue;
            }
            if seen.states.len() < cap {
                seen.insert(*model, (here as u32, edge as u16));
            } else {
                report.capped = true;
            }
        }
        here += 1;
        if !wanted.is_empty() && wanted.iter().all(|p| report.shows(*p)) {
            break;
        }
    }
    report.states = seen.states.len();
    report
}

fn note(report: &mut Report, broken: Broken, trace: impl Fn() -> Vec<String>) {
    for property in broken.each() {
        match report.violations.iter_mut().find(|v| v.property == property) {
            Some(known) => known.times += 1,
            None => report.violations.push(Violation { property, trace: trace(), times: 1 }),
        }
    }
}
