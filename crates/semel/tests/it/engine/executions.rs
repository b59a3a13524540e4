//! Executions: they outlive their clients, keep their lease, and end in doubt where nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use semel::core::store::BoxFuture;
use semel::core::{Effect, Policy, Span, State};
use semel::engine::{
    Answered, Bounds, Concluded, EngineConfig, Executed, Spawner, Standing, TokioSpawner,
};
use tokio::time::Duration;

use crate::harness::{World, replied, word};

const SECS_5: Span = Span::from_secs(5);

#[tokio::test(start_paused = true)]
async fn the_execution_goes_on_when_the_first_caller_leaves() {
    let world = World::new().await;
    let first = world.run_as(world.operation(1), SECS_5, Duration::from_secs(1), replied());
    let left = tokio::time::timeout(Duration::from_millis(100), first).await;
    assert!(left.is_err());
    assert_eq!(world.effects(), 0);
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(world.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_execution_keeps_its_lease() {
    let world = World::new().await;
    let long = world.run_as(world.operation(1), SECS_5, Duration::from_secs(60), replied());
    let long = tokio::spawn(long);
    tokio::time::sleep(Duration::from_secs(45)).await;
    let known = world.engine.inquire(world.operation(1).id, None, &world.policy).await.unwrap();
    assert_eq!(known.standing, Standing::InFlight, "four leases later");
    assert_eq!(word(&world.run(1).await), "in-flight");
    assert_eq!(word(&long.await.unwrap()), "executed");
    assert_eq!(world.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_the_ceiling_the_key_falls_in_doubt_and_the_late_outcome_still_counts() {
    let policy = Policy { ceiling: Span::from_secs(30), ..Policy::default() };
    let world = World::with(EngineConfig::default(), policy).await;
    let hung = world.run_as(world.operation(1), SECS_5, Duration::from_secs(100), replied());
    let hung = tokio::spawn(hung);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(word(&world.run(1).await), "in-doubt");
    assert_eq!(word(&hung.await.unwrap()), "executed", "late truth beats doubt");
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(world.effects(), 1);
}

/// Counts the tasks that it starts.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicUsize>);

impl Counting {
    fn started(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Spawner for Counting {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        TokioSpawner.spawn(task);
    }
}

/// The store of this world answers at once, so the claim is granted at the first look: even then the
/// handler must not begin in the caller's own future, which may be dropped at any time.
#[tokio::test(start_paused = true)]
async fn a_handler_begins_in_a_task_of_its_own_and_a_retry_needs_none() {
    let tasks = Counting::default();
    let config = EngineConfig { spawner: Arc::new(tasks.clone()), ..EngineConfig::default() };
    let world = World::with(config, Policy::default()).await;
    let sweep = tasks.started();
    let (began, caller) = (Arc::new(AtomicUsize::new(0)), tokio::task::try_id());
    let (seen, counted) = (Arc::clone(&began), tasks.clone());
    let answered = world
        .engine
        .run(
            world.operation(1),
            Arc::clone(&world.policy),
            Bounds::default(),
            move |_| async move {
                seen.store(counted.started(), Ordering::SeqCst);
                assert_ne!(tokio::task::try_id(), caller);
                Executed { concluded: replied(), live: () }
            },
        )
        .await;
    assert_eq!(word(&answered), "executed");
    assert_eq!((began.load(Ordering::SeqCst), tasks.started()), (sweep + 1, sweep + 1));
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(tasks.started(), sweep + 1, "a retry is answered where it is asked");
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_the_key_in_doubt() {
    let world = World::new().await;
    let told: Answered<()> = world
        .engine
        .run(world.operation(1), Arc::clone(&world.policy), Bounds::default(), |_| async {
            panic!("the handler of this test panics")
        })
        .await;
    assert_eq!(word(&told), "doubted");
    assert_eq!(word(&world.run(1).await), "in-doubt");
    assert_eq!(world.effects(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_released_runs_again_and_what_is_in_doubt_does_not() {
    let world = World::new().await;
    let run = |n, concluded| world.run_as(world.operation(n), SECS_5, Duration::ZERO, concluded);
    assert_eq!(word(&run(1, Concluded::Released).await), "released");
    assert_eq!(word(&run(1, replied()).await), "executed");
    assert_eq!(word(&run(2, Concluded::InDoubt).await), "doubted");
    assert_eq!(word(&run(2, replied()).await), "in-doubt");
    let not_kept = Concluded::NotKept { status: Some(200), effect: Effect::Unknown };
    assert_eq!(word(&run(3, not_kept).await), "executed");
    assert_eq!(word(&run(3, replied()).await), "not-kept");
}

#[tokio::test(start_paused = true)]
async fn attempt_and_derived_keys_are_what_the_handler_sees() {
    let world = World::new().await;
    let run = |number| {
        world.engine.run(
            world.operation(number),
            Arc::clone(&world.policy),
            Bounds::default(),
            |attempt| async move {
                assert!(attempt.may_begin());
                let seen =
                    (attempt.key(), attempt.child_key("email"), attempt.number(), attempt.fence());
                Executed { concluded: Concluded::Released, live: seen }
            },
        )
    };
    let Answered::Released { live: first } = run(1).await else { panic!("released") };
    let Answered::Released { live: second } = run(1).await else { panic!("released") };
    let Answered::Released { live: other } = run(2).await else { panic!("released") };
    assert_eq!((&first.0, &first.1), (&second.0, &second.1), "the same at each attempt");
    assert_ne!(first.0, first.1);
    assert_ne!(first.0, other.0);
    assert_eq!((first.2, second.2), (1, 2));
    assert!(first.3 < second.3);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_runs_and_refuses_what_is_new() {
    let world = World::new().await;
    let running = world.run_as(world.operation(1), SECS_5, Duration::from_secs(3), replied());
    let running = tokio::spawn(running);
    tokio::task::yield_now().await;
    let engine = world.engine.clone();
    let drain = tokio::spawn(async move { engine.drain(Span::from_secs(10)).await });
    tokio::task::yield_now().await;
    assert_eq!(word(&world.run(2).await), "draining");
    let drained = drain.await.unwrap();
    assert_eq!((drained.in_doubt, drained.unfinished), (0, 0));
    assert_eq!(word(&running.await.unwrap()), "executed");
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_off_what_takes_too_long_and_says_in_doubt() {
    let world = World::new().await;
    let running = world.run_as(world.operation(1), SECS_5, Duration::from_secs(60), replied());
    let running = tokio::spawn(running);
    tokio::task::yield_now().await;
    let drained = world.engine.drain(Span::from_secs(2)).await;
    assert_eq!((drained.in_doubt, drained.unfinished), (1, 0));
    assert_eq!(word(&running.await.unwrap()), "doubted");
    let record = world.engine.show(world.operation(1).id).await.unwrap().unwrap();
    assert!(matches!(record.state, State::InDoubt(_)));
}
