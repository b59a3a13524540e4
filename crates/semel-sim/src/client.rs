//! Carries errands out: one client each, with whoever is careless beside it.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::Fault;
use crate::history::{KeyName, Outcome, Verb};
use crate::rng::Rng;
use crate::traffic::{Act, Errand, Mind};
use crate::world::{Manners, NODES, World};

struct Client {
    world: Arc<World>,
    rng: Rng,
    errand: Errand,
}

/// Starts every errand.
pub(crate) fn clients(world: &Arc<World>, errands: &[Errand]) -> Vec<tokio::task::JoinHandle<()>> {
    let rng = Rng::new(world.options.seed).fork("clients");
    let start = |(n, errand): (usize, &Errand)| {
        let (world, errand) = (Arc::clone(world), errand.clone());
        let client = |part: &str| Client {
            world: Arc::clone(&world),
            rng: rng.fork(&format!("{part} {n}")),
            errand: errand.clone(),
        };
        let (main, careless, hasty) = (client("main"), client("careless"), client("hasty"));
        [
            tokio::spawn(main.run()),
            tokio::spawn(careless.send_another_body()),
            tokio::spawn(hasty.void_at_once()),
        ]
    };
    errands.iter().enumerate().flat_map(start).collect()
}

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

impl Client {
    fn manners(&mut self, may_leave: bool) -> Manners {
        // Late and out of order is how a network delivers now and then.
        let slow = self.rng.chance(50);
        let most = if slow { 3000 } else { 20 };
        let leaves = may_leave && self.rng.chance(self.world.options.rate(Fault::ClientLeft));
        let lease = self.world.options.policy.lease.as_ms();
        Manners {
            there_ms: self.rng.below(most),
            back_ms: self.rng.below(20),
            leaves_ms: leaves.then(|| self.rng.below(lease * 2)),
        }
    }

    fn node(&mut self) -> usize {
        usize::try_from(self.rng.below(NODES as u64)).unwrap_or(0)
    }

    async fn call(&mut self, key: KeyName, verb: Verb) -> Outcome {
        let (node, manners) = (self.node(), self.manners(true));
        self.world.call(node, key, verb, manners).await
    }

    async fn run(mut self) {
        sleep(self.errand.starts_ms).await;
        let (mut mind, mut heard, mut key) = (Mind::default(), None, self.errand.key);
        let errand = self.errand.clone();
        let run = Verb::Run { body: errand.body };
        loop {
            let act = mind.next(&errand, heard, &mut self.rng);
            heard = Some(match act {
                Act::Send { after_ms } => {
                    sleep(after_ms).await;
                    self.send(key, run).await
                }
                Act::Ack => self.call(key, Verb::Ack).await,
                Act::Inquire => self.call(key, Verb::Inquire).await,
                Act::Void => self.call(key, Verb::Void).await,
                Act::TakeSpare => {
                    key = errand.spare;
                    self.send(key, run).await
                }
                Act::Stop => break,
            });
        }
        if let Some(again) = errand.again_ms {
            sleep(again).await;
            self.world.recorder.struck(Fault::LateRetry, key.to_string());
            self.call(key, run).await;
        }
    }

    /// Sends once, or several times at once and takes the first client's answer.
    async fn send(&mut self, key: KeyName, verb: Verb) -> Outcome {
        let at_once = self.errand.at_once;
        if at_once > 1 {
            self.world.recorder.struck(Fault::Duplicates, format!("{key} {at_once}"));
        }
        for _ in 1..at_once {
            let (node, manners) = (self.node(), self.manners(true));
            let world = Arc::clone(&self.world);
            tokio::spawn(async move { world.call(node, key, verb, manners).await });
        }
        self.call(key, verb).await
    }

    async fn send_another_body(mut self) {
        let Some(after) = self.errand.other_body_ms else { return };
        sleep(self.errand.starts_ms + after).await;
        let (key, body) = (self.errand.key, self.errand.body + 1);
        self.world.recorder.struck(Fault::OtherBody, key.to_string());
        self.call(key, Verb::Run { body }).await;
    }

    async fn void_at_once(mut self) {
        let Some(at) = self.errand.void_at_ms else { return };
        sleep(at).await;
        let key = self.errand.key;
        self.world.recorder.struck(Fault::VoidRace, key.to_string());
        self.call(key, Verb::Void).await;
    }
}
