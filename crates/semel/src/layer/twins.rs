//! One key with one request under two principals soon after each other: most likely a credential was
//! rotated between a request and its retry, and the retry, in a scope of its own, runs a second time.
//!
//! Nothing can be refused for it, for two callers may choose the same key and ask for the same; so it is
//! told: a metric, a line in the log, and [`principal_changed_warning`](crate::http::status::principal_changed_warning) to the caller. What is
//! remembered are keyed hashes, in the memory of this process, for between one and two [`SPAN`]s and for
//! at most twice [`ENTRIES_MAX`] keys; beyond that the oldest half is forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::{Mutex, PoisonError};

use semel_core::{Fingerprint, Key, Scope, Span};
use tokio::time::Instant;

/// How long a key is remembered at least, where there is room.
const SPAN: Span = Span::from_secs(5 * 60);
/// Entries of one half: some 2 MiB.
const ENTRIES_MAX: usize = 1 << 16;

/// Who sent which key with which request, lately.
#[derive(Debug)]
pub(super) struct Twins {
    /// Keyed at random for this process.
    hash: RandomState,
    halves: Mutex<Halves>,
}

#[derive(Debug)]
struct Halves {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
    turns: Instant,
}

impl Twins {
    pub(super) fn new() -> Self {
        let turns = Instant::now() + SPAN.to_duration();
        let halves = Mutex::new(Halves { young: HashMap::new(), old: HashMap::new(), turns });
        Self { hash: RandomState::new(), halves }
    }

    /// Whether another principal was seen lately with this key and this request. Remembers this one.
    pub(super) fn principal_changed(
        &self,
        scope: &Scope,
        key: &Key,
        fingerprint: &Fingerprint,
    ) -> bool {
        let what = self.hash.hash_one((&fingerprint.digest, key.as_bytes()));
        let who = self.hash.hash_one(scope.principal());
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.turn(Instant::now());
        let before = halves.young.insert(what, who).or_else(|| halves.old.get(&what).copied());
        before.is_some_and(|before| before != who)
    }
}

impl Halves {
    fn turn(&mut self, now: Instant) {
        if now >= self.turns || self.young.len() >= ENTRIES_MAX {
            self.old = mem::take(&mut self.young);
            // After a pause as long as both halves, what was young is old news, too.
            if now >= self.turns + SPAN.to_duration() {
                self.old.clear();
            }
            self.turns = now + SPAN.to_duration();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use semel_core::Principal;
    use tokio::time::{Duration, advance};

    struct Seen(Twins);

    impl Seen {
        fn new() -> Self {
            Self(Twins::new())
        }

        fn ask(&self, who: &str, key: &str, body: u8) -> bool {
            let scope = Scope::new("test", Principal::named(who.as_bytes()).unwrap());
            let fingerprint = Fingerprint { digest: [body; 16], ..Fingerprint::default() };
            self.0.principal_changed(&scope, &Key::from_text(key).unwrap(), &fingerprint)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_same_key_with_the_same_request_under_another_principal_is_told() {
        let seen = Seen::new();
        assert!(!seen.ask("a", "k", 1));
        assert!(!seen.ask("a", "k", 1), "a retry");
        assert!(!seen.ask("b", "k", 2), "another request");
        assert!(!seen.ask("b", "l", 1), "another key");
        assert!(seen.ask("b", "k", 1));
        assert!(!seen.ask("b", "k", 1), "told once");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_remembered_for_minutes_and_not_for_long() {
        for (minutes, told) in [(4, true), (6, true), (11, false)] {
            let seen = Seen::new();
            seen.ask("a", "k", 1);
            advance(Duration::from_secs(minutes * 60)).await;
            assert_eq!(seen.ask("b", "k", 1), told, "{minutes} minutes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let seen = Seen::new();
        let mut halves = seen.0.halves.lock().unwrap();
        let now = Instant::now();
        for what in 0..3 * ENTRIES_MAX as u64 {
            halves.turn(now);
            halves.young.insert(what, 0);
        }
        assert!(halves.young.len() + halves.old.len() <= 2 * ENTRIES_MAX);
    }
}
