//! Reads a history and says which promise it breaks.
//!
//! A key is a write-once cell, and what is promised of one key does not depend on another, so each
//! key is judged alone. Each rule is a function with a name; none looks at what Semel thinks of
//! itself, except for the two that are about the store's own contract. Time is the observer's.

mod answers;
mod effects;
mod ends;
mod fences;
mod linear;
mod story;

use std::fmt;

pub use linear::{Judged, OPEN_MAX, linear};
pub use story::{Call, Story};

use crate::history::{Happened, History, KeyName};

/// What was promised, in milliseconds of the observer's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Replies can be replayed for this long after the settle.
    pub retention_ms: u64,
    /// Keys are known for this long after the settle.
    pub memory_ms: u64,
    /// How much earlier either may end because the store's clock was wrong within what is allowed.
    pub clock_error_ms: u64,
    /// Executions that a policy of running again may start.
    pub attempts_max: usize,
    /// Whether the upstream does each derived key at most once.
    pub honours_key: bool,
    /// Everything must have ended by so long after the last fault.
    pub liveness_ms: u64,
}

impl Terms {
    /// Whether something at `later` still falls into the memory of a settle that was not before
    /// `earlier`.
    #[must_use]
    pub fn remembered(&self, earlier: u64, later: u64) -> bool {
        let memory = self.memory_ms.saturating_sub(self.clock_error_ms);
        later < earlier.saturating_add(memory)
    }
}

/// The rules, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// At most one effect per key and memory; under a policy of running again, as many as it allows.
    OneEffect,
    /// All replies that callers get for a key are equal.
    Agreement,
    /// A reply was made by the upstream for this key before a caller got it.
    ProvenReply,
    /// What a caller was told holds for every call that begins later, through every crash.
    RealTime,
    /// One body gets definite answers; any other gets a mismatch.
    Fingerprint,
    /// "In flight" is only said while something may be.
    InProgress,
    /// Fences only rise, one execution each, and nothing is settled under an old one.
    Fence,
    /// Replies and keys are not forgotten early.
    Forgetting,
    /// Nobody gets another's reply.
    Isolation,
    /// Once faults end, every call is answered and every key settles.
    Liveness,
    /// A void key never ran and never runs.
    VoidIsFinal,
    /// Who was told that nothing happened was told the truth.
    HonestRelease,
    /// The store applies nothing past its deadline.
    Deadline,
    /// Nothing is written to a store of another incarnation.
    Incarnation,
    /// Some order of a key's calls explains all answers: a search, beside the rules.
    Linear,
    /// A store opens again after everything that it promises to survive. Said of no key: of the
    /// first.
    Reopens,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Of which key.
    pub key: KeyName,
    /// When it showed.
    pub at: u64,
    /// How.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} at {}: {}", self.rule, self.key, self.at, self.text)
    }
}

type Check = fn(&Story, &Terms, &mut Found<'_>);

const CHECKS: [(Rule, Check); 14] = [
    (Rule::OneEffect, effects::one_effect),
    (Rule::Agreement, answers::agreement),
    (Rule::ProvenReply, answers::proven_reply),
    (Rule::RealTime, answers::real_time),
    (Rule::Fingerprint, answers::fingerprint),
    (Rule::InProgress, answers::in_progress),
    (Rule::Fence, fences::fence),
    (Rule::Forgetting, ends::forgetting),
    (Rule::Isolation, answers::isolation),
    (Rule::Liveness, ends::liveness),
    (Rule::VoidIsFinal, effects::void_is_final),
    (Rule::HonestRelease, effects::honest_release),
    (Rule::Deadline, fences::deadline),
    (Rule::Incarnation, fences::incarnation),
];

/// Collects what one rule finds at one key.
struct Found<'a> {
    rule: Rule,
    key: KeyName,
    violations: &'a mut Vec<Violation>,
}

impl Found<'_> {
    fn add(&mut self, at: u64, text: impl Into<String>) {
        self.violations.push(Violation { rule: self.rule, key: self.key, at, text: text.into() });
    }
}

/// Every violation of every rule, key by key.
#[must_use]
pub fn check(history: &History, terms: &Terms) -> Vec<Violation> {
    let mut violations = Vec::new();
    for entry in &history.0 {
        if let Happened::Unopened { why } = &entry.what {
            let (at, text) = (entry.at, format!("the store does not open: {why}"));
            let key = KeyName { tenant: 0, key: 0 };
            violations.push(Violation { rule: Rule::Reopens, key, at, text });
        }
    }
    violations.extend(linear(history, terms).0);
    for story in story::stories(history) {
        for (rule, check) in CHECKS {
            let mut found = Found { rule, key: story.key, violations: &mut violations };
            check(&story, terms, &mut found);
        }
    }
    violations
}
