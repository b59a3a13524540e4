//! The life of a process: all its tasks pass through one gate, which stops them or lets none of them
//! take another step.
//!
//! A death can be set to come after so many steps, so it strikes between any two awaits of whatever
//! the process happens to do: between claim and execute, in a handler, before or after a settle.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use semel::core::store::BoxFuture;
use semel::engine::Spawner;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Ended tasks are forgotten when so many are listed.
const TASKS_LISTED: usize = 256;

/// One life of one process.
#[derive(Debug)]
pub struct Gate {
    dead: AtomicBool,
    /// Steps until death; below zero when none is set.
    fuse: AtomicI64,
    standing: Mutex<Standing>,
    died: Notify,
}

#[derive(Debug, Default)]
struct Standing {
    still: bool,
    held: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            dead: AtomicBool::new(false),
            fuse: AtomicI64::new(-1),
            standing: Mutex::default(),
            died: Notify::new(),
        }
    }
}

impl Gate {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this life is over.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Ends this life: no task of it takes another step.
    pub fn kill(&self) {
        if self.dead.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut standing = self.standing();
        let tasks = std::mem::take(&mut standing.tasks);
        standing.held.clear();
        drop(standing);
        // Outside the guard: an ended task drops what it holds, which may ask this gate.
        for task in tasks {
            task.abort();
        }
        self.died.notify_one();
    }

    /// Ends this life after so many more steps of its tasks.
    pub fn kill_after(&self, steps: u32) {
        self.fuse.store(i64::from(steps), Ordering::SeqCst);
    }

    /// A death that was set and has not come does not come any more.
    pub fn defuse(&self) {
        self.fuse.store(-1, Ordering::SeqCst);
    }

    /// Waits for the end of this life. For one waiter.
    pub async fn died(&self) {
        while !self.is_dead() {
            self.died.notified().await;
        }
    }

    /// From now on no task of this life takes a step, and none is lost.
    pub fn stand_still(&self) {
        self.standing().still = true;
    }

    /// The tasks go on.
    pub fn go_on(&self) {
        let mut standing = self.standing();
        standing.still = false;
        let held = std::mem::take(&mut standing.held);
        drop(standing);
        held.into_iter().for_each(Waker::wake);
    }

    /// Starts a task of this life.
    pub fn spawn(self: &Arc<Self>, task: BoxFuture<'static, ()>) {
        if self.is_dead() {
            return;
        }
        let gated = Gated { gate: Arc::clone(self), task };
        let handle = tokio::spawn(gated).abort_handle();
        let mut standing = self.standing();
        if standing.tasks.len() >= TASKS_LISTED {
            standing.tasks.retain(|task| !task.is_finished());
        }
        standing.tasks.push(handle);
    }

    fn holds(&self, waker: &Waker) -> bool {
        let mut standing = self.standing();
        if standing.still {
            standing.held.push(waker.clone());
        }
        standing.still
    }

    fn burn(&self) {
        let left = self.fuse.load(Ordering::SeqCst);
        if left < 0 {
            return;
        }
        self.fuse.store(left - 1, Ordering::SeqCst);
        if left == 0 {
            self.kill();
        }
    }
}

/// Starts the tasks of an engine behind a gate.
#[derive(Debug)]
pub struct GateSpawner(pub Arc<Gate>);

impl Spawner for GateSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}

struct Gated {
    gate: Arc<Gate>,
    task: BoxFuture<'static, ()>,
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gated")
    }
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.is_dead() {
            return Poll::Ready(());
        }
        if self.gate.holds(cx.waker()) {
            return Poll::Pending;
        }
        let polled = self.task.as_mut().poll(cx);
        self.gate.burn();
        if self.gate.is_dead() { Poll::Ready(()) } else { polled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn counting(steps: &Arc<AtomicU32>) -> BoxFuture<'static, ()> {
        let steps = Arc::clone(steps);
        Box::pin(async move {
            loop {
                steps.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        })
    }

    async fn turns(n: u32) {
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn death_comes_after_the_given_number_of_steps() {
        let (gate, steps) = (Arc::new(Gate::default()), Arc::new(AtomicU32::new(0)));
        gate.spawn(counting(&steps));
        gate.kill_after(4);
        gate.died().await;
        turns(20).await;
        assert_eq!(steps.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn who_stands_still_takes_no_step_and_goes_on_later() {
        let (gate, steps) = (Arc::new(Gate::default()), Arc::new(AtomicU32::new(0)));
        gate.spawn(counting(&steps));
        gate.stand_still();
        turns(20).await;
        assert_eq!(steps.load(Ordering::SeqCst), 0);
        gate.go_on();
        turns(20).await;
        assert!(steps.load(Ordering::SeqCst) > 5);
        gate.kill();
        let at_death = steps.load(Ordering::SeqCst);
        turns(20).await;
        assert_eq!(steps.load(Ordering::SeqCst), at_death);
    }
}
