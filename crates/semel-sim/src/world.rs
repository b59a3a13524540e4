//! All the parts of a run, wired together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use semel::core::{Key, Principal, Scope, Secret};
use tokio::time::timeout;

use crate::clock::{START, SimClock};
use crate::faults::Fault;
use crate::history::{Happened, KeyName, Op, Outcome, Recorder, Verb};
use crate::host::Host;
use crate::link::Link;
use crate::node::{Ground, Held, Node};
use crate::operator::Operator;
use crate::options::Options;
use crate::rng::Rng;
use crate::sink::Sink;
use crate::zoo::Flaw;

/// Nodes of every run.
pub const NODES: usize = 2;
/// No honest client waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// What the seed expands to.
    pub options: Arc<Options>,
    /// Writes the history.
    pub recorder: Arc<Recorder>,
    /// The store's wall clock.
    pub clock: Arc<SimClock>,
    /// The store's machine.
    pub host: Arc<Host>,
    /// The upstream.
    pub sink: Arc<Sink>,
    /// The nodes.
    pub nodes: Vec<Arc<Node>>,
    /// The operator.
    pub operator: Operator,
    /// One for all processes on the store.
    pub secret: Secret,
    /// Keys as clients hold them.
    pub keys: BTreeMap<KeyName, Held>,
    ops: AtomicU32,
}

/// How a client behaves during one call.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// On the way to the node.
    pub there_ms: u64,
    /// On the way back.
    pub back_ms: u64,
    /// The client leaves after so long.
    pub leaves_ms: Option<u64>,
}

impl World {
    /// Wires a run up; nothing runs yet. To be called on the run's runtime, whose clock it takes.
    ///
    /// # Panics
    /// When a key of the simulator's own making is not a key.
    #[must_use]
    pub fn new(options: Options, names: &[KeyName], flaw: Option<Flaw>) -> Arc<Self> {
        let rng = Rng::new(options.seed);
        let mut bytes = [0; 32];
        let mut drawn = rng.fork("secret");
        bytes.iter_mut().for_each(|byte| *byte = drawn.draw().to_le_bytes()[0]);
        let secret = Secret::new(&bytes);
        let keys: BTreeMap<KeyName, Held> =
            names.iter().map(|name| (*name, held(&options, &secret, *name))).collect();
        let ids = keys.values().map(|held| (held.id, held.name)).collect();
        let options = Arc::new(options);
        let recorder = Arc::new(Recorder::new(ids));
        let clock = Arc::new(SimClock::default());
        let host = Arc::new(Host::new(&options, recorder.clone(), clock.clone(), flaw));
        let sink = Arc::new(Sink::new(recorder.clone(), options.clone()));
        let ground = Ground {
            recorder: recorder.clone(),
            options: options.clone(),
            sink: sink.clone(),
            secret: secret.clone(),
            incarnation: host.incarnation(),
            flaw,
        };
        let node = |index: usize| {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            let (host, recorder) = (host.clone(), recorder.clone());
            let link = Arc::new(Link::new(index, host, recorder, options.clone(), flaw));
            Arc::new(Node::new(index, ground.clone(), link))
        };
        let nodes = (0..NODES).map(node).collect();
        let (operator, ops) = (Operator::new(&rng), AtomicU32::new(0));
        Arc::new(Self { options, recorder, clock, host, sink, nodes, operator, secret, keys, ops })
    }

    /// A name for another call.
    pub fn next_op(&self) -> Op {
        self.ops.fetch_add(1, Ordering::SeqCst)
    }

    /// Calls that were made.
    #[must_use]
    pub fn ops(&self) -> u32 {
        self.ops.load(Ordering::SeqCst)
    }

    /// Whether the store's clock tells the true time throughout.
    #[must_use]
    pub fn clock_is_steady(&self) -> bool {
        let jumps = [Fault::ClockAhead, Fault::ClockBack, Fault::ClockWild];
        jumps.iter().all(|fault| !self.options.strikes.contains_key(fault))
    }

    /// A client calls a node, over a network that takes its time, and may leave before its answer.
    ///
    /// # Panics
    /// When the key is not one of this run, or the verb is an operator's.
    pub async fn call(&self, node: usize, key: KeyName, verb: Verb, manners: Manners) -> Outcome {
        let op = self.next_op();
        let held = self.keys.get(&key).expect("every key of a run is made at its start");
        let name = u8::try_from(node).unwrap_or(u8::MAX);
        self.recorder.note(Happened::Invoke { op, node: name, key, verb });
        let at_node = &self.nodes[node];
        let work = async {
            tokio::time::sleep(Duration::from_millis(manners.there_ms)).await;
            let outcome = match verb {
                Verb::Run { body } => at_node.run(op, held, body).await,
                Verb::Void => at_node.void(held).await,
                Verb::Ack => at_node.ack(held).await,
                Verb::Inquire => at_node.inquire(held).await,
                Verb::ResolveDone | Verb::ResolveReleased => {
                    unreachable!("clients do not resolve; see operator.rs")
                }
            };
            tokio::time::sleep(Duration::from_millis(manners.back_ms)).await;
            outcome
        };
        let patience = manners.leaves_ms.map_or(PATIENCE, Duration::from_millis);
        let outcome = match timeout(patience, work).await {
            Ok(outcome) => outcome,
            Err(_) => {
                if manners.leaves_ms.is_some() {
                    self.recorder.struck(Fault::ClientLeft, format!("op{op}"));
                }
                Outcome::Unknown
            }
        };
        self.recorder.note(Happened::Return { op, outcome });
        outcome
    }
}

fn held(options: &Options, secret: &Secret, name: KeyName) -> Held {
    let number = u64::from(name.key);
    let text = if options.dated_keys {
        // RFC 9562 §5.7: 48 bits of milliseconds, version 7, variant 10.
        let ms = START.as_unix_ms() + number;
        let (high, low) = (ms >> 16, ms & 0xffff);
        format!("{high:08x}-{low:04x}-7{:03x}-8000-{number:012x}", name.key % 4096)
    } else {
        format!("order-{number:05}-0123456789abcdef")
    };
    let key = Key::from_text(&text).expect("printable and short");
    let tenant = format!("tenant-{}", name.tenant);
    let principal = Principal::named(tenant.as_bytes()).expect("not empty");
    let id = secret.record_id(&Scope::new("sim", principal), &key);
    Held { name, key, id }
}
