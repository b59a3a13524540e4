//! Faults that strike at moments of their own: crashes, pauses, outages, clocks that jump.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::Fault;
use crate::rng::Rng;
use crate::world::{NODES, World};

const HOUR_MS: u64 = 3_600_000;

/// One strike of one fault.
struct Strike {
    world: Arc<World>,
    rng: Rng,
    fault: Fault,
}

/// Starts every strike that the options name. Each undoes itself, at the latest when it is ended.
pub(crate) fn strikes(world: &Arc<World>) -> Vec<tokio::task::JoinHandle<()>> {
    let mut rng = Rng::new(world.options.seed).fork("nemesis");
    let mut tasks = Vec::new();
    for (fault, times) in &world.options.strikes {
        for n in 0..*times {
            let at = rng.between(200, world.options.safety_ms * 9 / 10);
            let rng = rng.fork(&format!("{fault:?} {n}"));
            let strike = Strike { world: Arc::clone(world), rng, fault: *fault };
            tasks.push(tokio::spawn(async move {
                sleep(at).await;
                strike.run().await;
            }));
        }
    }
    tasks
}

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

impl Strike {
    fn note(&self, detail: impl Into<String>) {
        self.world.recorder.struck(self.fault, detail);
    }

    async fn run(mut self) {
        match self.fault {
            Fault::StoreUnreachable => self.unreachable().await,
            Fault::StoreCrash | Fault::PowerLoss => self.store_crash().await,
            Fault::WriteTorn | Fault::SyncFailed => self.disk_fails().await,
            Fault::DiskFull => self.disk_full().await,
            Fault::StoreEmpty => self.store_empty().await,
            Fault::ClockAhead | Fault::ClockBack | Fault::ClockWild => self.clock(),
            Fault::NodeCrash => self.node_crash(),
            Fault::NodePause => self.node_pause().await,
            other => unreachable!("{other:?} is drawn where it happens"),
        }
    }

    async fn unreachable(&mut self) {
        let (least, down) = (self.rng.below(NODES as u64), self.rng.between(200, 8000));
        // One node or both.
        let cut = usize::try_from(least).unwrap_or(0);
        self.note(format!("from node{cut} on, {down} ms"));
        for node in &self.world.nodes[cut..] {
            node.link().set_cut(true);
        }
        sleep(down).await;
        for node in &self.world.nodes[cut..] {
            node.link().set_cut(false);
        }
    }

    async fn store_crash(&mut self) {
        let down = self.rng.between(50, 3000);
        self.note(format!("{down} ms"));
        if self.fault == Fault::PowerLoss {
            self.world.host.power_loss(self.rng.draw());
        } else {
            self.world.host.crash();
        }
        sleep(down).await;
        self.world.host.bring_up().await;
    }

    async fn disk_fails(&mut self) {
        let after = self.rng.below(6);
        self.note(format!("after {after} more"));
        if self.fault == Fault::SyncFailed {
            self.world.host.fail_sync(after);
        } else {
            self.world.host.fail_write(after);
        }
        // Whoever watches the store restarts it, once it has stopped or just to be sure.
        sleep(self.rng.between(500, 4000)).await;
        let down = self.rng.between(50, 1000);
        if self.rng.chance(500) {
            self.world.host.power_loss(self.rng.draw());
        } else {
            self.world.host.crash();
        }
        sleep(down).await;
        self.world.host.bring_up().await;
    }

    async fn disk_full(&mut self) {
        let full = self.rng.between(500, 10_000);
        self.note(format!("{full} ms"));
        self.world.host.set_full(true);
        sleep(full).await;
        self.world.host.set_full(false);
    }

    async fn store_empty(&mut self) {
        let empty = self.rng.between(500, 5000);
        self.note(format!("{empty} ms"));
        // No call is under way while directories are moved: starting a process takes longer.
        let between = self.world.options.deadline.as_ms() * 2;
        for stands_in in [true, false] {
            self.world.host.set_away(true);
            sleep(between).await;
            self.world.host.set_empty(stands_in);
            self.world.host.set_away(false);
            if stands_in {
                sleep(empty).await;
            }
        }
    }

    fn clock(&mut self) {
        let by = match self.fault {
            Fault::ClockAhead => self.rng.between(1000, HOUR_MS - 60_000),
            Fault::ClockBack => self.rng.between(1000, 3 * HOUR_MS),
            _ => self.rng.between(2 * HOUR_MS, 48 * HOUR_MS),
        };
        self.note(format!("{by} ms"));
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        self.world.clock.jump(if self.fault == Fault::ClockBack { -by } else { by });
    }

    fn node_crash(&mut self) {
        let node = usize::try_from(self.rng.below(NODES as u64)).unwrap_or(0);
        let steps = u32::try_from(self.rng.below(40)).unwrap_or(0);
        if let Some(gate) = self.world.nodes[node].gate() {
            // The node's keeper writes the death down when it comes.
            gate.kill_after(steps);
        }
    }

    async fn node_pause(&mut self) {
        let node = usize::try_from(self.rng.below(NODES as u64)).unwrap_or(0);
        let policy = &self.world.options.policy;
        // A pause that may fall between the last look at the lease and the first byte is bounded by
        // what the policy says of it; any other is not.
        let most = if self.world.options.begin_gap {
            policy.pause.as_ms()
        } else {
            policy.lease.as_ms() * 3
        };
        let pause = self.rng.between(100, most);
        let Some(gate) = self.world.nodes[node].gate() else { return };
        self.note(format!("node{node} {pause} ms"));
        gate.stand_still();
        sleep(pause).await;
        gate.go_on();
    }
}
