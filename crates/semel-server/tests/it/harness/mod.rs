//! What every test of the binary stands on: the real `semel` process, a scripted upstream that
//! counts effects, and a client that can send any bytes and leave at any moment.
//!
//! Nothing here sleeps: whoever waits, waits for an event ([`Gate`]) or for an observable
//! ([`eventually`]), and every wait has a deadline that fails the test.

#![allow(dead_code, reason = "each module of tests uses its own part")]

pub(crate) mod client;
pub(crate) mod semel;
pub(crate) mod tls;
pub(crate) mod upstream;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::semel::time::{SystemClock, WallClock};
use tokio::sync::Semaphore;

/// The longest that any single event may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for `event`, and fails the test when it does not come.
pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(value) => value,
        Err(_) => panic!("did not happen within {DEADLINE:?}: {what}"),
    }
}

/// Looks again and again until `look` finds something, and fails the test when it never does.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(what, async {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        loop {
            pace.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    })
    .await
}

/// A key that carries its time: a UUIDv7 of the time that lies `ahead_ms` ahead.
pub(crate) fn timed(ahead_ms: i64, n: u32) -> String {
    let ms = SystemClock.now().as_unix_ms().checked_add_signed(ahead_ms).unwrap();
    let hex = format!("{ms:012x}");
    format!("{}-{}-7abc-8def-{n:012x}", &hex[..8], &hex[8..])
}

/// A door that a test opens: a script waits at it, and says that it has come there.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// A closed door.
    pub(crate) fn closed() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits until `n` more have come to the door.
    pub(crate) async fn reached(&self, n: u32) {
        let all = within("a script reaches its gate", self.arrived.acquire_many(n)).await;
        all.expect("gates are never destroyed").forget();
    }

    /// Comes to the door and waits until it opens.
    pub(crate) async fn pass(&self) {
        self.arrived.add_permits(1);
        let _through = self.open.acquire().await.expect("gates are never destroyed");
    }
}
