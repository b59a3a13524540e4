//! An honest operator: it says what happened only where it knows, from a look at the upstream's own
//! books.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use semel::core::machine::Resolution;
use semel::core::store::{Filter, Page};
use semel::core::{Doubt, Effect, Record, RecordId, Settled, State, StoredReply};
use semel::engine::settled_reply;

use crate::faults::Fault;
use crate::history::{Happened, KeyName, Verb};
use crate::rng::{Rng, SeededEntropy};
use crate::world::World;

/// Keys looked at in one go.
const PAGE: usize = 100;

/// What the operator remembers between two looks.
#[derive(Debug)]
pub struct Operator {
    rng: Mutex<Rng>,
    /// Since when a key has been seen in doubt under a fence.
    seen: Mutex<BTreeMap<KeyName, (u64, u64)>>,
    entropy: SeededEntropy,
}

impl Operator {
    /// An operator who has seen nothing yet.
    #[must_use]
    pub fn new(rng: &Rng) -> Self {
        let entropy = SeededEntropy::new(rng.fork("operator seals"));
        Self { rng: Mutex::new(rng.fork("operator")), seen: Mutex::default(), entropy }
    }

    /// Looks at every key in doubt through `node` and resolves what it knows about. Returns how many
    /// were in doubt; `None` when the node did not say.
    pub async fn round(&self, world: &Arc<World>, node: usize, thorough: bool) -> Option<usize> {
        let filter = Filter { state: Some(State::InDoubt(Doubt::Lapsed)), before: None };
        let page = Page { after: None, limit: PAGE };
        let listing = world.nodes[node]
            .ask(move |engine| Box::pin(async move { engine.list(filter, page).await }))
            .await?
            .ok()?;
        let in_doubt = listing.records.len();
        for (id, record) in listing.records {
            let Some(key) = world.recorder.name(&id) else { continue };
            let acts = thorough || self.draws(world.options.rate(Fault::Resolved));
            if acts {
                self.resolve(world, node, key, (id, record), thorough).await;
            }
        }
        Some(in_doubt)
    }

    fn draws(&self, per_mille: u32) -> bool {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).chance(per_mille)
    }

    /// For how long, by a clock that nobody moves, the key has been seen in doubt under this fence.
    fn seen_for(&self, world: &World, key: KeyName, fence: u64) -> u64 {
        let now = world.recorder.now_ms();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry(key).or_insert((fence, now));
        if entry.0 != fence {
            *entry = (fence, now);
        }
        now - entry.1
    }

    async fn resolve(
        &self,
        world: &Arc<World>,
        node: usize,
        key: KeyName,
        (id, record): (RecordId, Record),
        thorough: bool,
    ) {
        let policy = &world.options.policy;
        let fence = record.executed_fence.unwrap_or(record.fence);
        let seen_for = self.seen_for(world, key, fence.0);
        // An effect of an earlier life of the key says nothing of this one.
        let of_this_life = |at: u64| at.saturating_add(policy.memory.as_ms() / 2) > fence.0;
        let found = world.sink.look_up(key).filter(|entry| of_this_life(entry.fence));
        let (verb, resolution) = match found {
            Some(entry) => {
                let settled = if self.draws(300) {
                    // Somebody who knows that it happened and has no copy of the reply.
                    let (digest, status) = (None, Some(entry.status));
                    Settled { digest, status, effect: Effect::Done, reply: StoredReply::Unknown }
                } else {
                    let said = (Some(entry.status), Effect::Done, &entry.plain);
                    settled_reply(&world.secret, &self.entropy, &id, fence, None, said)
                };
                (Verb::ResolveDone, Resolution::Done(settled))
            }
            None => {
                let patience = policy.lease.plus(policy.grace()).as_ms();
                // One who cannot wait relies on Semel to refuse it before the grace is over; that
                // is counted by the store's clock, so only where nobody moves that.
                let hasty = !thorough && self.draws(200);
                if seen_for <= patience && !hasty {
                    return;
                }
                (Verb::ResolveReleased, Resolution::Released)
            }
        };
        let op = world.next_op();
        if !thorough {
            world.recorder.struck(Fault::Resolved, format!("{key} {verb:?}"));
        }
        let node_name = u8::try_from(node).unwrap_or(0);
        world.recorder.note(Happened::Invoke { op, node: node_name, key, verb });
        let outcome = world.nodes[node].resolve(id, verb, resolution).await;
        world.recorder.note(Happened::Return { op, outcome });
    }
}
