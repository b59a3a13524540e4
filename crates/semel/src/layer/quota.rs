//! How many new keys a principal may begin in a window of time.
//!
//! Judged before the claim, in the memory of this process: two processes on one store count apart, and
//! a restart begins anew. A window is fixed: it begins with a principal's first new key and ends its
//! length later. Counted are keys, not requests: a retry in the window costs nothing, and a key that
//! the store knows is answered as ever, however full the window is.
//!
//! ```text
//! request ─ counted already? ─ yes ────────────────────────────── claim
//!           no: room? ──────── yes: a place is taken ───────────── claim ─ known: place given back
//!           no: known to the store? ─ yes ──────────────────────── claim      executed: place kept
//!                                     no: 429 quota
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semel_core::{RecordId, Span};
use tokio::time::Instant;

use crate::http::route::Quota;

/// Below so many principals nothing is tidied up.
const TIDY_MIN: usize = 1024;

/// Whose keys: a keyed hash of route and principal.
pub(super) type Who = [u8; 32];

/// The windows of one layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(Arc<Mutex<Windows>>);

#[derive(Debug, Default)]
struct Windows {
    by_who: HashMap<Who, Window>,
    tidy_at: usize,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    /// Whether the key has run, by key: one that has not may give its place back.
    keys: HashMap<RecordId, bool>,
}

/// A place in the window, given back when it is dropped before the key has run.
#[derive(Debug)]
pub(super) struct Place {
    key: CountedKey,
    /// Another request took the place; only that one gives it back.
    shared: bool,
}

/// A key that has a place.
#[derive(Clone, Debug)]
pub(super) struct CountedKey {
    quotas: Quotas,
    who: Who,
    id: RecordId,
}

/// What a window says to a key.
#[derive(Debug)]
pub(super) enum Admitted {
    /// It may be claimed.
    Yes(Place),
    /// Only if the store knows it. `after`: when the window ends.
    OnlyIfKnown { after: Span },
}

impl Quotas {
    /// Asks for a place for the key `id` of `who`.
    pub(super) fn admit(&self, quota: &Quota, who: Who, id: RecordId) -> Admitted {
        let now = Instant::now();
        let mut windows = self.windows();
        windows.tidy(now);
        let fresh = || Window { ends: now + quota.window.to_duration(), keys: HashMap::new() };
        let window = windows.by_who.entry(who).or_insert_with(fresh);
        if window.ends <= now {
            *window = fresh();
        }
        let shared = window.keys.contains_key(&id);
        if !shared {
            if window.keys.len() >= quota.keys as usize {
                return Admitted::OnlyIfKnown { after: Span::from(window.ends - now) };
            }
            window.keys.insert(id, false);
        }
        drop(windows);
        Admitted::Yes(Place { key: CountedKey { quotas: self.clone(), who, id }, shared })
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Windows {
    /// Forgets windows that have ended, each time that their number has doubled.
    fn tidy(&mut self, now: Instant) {
        if self.by_who.len() >= self.tidy_at.max(TIDY_MIN) {
            self.by_who.retain(|_, window| window.ends > now);
            self.tidy_at = self.by_who.len() * 2;
        }
    }
}

impl CountedKey {
    /// The key's execution begins: its place is kept to the end of the window.
    pub(super) fn begins(&self) {
        if let Some(window) = self.quotas.windows().by_who.get_mut(&self.who) {
            window.keys.insert(self.id, true);
        }
    }
}

impl Place {
    pub(super) fn key(&self) -> CountedKey {
        self.key.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.shared {
            return;
        }
        let CountedKey { quotas, who, id } = &self.key;
        let mut windows = quotas.windows();
        let Some(window) = windows.by_who.get_mut(who) else { return };
        if window.keys.get(id) == Some(&false) {
            window.keys.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Duration, advance};

    const QUOTA: Quota = Quota { keys: 2, window: Span::from_secs(60) };
    const WHO: Who = [1; 32];

    fn id(n: u8) -> RecordId {
        RecordId([n; 32])
    }

    fn after(admitted: &Admitted) -> Option<u64> {
        match admitted {
            Admitted::Yes(_) => None,
            Admitted::OnlyIfKnown { after } => Some(after.as_ms()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_holds_so_many_keys_of_each_principal_and_then_ends() {
        let quotas = Quotas::default();
        let _one = quotas.admit(&QUOTA, WHO, id(1));
        advance(Duration::from_secs(20)).await;
        let _two = quotas.admit(&QUOTA, WHO, id(2));
        assert_eq!(after(&quotas.admit(&QUOTA, WHO, id(3))), Some(40_000));
        assert_eq!(after(&quotas.admit(&QUOTA, WHO, id(2))), None, "counted already");
        assert_eq!(after(&quotas.admit(&QUOTA, [2; 32], id(3))), None, "another's window");
        advance(Duration::from_secs(40)).await;
        assert_eq!(after(&quotas.admit(&QUOTA, WHO, id(3))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_back_unless_its_key_has_run() {
        let quotas = Quotas::default();
        let quota = Quota { keys: 1, ..QUOTA };
        let first = quotas.admit(&quota, WHO, id(1));
        drop(quotas.admit(&quota, WHO, id(1)));
        assert!(after(&quotas.admit(&quota, WHO, id(2))).is_some(), "the first one's is its own");
        drop(first);
        let second = quotas.admit(&quota, WHO, id(2));
        assert_eq!(after(&second), None);
        let Admitted::Yes(place) = &second else { panic!("{second:?}") };
        place.key().begins();
        drop(second);
        assert!(after(&quotas.admit(&quota, WHO, id(3))).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn windows_that_have_ended_are_forgotten() {
        let quotas = Quotas::default();
        for n in 0..5000_u16 {
            let mut who = WHO;
            who[..2].copy_from_slice(&n.to_le_bytes());
            let _place = quotas.admit(&QUOTA, who, id(1));
            advance(Duration::from_secs(1)).await;
        }
        assert!(quotas.windows().by_who.len() <= TIDY_MIN);
    }
}
