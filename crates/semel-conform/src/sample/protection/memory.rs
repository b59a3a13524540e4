//! What a crash takes away: the runs, and who waits for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// The runs of one life of the service.
#[derive(Debug, Default)]
pub(super) struct Memory {
    runs: Mutex<JoinSet<()>>,
    live: Mutex<BTreeMap<u64, watch::Receiver<()>>>,
    owners: AtomicU64,
    /// What a broken protection keeps of keys beside the disk.
    aside: Mutex<BTreeMap<Vec<u8>, String>>,
}

/// A claim's owner is alive for as long as this is.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) owner: u64,
    /// Waiters learn of its end.
    _ends: watch::Sender<()>,
}

impl Memory {
    /// A new owner.
    pub(super) fn owner(&self) -> Alive {
        let owner = self.owners.fetch_add(1, Ordering::Relaxed);
        let (ends, end) = watch::channel(());
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(owner, end);
        Alive { owner, _ends: ends }
    }

    /// Whether that owner runs, and a way to learn of its end.
    pub(super) fn end_of(&self, owner: u64) -> Option<watch::Receiver<()>> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, end| end.has_changed().is_ok());
        live.get(&owner).cloned()
    }

    /// Whether anything runs.
    pub(super) fn runs(&self) -> bool {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.values().any(|end| end.has_changed().is_ok())
    }

    /// Runs something that no leaving caller stops, and returns what it says: nothing, where a crash
    /// stopped it.
    pub(super) fn run<T: Send + 'static>(
        &self,
        what: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        self.start(async move {
            let _ = tell.send(what.await);
        });
        told
    }

    /// Runs something that no leaving caller stops.
    pub(super) fn start(&self, what: impl Future<Output = ()> + Send + 'static) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.spawn(what);
        while runs.try_join_next().is_some() {}
    }

    /// Keeps something of a key beside the disk, and returns what was kept before.
    pub(super) fn keep(&self, key: &[u8], what: &str) -> Option<String> {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        aside.insert(key.to_vec(), what.to_owned())
    }

    /// What is kept of a key beside the disk.
    pub(super) fn kept(&self, key: &[u8]) -> Option<String> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Ends every run where it stands.
    pub(super) async fn crash(&self) {
        let mut runs =
            std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner));
        runs.shutdown().await;
    }
}
