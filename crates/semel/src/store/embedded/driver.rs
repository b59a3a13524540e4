//! Who runs the committer: a thread in production, whoever holds the [`Driver`] in a simulation.
//!
//! All callers put their writes into one queue. The committer takes everything that waits, makes it
//! one batch, and looks again as soon as the sync has ended: the load itself sets the pace.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use semel_core::store::{Bound, Swap, Swapped};
use semel_core::{RecordId, StoreError};
use tokio::sync::{Notify, oneshot};

use super::commit::{Log, Reply};
use super::index::Place;
use super::maintain::{Hand, Leaves, Maintained, Maintenance};
use super::segment::FIRST_BATCH;
use super::shared::{Shared, held};

/// What the committer is asked to do.
#[derive(Debug)]
pub(super) enum Ask {
    Swap(Swap, Reply<Swapped>),
    Bind([u8; 16], Reply<Bound>),
    Carry(Vec<(RecordId, Place)>, Reply<()>),
    Forget(Vec<Leaves>, Reply<()>),
    Rotate(Reply<()>),
}

#[derive(Debug, Default)]
struct Waiting {
    asks: Vec<Ask>,
    closed: bool,
}

/// What waits for the committer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    notify: Notify,
}

impl Queue {
    /// False when the committer is gone.
    pub(super) fn push(&self, ask: Ask) -> bool {
        let mut waiting = held(&self.waiting);
        if waiting.closed {
            return false;
        }
        let first = waiting.asks.is_empty();
        waiting.asks.push(ask);
        drop(waiting);
        // The committer sleeps only on an empty queue.
        if first {
            self.filled.notify_one();
            self.notify.notify_one();
        }
        true
    }

    pub(super) fn close(&self) {
        held(&self.waiting).closed = true;
        self.filled.notify_all();
        self.notify.notify_one();
    }

    pub(super) fn closed(&self) -> bool {
        held(&self.waiting).closed
    }

    fn take(&self) -> Vec<Ask> {
        mem::take(&mut held(&self.waiting).asks)
    }

    /// Waits for what is asked; none only once the queue is closed and empty.
    fn wait(&self) -> Vec<Ask> {
        let waiting = held(&self.waiting);
        let empty = |waiting: &mut Waiting| waiting.asks.is_empty() && !waiting.closed;
        let waited = self.filled.wait_while(waiting, empty);
        mem::take(&mut waited.unwrap_or_else(PoisonError::into_inner).asks)
    }
}

impl Log {
    /// Does `asks` in order, the swaps between two others as one batch.
    pub(super) fn work(&mut self, asks: Vec<Ask>) {
        let mut swaps = Vec::with_capacity(asks.len());
        for ask in asks {
            if let Ask::Swap(swap, reply) = ask {
                swaps.push((swap, reply));
                continue;
            }
            self.commit(swaps.drain(..));
            // Whoever asked may be gone; what was asked is done all the same.
            match ask {
                Ask::Swap(..) => {}
                Ask::Bind(check, reply) => drop(reply.send(self.bind(check))),
                Ask::Carry(frames, reply) => drop(reply.send(self.carry(&frames))),
                Ask::Forget(gone, reply) => {
                    Self::forget(self, &gone);
                    drop(reply.send(Ok(())));
                }
                Ask::Rotate(reply) => drop(reply.send(self.rotate_if_used())),
            }
        }
        self.commit(swaps);
    }

    fn rotate_if_used(&mut self) -> Result<(), StoreError> {
        if self.active.end == FIRST_BATCH {
            return Ok(());
        }
        self.shared.check_poison()?;
        self.rotate()
    }

    fn bind(&mut self, check: [u8; 16]) -> Result<Bound, StoreError> {
        let shared = &self.shared;
        let mut manifest = held(&shared.manifest);
        match manifest.check {
            Some(kept) if kept == check => return Ok(Bound::Same),
            Some(_) => return Ok(Bound::Other),
            None => {}
        }
        if shared.index.len() > 0 || !shared.tables().is_empty() {
            return Ok(Bound::Other);
        }
        shared.check_poison()?;
        let mut next = manifest.clone();
        next.check = Some(check);
        next.write(&*shared.disk)
            .map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        *manifest = next;
        Ok(Bound::First)
    }
}

impl Hand for Log {
    fn carry(&mut self, frames: Vec<(RecordId, Place)>) -> Result<(), StoreError> {
        Self::carry(self, &frames)
    }

    fn forget(&mut self, gone: Vec<Leaves>) -> Result<(), StoreError> {
        Self::forget(self, &gone);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        self.rotate_if_used()
    }
}

/// The committer's thread, as maintenance sees it.
#[derive(Debug)]
pub(super) struct Remote(pub(super) Arc<Queue>);

impl Remote {
    fn ask(&self, ask: impl FnOnce(Reply<()>) -> Ask) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.push(ask(reply));
        answer.blocking_recv().unwrap_or_else(|_| Err(closing()))
    }
}

impl Hand for Remote {
    fn carry(&mut self, frames: Vec<(RecordId, Place)>) -> Result<(), StoreError> {
        self.ask(|reply| Ask::Carry(frames, reply))
    }

    fn forget(&mut self, gone: Vec<Leaves>) -> Result<(), StoreError> {
        self.ask(|reply| Ask::Forget(gone, reply))
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        self.ask(Ask::Rotate)
    }
}

pub(super) fn closing() -> StoreError {
    StoreError::Closed { reason: "nobody writes the record log any more".into() }
}

/// The committer of a store without threads. Nothing happens but by its methods, so a simulation
/// that is deterministic stays so.
#[derive(Debug)]
pub struct Driver {
    log: Log,
    queue: Arc<Queue>,
    maintenance: Maintenance,
}

impl Driver {
    pub(super) fn new(log: Log, queue: Arc<Queue>) -> Self {
        let maintenance = Maintenance::new(Arc::clone(&log.shared));
        Self { log, queue, maintenance }
    }

    /// Commits all that waits, as one batch where it fits; returns how many asked.
    pub fn step(&mut self) -> usize {
        let asks = self.queue.take();
        let count = asks.len();
        self.log.work(asks);
        count
    }

    /// One round of maintenance.
    ///
    /// # Errors
    /// What kept it from ending; the next round tries again.
    pub fn maintain(&mut self) -> Result<Maintained, StoreError> {
        self.maintenance.run(&mut self.log)
    }

    /// Commits whenever something waits, until the store is dropped; then marks a good end.
    pub async fn run(mut self) {
        loop {
            self.step();
            if self.queue.closed() {
                break;
            }
            self.filled().await;
        }
        self.close();
    }

    /// Waits until something waits for [`Self::step`], or the store is dropped.
    pub async fn filled(&self) {
        self.queue.notify.notified().await;
    }

    /// Whether the store was dropped.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.queue.closed()
    }

    /// Marks a good end and takes nothing more.
    pub fn close(mut self) {
        self.queue.close();
        self.step();
        self.log.close();
    }
}

/// Closes the queue however the committer ends, so that nobody waits for it in vain.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        drop(self.0.take());
    }
}

/// The committer's thread: until the queue is closed.
pub(super) fn commit_until_closed(mut log: Log, queue: Arc<Queue>) {
    let closing = Closing(queue);
    loop {
        let asks = closing.0.wait();
        if asks.is_empty() {
            break;
        }
        log.work(asks);
    }
    log.close();
}

/// The maintenance thread: until the queue is closed.
pub(super) fn maintain_until_closed(
    shared: &Shared,
    maintenance: &Mutex<Maintenance>,
    queue: Arc<Queue>,
) {
    let every = shared.options.maintain_every;
    let mut hand = Remote(Arc::clone(&queue));
    while !queue.closed() {
        let round = held(maintenance).run(&mut hand);
        match round {
            Ok(_) => {}
            // A poisoned log said so already, and stays so.
            Err(StoreError::Poisoned { .. }) => break,
            Err(_) if queue.closed() => break,
            Err(error) => tracing::warn!(%error, "maintenance of the record log will try again"),
        }
        shared.bell.wait(every);
    }
}
