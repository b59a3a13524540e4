//! Reconcile: a doubt is settled by asking the callee what happened.
//!
//! *Found* settles the key with the reply that the look-up gave. *Not found* releases it, and a release
//! is a leave to run again, so it takes more:
//! 1. the look-up sees whatever has happened ([`LookUp::is_consistent`]);
//! 2. the grace is over (the last lease, the longest that the callee may work on, and the allowed
//!    pause), by the store's clock, all of it seen by this engine: before that, a request that is still
//!    under way would be missed;
//! 3. two look-ups, both begun after the grace and at least a second apart, found nothing;
//! 4. the record has not changed since before the first of them.
//!
//! Anything else leaves the doubt. [`super::Reconciler`] asks by itself, with back-off.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use semel_core::machine::{Answer, Event, Resolution, Step, Write, step};
use semel_core::record::{Effect, Record, Settled, State, StoredReply};
use semel_core::store::{BoxFuture, Put, StoreError, Swapped};
use semel_core::{Policy, RecordId, RouteTag, Span, Timestamp};
use tokio::time::{Duration, sleep, timeout};

use super::Engine;
use super::settle::settled_reply;
use super::start::Inner;

/// Between two look-ups that find nothing.
const APART: Duration = Duration::from_secs(1);
/// A look-up that takes longer says nothing.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// A doubt that somebody else writes to meanwhile is read again so often.
const READS_MAX: u32 = 3;

/// Knows how to ask the callee about an operation.
pub trait LookUp: fmt::Debug + Send + Sync + 'static {
    /// Asks. It must change nothing at the callee, and say [`Found::Nothing`] only where the callee says
    /// clearly that it knows of no such operation: not at an error, a time-out, or an answer of another
    /// kind.
    fn look<'a>(&'a self, about: &'a About) -> BoxFuture<'a, Found>;

    /// Whether the callee's answer covers all that has happened by the time that it is asked. One from a
    /// replica that may lag does not, and then *nothing found* releases nothing.
    fn is_consistent(&self) -> bool;
}

/// The operation that a look-up is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its record.
    pub id: RecordId,
    /// The derived key that the callee was shown: [`super::Attempt::key`].
    pub key: String,
    /// How many executions may have reached the callee.
    pub attempts: u32,
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It happened, and this is what its callers are to be told.
    Reply {
        /// The HTTP status, where there is one.
        status: Option<u16>,
        /// The reply, as [`super::Concluded::Reply`] has it.
        plain: Bytes,
    },
    /// It happened; there is no reply to keep.
    Done {
        /// The HTTP status, where there is one.
        status: Option<u16>,
    },
    /// The callee says clearly that it knows of no such operation.
    Nothing,
    /// None of these.
    Unknown {
        /// Why, for the log.
        reason: String,
    },
}

/// What a reconcile came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconciled {
    /// Found: the key is completed.
    Settled,
    /// Not found, and that is proof: the key may run again.
    Released,
    /// Not found, and it proves nothing before this time.
    TooSoon(Timestamp),
    /// Not found, by a look-up whose word is no proof.
    NoProof,
    /// The look-up said nothing certain.
    Unknown,
    /// Somebody else changed the record meanwhile.
    Changed,
    /// The key is not in doubt (any more), or not known at all.
    NotInDoubt,
    /// The key was claimed on another route than the look-up's, or on more than one: what the look-up
    /// says is not about it.
    OtherRoute,
}

impl Reconciled {
    /// The word in metrics and interfaces.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Released => "released",
            Self::TooSoon(_) => "too-soon",
            Self::NoProof => "no-proof",
            Self::Unknown => "unknown",
            Self::Changed => "changed",
            Self::NotInDoubt => "not-in-doubt",
            Self::OtherRoute => "other-route",
        }
    }
}

impl Engine {
    /// Asks `look_up`, which is for operations claimed on `route`, about the key `id`, if that is in
    /// doubt. Takes a little over a second where nothing is found.
    ///
    /// # Errors
    /// When the store does not answer. What was found may then have been written all the same.
    pub async fn reconcile(
        &self,
        id: RecordId,
        route: RouteTag,
        look_up: &dyn LookUp,
    ) -> Result<Reconciled, StoreError> {
        let came = self.0.reconcile(id, route, look_up).await;
        let result = came.as_ref().map_or("store-failed", Reconciled::name);
        metrics::counter!("semel_reconcile_total", "result" => result).increment(1);
        came
    }
}

impl Inner {
    async fn reconcile(
        self: &Arc<Self>,
        id: RecordId,
        route: RouteTag,
        look_up: &dyn LookUp,
    ) -> Result<Reconciled, StoreError> {
        let Some(record) = self.load(id).await?.filter(|record| self.doubts(record)) else {
            return Ok(Reconciled::NotInDoubt);
        };
        if record.route != Some(route) {
            return Ok(Reconciled::OtherRoute);
        }
        let key = self.secret.derived_key(&id, "");
        let about = About { id, key, attempts: record.attempt };
        // Judged before it is asked: what is under way now may happen after the answer.
        let proof_from = self.proof_from(&record);
        let first = look(look_up, &about).await;
        match first {
            Found::Reply { .. } | Found::Done { .. } => self.found(id, record, first).await,
            Found::Unknown { reason } => {
                tracing::info!(record = %id.short(), reason, "a look-up said nothing certain: its key stays in doubt");
                Ok(Reconciled::Unknown)
            }
            Found::Nothing if !look_up.is_consistent() => Ok(Reconciled::NoProof),
            Found::Nothing => match proof_from {
                Some(from) => Ok(Reconciled::TooSoon(from)),
                None => self.not_found(id, record, look_up, &about).await,
            },
        }
    }

    fn doubts(&self, record: &Record) -> bool {
        match record.state {
            State::InDoubt(_) => true,
            State::InFlight => self.clock.now() > record.lease_end(),
            State::Completed | State::Released | State::Spent | State::Voided => false,
        }
    }

    /// From when on "nothing there" is proof; `None` where it is by now.
    fn proof_from(&self, record: &Record) -> Option<Timestamp> {
        let now = self.clock.now();
        let unseen = self.clock.unseen(record.grace.plus(Span::from_ms(1)));
        let from = record.grace_end().max(now.plus(unseen));
        (from > now).then_some(from)
    }

    /// The second look, and the release.
    async fn not_found(
        self: &Arc<Self>,
        id: RecordId,
        record: Record,
        look_up: &dyn LookUp,
        about: &About,
    ) -> Result<Reconciled, StoreError> {
        sleep(APART).await;
        match look(look_up, about).await {
            Found::Nothing => {}
            late @ (Found::Reply { .. } | Found::Done { .. }) => {
                return self.found(id, record, late).await;
            }
            Found::Unknown { .. } => return Ok(Reconciled::Unknown),
        }
        if let Some(from) = self.proof_from(&record) {
            return Ok(Reconciled::TooSoon(from));
        }
        // Against the very record that was read before the first look: whatever was written since may
        // be an execution that neither look has seen.
        match self.resolve_once(id, &record, Resolution::Released).await? {
            Ok(Answer::Resolved) => {
                tracing::info!(record = %id.short(), "released: the callee knows of no such operation");
                Ok(Reconciled::Released)
            }
            Ok(Answer::TooSoon(from)) => Ok(Reconciled::TooSoon(from)),
            Ok(_) => Ok(Reconciled::NotInDoubt),
            Err(_changed) => Ok(Reconciled::Changed),
        }
    }

    /// Settles what was found. It stays true whoever writes meanwhile, as long as the same execution is
    /// in doubt.
    async fn found(
        self: &Arc<Self>,
        id: RecordId,
        record: Record,
        found: Found,
    ) -> Result<Reconciled, StoreError> {
        let fence = record.executed_fence.unwrap_or(record.fence);
        let settled = match found {
            Found::Reply { status, plain } => {
                let entropy = self.config.entropy.as_ref();
                let said = (status, Effect::Done, &plain);
                settled_reply(&self.secret, entropy, &id, fence, None, said)
            }
            Found::Done { status } => {
                let reply = StoredReply::Unknown;
                Settled { digest: None, status, effect: Effect::Done, reply }
            }
            Found::Nothing | Found::Unknown { .. } => {
                unreachable!("only what was found is settled")
            }
        };
        let mut current = record;
        for _ in 0..READS_MAX {
            let resolution = Resolution::Done(settled.clone());
            let changed = match self.resolve_once(id, &current, resolution).await? {
                Ok(Answer::Resolved) => {
                    tracing::info!(record = %id.short(), "settled by what the callee knows of it");
                    return Ok(Reconciled::Settled);
                }
                Ok(_) => return Ok(Reconciled::NotInDoubt),
                Err(changed) => changed,
            };
            match changed {
                Some(now) if now.executed_fence == Some(fence) && self.doubts(&now) => {
                    current = now
                }
                Some(now) if self.doubts(&now) => return Ok(Reconciled::Changed),
                Some(_) | None => return Ok(Reconciled::NotInDoubt),
            }
        }
        Ok(Reconciled::Changed)
    }

    /// One try against exactly this record; else what stands there.
    async fn resolve_once(
        self: &Arc<Self>,
        id: RecordId,
        seen: &Record,
        resolution: Resolution,
    ) -> Result<Result<Answer, Option<Record>>, StoreError> {
        let event = Event::Resolve(resolution);
        let Step { write, answer } = step(Some(seen), &event, self.clock.now(), &Policy::default());
        let Write::Put(record) = write else { return Ok(Ok(answer)) };
        match self.swap(id, Some(seen.version()), Put::Record(record)).await? {
            Swapped::Done { .. } => {
                self.waiters.wake(&id);
                Ok(Ok(answer))
            }
            Swapped::Conflict { current, .. } => Ok(Err(current)),
        }
    }
}

async fn look(look_up: &dyn LookUp, about: &About) -> Found {
    match timeout(LOOK_MAX, look_up.look(about)).await {
        Ok(found) => found,
        Err(_elapsed) => Found::Unknown { reason: "the look-up took too long".to_owned() },
    }
}
