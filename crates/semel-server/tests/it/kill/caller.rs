//! A caller as it should be: one key for each charge, and the same request until it has an answer.

use std::sync::Arc;

use tokio::sync::watch;

use super::Scene;
use super::chance::Chance;
use crate::harness::client::{Client, Reply, Request};
use crate::harness::within;

/// How the story of one charge ended for its caller.
#[derive(Debug)]
pub(super) enum Ending {
    /// With a reply.
    Answered(Substance),
    /// With the word that nobody knows.
    InDoubt,
}

/// One charge.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: String,
    pub(super) order: String,
    pub(super) ending: Ending,
}

impl Known {
    pub(super) fn request(&self) -> Request {
        request(&self.key, &self.order)
    }
}

fn request(key: &str, order: &str) -> Request {
    Request::new("POST", "/v1/charges")
        .header("Content-Type", "text/plain")
        .header("Prefer", "wait=2")
        .key(key)
        .bearer("caller-one")
        .body(order)
}

/// What of a reply must be the same each time.
#[derive(PartialEq, Eq)]
pub(super) struct Substance {
    status: u16,
    charge: Option<String>,
    body: Vec<u8>,
}

impl std::fmt::Debug for Substance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (status, charge) = (self.status, self.charge.as_deref().unwrap_or("no charge"));
        write!(f, "{status} {charge}, {} bytes", self.body.len())
    }
}

pub(super) fn substance(reply: &Reply) -> Substance {
    let charge = reply.header("x-charge").map(str::to_owned);
    Substance { status: reply.status, charge, body: reply.body.clone() }
}

#[derive(Debug)]
pub(super) struct Caller {
    name: usize,
    scene: Arc<Scene>,
    chance: Chance,
    stopped: watch::Receiver<bool>,
    /// The key that it waits for an answer to.
    pub(super) current: watch::Sender<Option<String>>,
}

impl Caller {
    pub(super) fn new(
        name: usize,
        scene: Arc<Scene>,
        seed: u64,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let current = watch::Sender::new(None);
        Self { name, scene, chance: Chance::new(seed), stopped, current }
    }

    /// Charges until it is told to stop, and finishes what it began.
    pub(super) async fn run(mut self) -> Vec<Known> {
        let mut known = vec![];
        while !*self.stopped.borrow() {
            let key = format!("{:016x}-{:02}-{:06}", self.scene.seed, self.name, known.len());
            let order = format!("order {key}");
            self.current.send_replace(Some(key.clone()));
            let ending = self.charge(&key, &order).await;
            self.current.send_replace(None);
            if let (Ending::Answered(first), 0) = (&ending, self.chance.below(4)) {
                // Once more, perhaps of another process: the same.
                match self.charge(&key, &order).await {
                    Ending::Answered(again) => assert_eq!(again, *first, "{key}"),
                    Ending::InDoubt => panic!("{key} was answered, and is in doubt now"),
                }
            }
            known.push(Known { key, order, ending });
        }
        known
    }

    /// Sends it until there is an answer.
    async fn charge(&mut self, key: &str, order: &str) -> Ending {
        let mut place = self.scene.place.subscribe();
        let mut last = 0;
        loop {
            let at =
                within("the server is up", place.wait_for(|(n, at)| *n > last && at.is_some()));
            let (start, at) = *at.await.unwrap();
            let at = at.expect("it was waited for");
            self.scene.event();
            let Some(mut client) = Client::try_connect(at).await else {
                last = start;
                continue;
            };
            client.request(&request(key, order)).await;
            if self.chance.below(16) == 0 {
                // It loses its connection and begins anew.
                client.reset();
                continue;
            }
            let Ok(reply) = client.reply("POST").await else {
                // Only a death breaks a reply off.
                last = start;
                continue;
            };
            self.scene.event();
            match (reply.status, reply.verdict()) {
                (201, Some("executed" | "replayed")) => {
                    assert!(reply.body.starts_with(order.as_bytes()), "{key}: another's reply");
                    return Ending::Answered(substance(&reply));
                }
                (409, Some("in-doubt")) => return Ending::InDoubt,
                // Turned away by the upstream; or still under way; or not yet written down.
                (429, Some("released"))
                | (409 | 503, Some("in-flight"))
                | (503, Some("refused")) => {}
                other => panic!("{key} got {other:?}: {}", reply.text()),
            }
        }
    }
}
