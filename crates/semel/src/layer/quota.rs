//! What one principal may take of a route: keys begun and bytes kept in a window of time, new keys in a
//! second, executions at once.
//!
//! Judged before the claim, in the memory of this process: two processes on one store count apart, and
//! a restart begins anew. A window is fixed: it begins with the first thing counted and ends its length
//! later. Counted are executions, not requests: a retry costs nothing, and a key that the store knows is
//! answered as ever, however much its principal has taken. Nothing that is live goes for another's sake.
//!
//! ```text
//! request ─ same key under way already? ─ yes ─────────────────── claim
//!           no: room in all? ── yes: a place is held ──────────── claim ─ known: place given back
//!           no: known to the store? ─ yes ─────────────────────── claim      executed: counted
//!                                     no: 429 quota
//! ```
//!
//! How large a reply will be is not known beforehand, so bytes are judged by those kept so far: what is
//! under way then may go over.
//!
//! An account is a principal on a route. It is kept while something of it is counted or under way, some
//! 200 bytes each; at [`ACCOUNTS_MAX`] of them a principal without one shares an account with all others
//! without, so that nobody gains room by making up principals, and memory is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semel_core::{RecordId, Span};
use tokio::time::{Duration, Instant};

use crate::http::quota::{PerWindow, Quota};

/// Accounts at most.
const ACCOUNTS_MAX: usize = 100_000;
/// Below so many nothing is tidied up.
const TIDY_MIN: usize = 1024;
/// When all is full, what is over is looked for no more often.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// When an execution may have ended.
const SOON: Span = Span::from_secs(1);

/// Whose account: a route's address, and a keyed hash of the principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Who {
    pub(super) route: usize,
    pub(super) principal: [u8; 32],
}

/// All who came when there was no room for an account of their own.
const THE_REST: [u8; 32] = [0; 32];

/// The accounts of one layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(Arc<Mutex<Accounts>>);

#[derive(Debug, Default)]
struct Accounts {
    by_who: HashMap<Who, Account>,
    tidy_at: usize,
    tidied: Option<Instant>,
}

/// What is counted in a window, until it ends.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    ends: Option<Instant>,
    taken: u64,
}

#[derive(Debug, Default)]
struct Account {
    /// Executions begun.
    keys: Window,
    /// Bytes of replies kept.
    bytes: Window,
    /// Places that may become executions, and have not.
    held: u64,
    running: u64,
    /// Of a second's allowance, in thousandths of a key, when it was last looked at.
    spent_milli: u64,
    looked: Option<Instant>,
    /// How many requests are under way, by key.
    open: HashMap<RecordId, u32>,
}

/// A request's place: given back when it is dropped, unless it became an execution.
#[derive(Debug)]
pub(super) struct Place(Arc<Held>);

/// What a request has of its account.
#[derive(Debug)]
struct Held {
    quotas: Quotas,
    quota: Quota,
    who: Who,
    id: RecordId,
    /// Whether this one holds a place by itself; cleared when the execution begins.
    own: Mutex<bool>,
}

/// A place that an execution can be begun on.
#[derive(Clone, Debug)]
pub(super) struct Begins(Arc<Held>);

/// An execution under way.
#[derive(Debug)]
pub(super) struct Running {
    quotas: Quotas,
    quota: Quota,
    who: Who,
}

/// What an account says to a key.
#[derive(Debug)]
pub(super) enum Admitted {
    /// It may be claimed.
    Yes(Place),
    /// Only if the store knows it.
    OnlyIfKnown {
        /// When there may be room.
        after: Span,
        /// What there is no room in, as the metric names it.
        full: &'static str,
    },
}

impl Quotas {
    /// Asks for a place for the key `id` of `who`.
    pub(super) fn admit(&self, quota: &Quota, who: Who, id: RecordId) -> Admitted {
        let now = Instant::now();
        let mut accounts = self.accounts();
        let who = accounts.place_for(who, now);
        let account = accounts.by_who.entry(who).or_default();
        account.pass(quota, now);
        let own = !account.open.contains_key(&id);
        if own {
            if let Some((after, full)) = account.full(quota, now) {
                return Admitted::OnlyIfKnown { after, full };
            }
            account.held += 1;
            account.spent_milli += 1000;
        }
        *account.open.entry(id).or_default() += 1;
        drop(accounts);
        let (quotas, quota, own) = (self.clone(), *quota, Mutex::new(own));
        Admitted::Yes(Place(Arc::new(Held { quotas, quota, who, id, own })))
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// The principal's own account, or that of the rest.
    fn place_for(&mut self, who: Who, now: Instant) -> Who {
        if self.by_who.contains_key(&who) {
            return who;
        }
        let len = self.by_who.len();
        let often = self.tidied.is_some_and(|at| now.duration_since(at) < TIDY_EVERY);
        if len >= self.tidy_at.max(TIDY_MIN) || (len >= ACCOUNTS_MAX && !often) {
            self.by_who.retain(|_, account| !account.is_over(now));
            self.tidy_at = (self.by_who.len() * 2).min(ACCOUNTS_MAX * 2);
            self.tidied = Some(now);
        }
        if self.by_who.len() < ACCOUNTS_MAX {
            return who;
        }
        metrics::counter!("semel_quota_shared_total").increment(1);
        Who { principal: THE_REST, ..who }
    }
}

impl Window {
    fn pass(&mut self, now: Instant) {
        if self.ends.is_some_and(|ends| ends <= now) {
            *self = Self::default();
        }
    }

    fn take(&mut self, many: u64, of: Option<PerWindow>, now: Instant) {
        let Some(PerWindow { window, .. }) = of else { return };
        self.pass(now);
        self.ends.get_or_insert(now + window.to_duration());
        self.taken = self.taken.saturating_add(many);
    }

    /// How long until there is room for one more, where `ahead` may be taken before.
    fn full(&self, ahead: u64, of: Option<PerWindow>, now: Instant) -> Option<Span> {
        let PerWindow { most, window } = of?;
        let end = self.ends.map_or(window, |ends| Span::from(ends.duration_since(now)));
        (self.taken.saturating_add(ahead) >= most).then_some(end)
    }
}

impl Account {
    /// Time has passed.
    fn pass(&mut self, quota: &Quota, now: Instant) {
        self.keys.pass(now);
        self.bytes.pass(now);
        let since = self.looked.map_or(Duration::ZERO, |at| now.duration_since(at));
        let rate = u64::from(quota.per_second.unwrap_or(0));
        // A thousandth of a key for each millisecond and key a second.
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let back = millis.saturating_mul(rate);
        if self.looked.is_none() || millis > 0 {
            self.spent_milli = self.spent_milli.saturating_sub(back);
            self.looked = Some(now);
        }
        if rate == 0 {
            self.spent_milli = 0;
        }
    }

    /// The first thing in which there is no room, and when there may be.
    fn full(&self, quota: &Quota, now: Instant) -> Option<(Span, &'static str)> {
        if let Some(after) = self.keys.full(self.held, quota.keys, now) {
            return Some((after, "keys"));
        }
        if let Some(after) = self.bytes.full(0, quota.bytes, now) {
            return Some((after, "bytes"));
        }
        if let Some(rate) = quota.per_second.map(u64::from) {
            let over = (self.spent_milli + 1000).saturating_sub(rate * 1000);
            if over > 0 {
                return Some((Span::from_ms(over.div_ceil(rate)), "per_second"));
            }
        }
        let most = quota.in_flight.map(u64::from);
        most.is_some_and(|most| self.running + self.held >= most).then_some((SOON, "in_flight"))
    }

    /// Whether nothing of it is counted any more. A second's allowance is whole again after a second.
    fn is_over(&self, now: Instant) -> bool {
        let over = |window: &Window| window.ends.is_none_or(|ends| ends <= now);
        let looked = self.looked.is_none_or(|at| now.duration_since(at) >= Duration::from_secs(1));
        self.open.is_empty() && self.running == 0 && looked && over(&self.keys) && over(&self.bytes)
    }
}

impl Place {
    pub(super) fn begins(&self) -> Begins {
        Begins(Arc::clone(&self.0))
    }
}

impl Begins {
    /// The key's execution begins, and is counted.
    pub(super) fn begin(&self) -> Running {
        let Held { quotas, quota, who, own, .. } = &*self.0;
        let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = quotas.accounts();
        if let Some(account) = accounts.by_who.get_mut(who) {
            if std::mem::take(&mut *own) {
                account.held -= 1;
            }
            account.keys.take(1, quota.keys, Instant::now());
            account.running += 1;
        }
        drop(accounts);
        Running { quotas: quotas.clone(), quota: *quota, who: *who }
    }
}

impl Running {
    /// So much of its reply is kept.
    pub(super) fn keeps(&self, bytes: u64) {
        if let Some(account) = self.quotas.accounts().by_who.get_mut(&self.who) {
            account.bytes.take(bytes, self.quota.bytes, Instant::now());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(account) = self.quotas.accounts().by_who.get_mut(&self.who) {
            account.running -= 1;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let own = std::mem::take(self.own.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut accounts = self.quotas.accounts();
        let Some(account) = accounts.by_who.get_mut(&self.who) else { return };
        if own {
            account.held -= 1;
            account.spent_milli = account.spent_milli.saturating_sub(1000);
        }
        if let Some(requests) = account.open.get_mut(&self.id) {
            *requests -= 1;
            if *requests == 0 {
                account.open.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
