//! A history sorted by key.

use std::collections::BTreeMap;

use semel_core::State;

use super::Terms;
use crate::history::{Happened, Heard, History, KeyName, Op, Outcome, Verb};

/// A call with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub op: Op,
    /// What was asked.
    pub verb: Verb,
    /// When it was sent.
    pub invoked: u64,
    /// When and how it was answered; `None`: never.
    pub returned: Option<(u64, Outcome)>,
}

impl Call {
    /// The body, if it asked to run.
    #[must_use]
    pub const fn body(&self) -> Option<u8> {
        match self.verb {
            Verb::Run { body } => Some(body),
            Verb::Void | Verb::Ack | Verb::Inquire | Verb::ResolveDone | Verb::ResolveReleased => {
                None
            }
        }
    }

    /// The reply of the operation, if it was given one.
    #[must_use]
    pub const fn heard(&self) -> Option<(u64, Heard)> {
        match self.returned {
            Some((at, Outcome::Executed { heard, .. } | Outcome::Replayed(heard))) => {
                Some((at, heard))
            }
            _ => None,
        }
    }
}

/// A handler's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// When.
    pub at: u64,
    /// For which call.
    pub op: Op,
    /// Under which fence.
    pub fence: u64,
    /// Under a policy of running again.
    pub rerun: bool,
}

/// An effect or a reply at the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: u64,
    /// Under which fence.
    pub fence: u64,
    /// The effect's number or the reply's digest.
    pub value: u64,
}

/// A write that the store acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// When.
    pub at: u64,
    /// Of the record.
    pub fence: u64,
    /// Of the record.
    pub revision: u32,
    /// `None`: deleted.
    pub state: Option<State>,
    /// How far past its deadline.
    pub late_ms: u64,
    /// In a store of another incarnation.
    pub foreign: bool,
}

/// All that happened to one key, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The key.
    pub key: KeyName,
    /// By the time they were sent.
    pub calls: Vec<Call>,
    /// Executions.
    pub begins: Vec<Begin>,
    /// What the upstream did.
    pub effects: Vec<Seen>,
    /// What it answered.
    pub replies: Vec<Seen>,
    /// What the store acknowledged.
    pub written: Vec<Written>,
    /// Where the record came to rest: when, the state, and whether all was resolved.
    pub rests: Vec<(u64, Option<State>, bool)>,
    /// When the last fault was over.
    pub healed: Option<u64>,
}

impl Story {
    fn new(key: KeyName) -> Self {
        Self {
            key,
            calls: Vec::new(),
            begins: Vec::new(),
            effects: Vec::new(),
            replies: Vec::new(),
            written: Vec::new(),
            rests: Vec::new(),
            healed: None,
        }
    }

    /// When the upstream made the reply that a caller got at `told`; not later than its settle. An
    /// upstream that honours keys gives the same reply again to an operation that Semel has
    /// forgotten, so the first one within memory counts.
    #[must_use]
    pub fn made(&self, digest: u64, told: u64, terms: &Terms) -> Option<u64> {
        let mut made = self.replies.iter().filter(|r| r.value == digest && r.at <= told);
        let last = made.clone().next_back();
        made.find(|reply| terms.remembered(reply.at, told)).or(last).map(|reply| reply.at)
    }

    /// When the operation came to its end, at the earliest, for a call that was told at `told` that
    /// it had: the last thing that the upstream did before.
    #[must_use]
    pub fn ended_before(&self, told: u64) -> Option<u64> {
        let seen = self.replies.iter().chain(&self.effects).map(|seen| seen.at);
        seen.filter(|at| *at <= told).max()
    }
}

fn of(stories: &mut BTreeMap<KeyName, Story>, key: KeyName) -> &mut Story {
    stories.entry(key).or_insert_with(|| Story::new(key))
}

/// One story for each key, in the order of the keys.
pub(super) fn stories(history: &History) -> Vec<Story> {
    let mut stories: BTreeMap<KeyName, Story> = BTreeMap::new();
    let mut calls: BTreeMap<Op, (KeyName, usize)> = BTreeMap::new();
    let mut healed = None;
    for entry in &history.0 {
        let at = entry.at;
        match &entry.what {
            Happened::Invoke { op, key, verb, .. } => {
                let story = of(&mut stories, *key);
                calls.insert(*op, (*key, story.calls.len()));
                story.calls.push(Call { op: *op, verb: *verb, invoked: at, returned: None });
            }
            Happened::Return { op, outcome } => {
                if let Some((key, n)) = calls.get(op) {
                    of(&mut stories, *key).calls[*n].returned = Some((at, *outcome));
                }
            }
            Happened::Began { op, key, fence, rerun } => {
                of(&mut stories, *key).begins.push(Begin {
                    at,
                    op: *op,
                    fence: *fence,
                    rerun: *rerun,
                });
            }
            Happened::Effect { key, fence, effect } => {
                of(&mut stories, *key).effects.push(Seen { at, fence: *fence, value: *effect });
            }
            Happened::Replied { key, fence, digest, .. } => {
                of(&mut stories, *key).replies.push(Seen { at, fence: *fence, value: *digest });
            }
            Happened::Stored { key, fence, revision, state, late_ms, foreign } => {
                of(&mut stories, *key).written.push(Written {
                    at,
                    fence: *fence,
                    revision: *revision,
                    state: *state,
                    late_ms: *late_ms,
                    foreign: *foreign,
                });
            }
            Happened::Rests { key, state, last } => {
                of(&mut stories, *key).rests.push((at, *state, *last))
            }
            Happened::Struck { .. } | Happened::Unopened { .. } => {}
            Happened::Healed => healed = Some(at),
        }
    }
    let mut stories: Vec<Story> = stories.into_values().collect();
    for story in &mut stories {
        story.healed = healed;
    }
    stories
}
