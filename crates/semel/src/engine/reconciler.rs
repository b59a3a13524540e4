//! The reconciler: asks about every key in doubt whose route has a look-up, by itself.
//!
//! It hears of each doubt as it is written in this process, and lists the store's at its start and
//! every hour, so that a restart, another process on the store, or too many at once lose none. A key is
//! asked about after two seconds, then at growing intervals of up to an hour, each off by up to a
//! quarter; and once right after its grace, where nothing was found before. So many look-ups are under
//! way at once, never more: an upstream that came back is not met by a crowd.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use semel_core::record::{Doubt, Record, State};
use semel_core::store::{BoxFuture, Filter, Page, StoreError};
use semel_core::{RecordId, RouteTag, Span, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until};

use super::Engine;
use super::reconcile::{LookUp, Reconciled};
use super::start::{Inner, Stage};
use crate::entropy::random;

/// Look-ups under way at once.
const AT_ONCE: usize = 16;
/// Keys that are waited for; more are found again in the store.
const WAITING_MAX: usize = 100_000;
/// Doubts that are told of and not yet heard.
const TOLD_MAX: usize = 10_000;
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(3600);
const LIST_EVERY: Duration = Duration::from_secs(3600);
const LIST_AGAIN: Duration = Duration::from_secs(60);
const PAGE: usize = 256;

/// Who is told of doubts in this process.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Vec<mpsc::Sender<(RecordId, RouteTag)>>>);

impl Listeners {
    /// A key of a named route is in doubt. One that cannot be heard now is found in the store later.
    pub(super) fn tell(&self, id: RecordId, route: RouteTag) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| {
            !matches!(one.try_send((id, route)), Err(mpsc::error::TrySendError::Closed(_)))
        });
    }

    fn listen(&self) -> mpsc::Receiver<(RecordId, RouteTag)> {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tell);
        told
    }
}

/// The look-ups of some routes, over one engine; clones share them.
#[derive(Clone, Debug)]
pub struct Reconciler {
    engine: Weak<Inner>,
    look_ups: Arc<HashMap<RouteTag, Arc<dyn LookUp>>>,
}

impl Reconciler {
    /// Each look-up is for the keys that were claimed on its route ([`semel_core::Policy::route`]).
    #[must_use]
    pub fn new(
        engine: &Engine,
        look_ups: impl IntoIterator<Item = (RouteTag, Arc<dyn LookUp>)>,
    ) -> Self {
        let look_ups = Arc::new(look_ups.into_iter().collect());
        Self { engine: Arc::downgrade(&engine.0), look_ups }
    }

    /// Asks now. `None`: no look-up is known for the key, or the engine is gone.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn ask(&self, id: RecordId) -> Result<Option<Reconciled>, StoreError> {
        let Some(engine) = self.engine.upgrade().map(Engine) else { return Ok(None) };
        let Some(record) = engine.show(id).await? else { return Ok(Some(Reconciled::NotInDoubt)) };
        match record.route.and_then(|route| Some((route, self.look_ups.get(&route)?))) {
            Some((route, look_up)) => engine.reconcile(id, route, look_up.as_ref()).await.map(Some),
            None if record.route.is_none() && !open(&record) => Ok(Some(Reconciled::NotInDoubt)),
            None => Ok(None),
        }
    }

    /// Asks about every key in doubt, until the engine is drained or gone. Runs beside the engine.
    pub fn start(&self) {
        let Some(inner) = self.engine.upgrade() else { return };
        if self.look_ups.is_empty() {
            return;
        }
        let told = inner.listeners.listen();
        let mut stage = inner.stage.subscribe();
        let this = self.clone();
        inner.config.spawner.spawn(Box::pin(async move {
            tokio::select! {
                biased;
                _ended = stage.wait_for(|stage| *stage != Stage::Open) => {}
                () = this.run(told) => {}
            }
        }));
    }

    async fn run(&self, mut told: mpsc::Receiver<(RecordId, RouteTag)>) {
        let mut schedule = Schedule::default();
        let mut looking = FuturesUnordered::new();
        let mut list_at = Instant::now();
        loop {
            let due = schedule.next().filter(|_| looking.len() < AT_ONCE);
            tokio::select! {
                biased;
                Some((id, again)) = looking.next() => match again {
                    Some(again) => schedule.again(id, again, self.jitter()),
                    None => schedule.forget(&id),
                },
                doubt = told.recv() => match doubt {
                    Some((id, route)) => {
                        let _found_in_the_store_later = self.hear(&mut schedule, id, route);
                    }
                    None => return,
                },
                () = sleep_until(due.unwrap_or(list_at)), if due.is_some() => {
                    let Some(id) = schedule.take() else { continue };
                    looking.push(self.look(id));
                }
                () = sleep_until(list_at) => {
                    let whole = self.list(&mut schedule).await;
                    list_at = Instant::now() + if whole { LIST_EVERY } else { LIST_AGAIN };
                }
            }
        }
    }

    fn hear(&self, schedule: &mut Schedule, id: RecordId, route: RouteTag) -> bool {
        !self.look_ups.contains_key(&route) || schedule.add(id, self.jitter())
    }

    /// All that is in doubt in the store; false where not all could be read or waited for.
    async fn list(&self, schedule: &mut Schedule) -> bool {
        let Some(engine) = self.engine.upgrade().map(Engine) else { return true };
        let filter = Filter { state: Some(State::InDoubt(Doubt::Lapsed)), before: None };
        let mut page = Page { after: None, limit: PAGE };
        let mut whole = true;
        loop {
            let Ok(listing) = engine.list(filter, page).await else { return false };
            for (id, record) in listing.records {
                if let Some(route) = record.route {
                    whole &= self.hear(schedule, id, route);
                }
            }
            page.after = match listing.next {
                Some(next) => Some(next),
                None => return whole,
            };
        }
    }

    /// One look-up, and when to look again.
    fn look(&self, id: RecordId) -> BoxFuture<'_, (RecordId, Option<Again>)> {
        Box::pin(async move {
            // A look-up that panics says nothing.
            let asked = AssertUnwindSafe(self.ask(id)).catch_unwind().await;
            let again = match asked {
                Ok(Ok(Some(Reconciled::Settled | Reconciled::Released))) => None,
                Ok(Ok(Some(Reconciled::NotInDoubt | Reconciled::OtherRoute) | None)) => None,
                Ok(Ok(Some(Reconciled::TooSoon(from)))) => Some(Again { within: self.until(from) }),
                Ok(Ok(Some(Reconciled::NoProof | Reconciled::Unknown | Reconciled::Changed)))
                | Ok(Err(_))
                | Err(_) => Some(Again { within: None }),
            };
            (id, again)
        })
    }

    /// How long it is to `from`, by the store's clock.
    fn until(&self, from: Timestamp) -> Option<Duration> {
        let now = Engine(self.engine.upgrade()?).now();
        Some(from.since(now).plus(Span::from_ms(1)).to_duration())
    }

    /// From 192 to 320, in 256ths.
    fn jitter(&self) -> u32 {
        let [byte] = self.engine.upgrade().map_or([64], |e| random::<1>(e.config.entropy.as_ref()));
        192 + u32::from(byte) / 2
    }
}

const fn open(record: &Record) -> bool {
    match record.state {
        State::InFlight | State::InDoubt(_) => true,
        State::Completed | State::Released | State::Spent | State::Voided => false,
    }
}

/// When to ask again: at a growing interval, but no later than this.
#[derive(Clone, Copy, Debug)]
struct Again {
    within: Option<Duration>,
}

/// What is to be asked about, and when.
#[derive(Debug, Default)]
struct Schedule {
    by_time: BTreeSet<(Instant, RecordId)>,
    /// The pause after the next look-up of each key that is waited for or asked about.
    pauses: HashMap<RecordId, Duration>,
}

impl Schedule {
    fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The first, which is then asked about.
    fn take(&mut self) -> Option<RecordId> {
        self.by_time.pop_first().map(|(_, id)| id)
    }

    /// Adds a key; false where there is no room.
    fn add(&mut self, id: RecordId, jitter: u32) -> bool {
        if self.pauses.contains_key(&id) {
            return true;
        }
        if self.pauses.len() >= WAITING_MAX {
            return false;
        }
        self.pauses.insert(id, PAUSE_FIRST * 2);
        self.by_time.insert((Instant::now() + PAUSE_FIRST * jitter / 256, id));
        true
    }

    fn again(&mut self, id: RecordId, again: Again, jitter: u32) {
        let Some(pause) = self.pauses.get_mut(&id) else { return };
        let wait = *pause * jitter / 256;
        let wait = again.within.map_or(wait, |within| within.min(wait)).max(PAUSE_FIRST / 4);
        *pause = (*pause * 2).min(PAUSE_MAX);
        self.by_time.insert((Instant::now() + wait, id));
    }

    fn forget(&mut self, id: &RecordId) {
        self.pauses.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RecordId = RecordId([1; 32]);

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_an_hour_and_end_with_the_grace() {
        let mut schedule = Schedule::default();
        let mut waits = Vec::new();
        assert!(schedule.add(A, 256) && schedule.add(A, 256));
        for _ in 0..14 {
            let at = schedule.next().unwrap();
            waits.push(at.duration_since(Instant::now()).as_secs());
            assert_eq!(schedule.take(), Some(A));
            assert!(schedule.add(A, 256), "it is asked about already");
            assert_eq!(schedule.next(), None);
            schedule.again(A, Again { within: None }, 256);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]);
        schedule.take();
        schedule.again(A, Again { within: Some(Duration::from_secs(70)) }, 256);
        assert_eq!(schedule.next().unwrap().duration_since(Instant::now()).as_secs(), 70);
        schedule.take();
        schedule.forget(&A);
        schedule.again(A, Again { within: None }, 256);
        assert_eq!(schedule.next(), None, "what is settled is not asked about again");
    }
}
