//! One run: a safety phase in which faults strike, then a liveness phase in which none does and
//! everything must end; then the checker reads the history.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::checker::{Violation, check};
use crate::client::clients;
use crate::faults::Fault;
use crate::history::{Happened, History, KeyName, Verb};
use crate::nemesis::strikes;
use crate::node::Node;
use crate::options::Options;
use crate::rng::Rng;
use crate::traffic::{Errand, errands};
use crate::world::{Manners, NODES, World};
use crate::zoo::Flaw;

/// How often the operator looks, in the safety phase.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Tenths of a second that every node may take to start once faults have ended.
const NODES_WAIT: u32 = 600;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the seed expanded to.
    pub options: Options,
    /// What happened.
    pub history: History,
    /// Which promises were broken.
    pub violations: Vec<Violation>,
    /// Calls that were made.
    pub ops: u32,
}

/// Runs a seed as it is.
#[must_use]
pub fn run_seed(seed: u64) -> Report {
    run(Options::of_seed(seed), None)
}

/// Runs `options`, with a flaw of the zoo if one is named.
///
/// # Panics
/// When the system gives no runtime.
#[must_use]
pub fn run(options: Options, flaw: Option<Flaw>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and IO needs nothing from the system");
    let report = runtime.block_on(live(options, flaw));
    // Whatever still runs is of no interest; it is dropped here, in order.
    drop(runtime);
    report
}

async fn live(options: Options, flaw: Option<Flaw>) -> Report {
    let errands = errands(&options);
    let names: BTreeSet<KeyName> =
        errands.iter().flat_map(|errand| [errand.key, errand.spare]).collect();
    let names: Vec<KeyName> = names.into_iter().collect();
    let world = World::new(options, &names, flaw);
    let options = Arc::clone(&world.options);
    for node in &world.nodes {
        keep(&world, node).await;
    }
    let operator = tokio::spawn(operate(Arc::clone(&world)));
    let struck = strikes(&world);
    let sent = clients(&world, &errands);
    tokio::time::sleep(Duration::from_millis(options.safety_ms)).await;
    heal(&world, struck).await;
    let _ended = operator.await;
    let settling = options.settling().to_duration();
    tokio::time::sleep(settling).await;
    rest(&world, &names, false).await;
    resolve_all(&world).await;
    for task in sent {
        // A client that never ends is one of the things the checker finds in the history.
        let _ended_or_not = tokio::time::timeout(settling * 4, task).await;
    }
    resolve_all(&world).await;
    probe(&world, &errands).await;
    tokio::time::sleep(settling).await;
    resolve_all(&world).await;
    rest(&world, &names, true).await;
    let history = world.recorder.history();
    let violations = check(&history, &options.terms());
    let options = Options::clone(&options);
    Report { options, history, violations, ops: world.ops() }
}

/// Starts a node, and again whenever it has died.
async fn keep(world: &Arc<World>, node: &Arc<Node>) {
    let (world, node) = (Arc::clone(world), Arc::clone(node));
    let mut rng = Rng::new(world.options.seed).fork(&format!("keeper {}", node.index()));
    let mut gate = node.start().await;
    tokio::spawn(async move {
        loop {
            gate.died().await;
            node.forget();
            let down = rng.between(100, 4000);
            world.recorder.struck(Fault::NodeCrash, format!("node{} {down} ms", node.index()));
            tokio::time::sleep(Duration::from_millis(down)).await;
            gate = node.start().await;
        }
    });
}

async fn operate(world: Arc<World>) {
    // Ends by itself: a call that was cut off would look like one that is never answered.
    let rounds = world.options.safety_ms / u64::try_from(LOOK_EVERY.as_millis()).unwrap_or(1);
    for n in 0..usize::try_from(rounds).unwrap_or(0) {
        tokio::time::sleep(LOOK_EVERY).await;
        world.operator.round(&world, n % NODES, false).await;
    }
}

/// Ends every fault and waits until both nodes answer.
async fn heal(world: &Arc<World>, struck: Vec<JoinHandle<()>>) {
    for task in struck {
        task.abort();
    }
    world.host.heal();
    // A store that a failed sync has stopped goes on only after a restart.
    world.host.crash();
    world.host.bring_up().await;
    world.sink.heal();
    for node in &world.nodes {
        node.link().heal();
        if let Some(gate) = node.gate() {
            gate.defuse();
            gate.go_on();
        }
    }
    // A store that does not open keeps them from starting; the checker finds that in the history.
    for _ in 0..NODES_WAIT {
        if world.nodes.iter().all(|node| node.gate().is_some()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.recorder.note(Happened::Healed);
}

/// Writes down where every key rests.
async fn rest(world: &Arc<World>, names: &[KeyName], last: bool) {
    for key in names {
        let Some(held) = world.keys.get(key) else { continue };
        if let Ok(record) = world.host.look(held.id).await {
            let state = record.map(|record| record.state);
            world.recorder.note(Happened::Rests { key: *key, state, last });
        }
    }
}

/// The operator goes on until nothing is in doubt, or so long that the checker will find the rest.
async fn resolve_all(world: &Arc<World>) {
    let policy = &world.options.policy;
    let rounds = policy.lease.plus(policy.grace()).as_ms() / 1000 * 2 + 10;
    for _ in 0..rounds {
        if world.operator.round(world, 0, true).await == Some(0) {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Every operation once more at every node: whatever happened must be what is told now.
async fn probe(world: &Arc<World>, errands: &[Errand]) {
    let manners = Manners { there_ms: 1, back_ms: 1, leaves_ms: None };
    for errand in errands {
        for node in 0..NODES {
            world.call(node, errand.key, Verb::Run { body: errand.body }, manners).await;
        }
    }
}
