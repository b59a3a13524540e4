//! Settles: repeated until certain, never before the reply, never silently dropped.

use std::sync::Arc;

use semel::core::machine::{Answer, Resolution};
use semel::core::record::{Settled, StoredReply};
use semel::core::store::{Put, Store, StoreError, Swap};
use semel::core::{Effect, Fingerprint, Incarnation, OnLapse, Policy, Span, State};
use semel::engine::{Answered, Concluded, EngineConfig, Operation, Recording, Refusal};
use tokio::time::Duration;

use crate::harness::{Fate, World, replied, word};

const SECS_5: Span = Span::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_settle_whose_answer_was_lost_is_found_to_have_landed() {
    let world = World::new().await;
    world.network.swaps(&[Fate::Pass, Fate::AnswerLost]);
    assert_eq!(word(&world.run(1).await), "executed");
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(world.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_settle_goes_on_after_its_caller_was_told_that_it_is_not_recorded() {
    let world = World::new().await;
    let first = world.run_as(world.operation(1), SECS_5, Duration::from_secs(1), replied());
    let first = tokio::spawn(first);
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.network.cut(true);
    let told = first.await.unwrap();
    let Answered::Refused(Refusal::NotRecorded { status, effect, recording }) = &told else {
        panic!("{told:?}")
    };
    assert_eq!((*status, *effect), (Some(201), Effect::Done), "what the handler's reply says");
    assert_eq!(*recording, Recording::GoesOn);
    world.network.cut(false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(world.effects(), 1);
}

fn done_without_a_reply() -> Resolution {
    let reply = StoredReply::Unknown;
    Resolution::Done(Settled { digest: None, status: None, effect: Effect::Done, reply })
}

/// A handler that hangs past its ceiling, so that others may resolve its key meanwhile.
async fn hung(concluded: Concluded) -> (World, tokio::task::JoinHandle<Answered<&'static str>>) {
    let policy = Policy {
        ceiling: Span::from_secs(10),
        max_upstream: Span::from_secs(20),
        ..Policy::default()
    };
    let world = World::with(EngineConfig::default(), policy).await;
    let hung = world.run_as(world.operation(1), SECS_5, Duration::from_secs(120), concluded);
    let hung = tokio::spawn(hung);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(word(&world.run(1).await), "in-doubt");
    (world, hung)
}

#[tokio::test(start_paused = true)]
async fn resolved_as_done_has_no_reply_until_the_late_executor_brings_it() {
    let (world, hung) = hung(replied()).await;
    let id = world.operation(1).id;
    let applied = world.engine.resolve(id, done_without_a_reply()).await.unwrap();
    assert_eq!(applied.answer, Answer::Resolved);
    assert_eq!(word(&world.run(1).await), "not-kept");
    assert_eq!(word(&hung.await.unwrap()), "executed");
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(world.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn released_too_soon_is_refused_and_a_late_done_overturns_a_release() {
    let (world, hung) = hung(replied()).await;
    let id = world.operation(1).id;
    let soon = world.engine.resolve(id, Resolution::Released).await.unwrap();
    assert!(matches!(soon.answer, Answer::TooSoon(_)), "the upstream may still be at work");
    tokio::time::sleep(Duration::from_secs(40)).await;
    let late = world.engine.resolve(id, Resolution::Released).await.unwrap();
    assert_eq!(late.answer, Answer::Resolved);
    assert_eq!(word(&hung.await.unwrap()), "executed", "the executor knows better");
    assert_eq!(word(&world.run(1).await), "replayed");
}

/// A sends, the upstream works slowly, the store's clock jumps ahead: by that clock the grace is over,
/// and the operator truly finds nothing. Released now, another would run beside the first.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_ends_no_grace() {
    let (world, hung) = hung(replied()).await;
    let id = world.operation(1).id;
    world.clock.jump(Span::from_secs(34 * 60));
    let soon = world.engine.resolve(id, Resolution::Released).await.unwrap();
    assert!(matches!(soon.answer, Answer::TooSoon(_)), "{:?}", soon.answer);
    tokio::time::sleep(Duration::from_secs(31)).await;
    let late = world.engine.resolve(id, Resolution::Released).await.unwrap();
    assert_eq!(late.answer, Answer::Resolved, "a whole grace was seen to pass");
    drop(hung);
}

#[tokio::test(start_paused = true)]
async fn under_rerun_another_takes_over_and_the_first_is_answered_from_the_record() {
    let policy =
        Policy { ceiling: Span::from_secs(10), on_lapse: OnLapse::Rerun, ..Policy::default() };
    let world = World::with(EngineConfig::default(), policy).await;
    let first = world.run_as(world.operation(1), SECS_5, Duration::from_secs(60), replied());
    let first = tokio::spawn(first);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(word(&world.run(1).await), "executed");
    assert_eq!(word(&first.await.unwrap()), "replayed", "the record speaks, not the late reply");
    assert_eq!(world.effects(), 2, "rerun is for effects that bear it");
}

#[tokio::test(start_paused = true)]
async fn a_release_after_an_earlier_doubt_is_a_doubt() {
    let policy = Policy { on_lapse: OnLapse::Rerun, ..Policy::default() };
    let world = World::with(EngineConfig::default(), policy).await;
    let run = |concluded| world.run_as(world.operation(1), SECS_5, Duration::ZERO, concluded);
    assert_eq!(word(&run(Concluded::InDoubt).await), "doubted");
    assert_eq!(word(&run(Concluded::Released).await), "doubted", "it speaks only for itself");
    let record = world.engine.show(world.operation(1).id).await.unwrap().unwrap();
    assert!(matches!(record.state, State::InDoubt(_)));
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_on_a_store_that_began_another_life() {
    let world = World::new().await;
    let config = EngineConfig::default();
    let other = World::with(config, Policy::default()).await;
    // An engine that knows one life is put before a store of another.
    let store = Arc::new(crate::harness::Switch::new(
        Arc::clone(&world.network) as Arc<dyn semel::core::Store>,
        Arc::clone(&other.network) as Arc<dyn semel::core::Store>,
    ));
    let engine = semel::engine::Engine::start(
        Arc::clone(&store) as Arc<dyn semel::core::Store>,
        semel::core::Secret::new(&[7; 32]),
        EngineConfig::default(),
    )
    .await
    .unwrap();
    store.switch();
    let world = World { engine, ..world };
    assert_eq!((word(&world.run(1).await), world.effects()), ("store", 0));
}

/// Found by the simulator: an executor that had released its key, and had to repeat that settle
/// because its answer was lost, found another body's completed record there and gave its caller the
/// other request's reply.
#[tokio::test(start_paused = true)]
async fn a_released_executor_is_not_given_the_reply_of_another_body() {
    let world = World::new().await;
    world.network.swaps(&[Fate::Pass, Fate::AnswerLost]);
    let first = world.operation(1);
    let other = Operation {
        fingerprint: Fingerprint { rules: 1, digest: [2; 16], parts: [2; 6] },
        ..first.clone()
    };
    let takes = Duration::from_millis(100);
    let first = tokio::spawn(world.run_as(first, SECS_5, takes, Concluded::Released));
    // The settle lands at 100 ms and is repeated 10 ms later.
    tokio::time::sleep(Duration::from_millis(105)).await;
    let other = world.run_as(other, SECS_5, Duration::ZERO, replied()).await;
    assert_eq!(word(&other), "executed");
    assert_eq!(word(&first.await.unwrap()), "mismatch");
}

/// Runs a handler that is under way while `meanwhile` is done to its store.
async fn settles_after(
    world: &World,
    concluded: Concluded,
    meanwhile: impl Future<Output = ()>,
) -> Answered<&'static str> {
    let first = world.run_as(world.operation(1), SECS_5, Duration::from_secs(1), concluded);
    let first = tokio::spawn(first);
    tokio::time::sleep(Duration::from_millis(500)).await;
    meanwhile.await;
    first.await.unwrap()
}

/// The caller was told that its outcome was still being written, where nobody wrote it any more.
#[tokio::test(start_paused = true)]
async fn where_writing_cannot_go_on_the_caller_is_told_so_at_once() {
    let reason = || "a sync failed".to_owned();
    let other = Incarnation([9; 16]);
    for (error, expected) in [
        (StoreError::Poisoned { reason: reason() }, Recording::Stopped),
        (StoreError::Closed { reason: reason() }, Recording::Stopped),
        (StoreError::Damaged { what: reason() }, Recording::Lost),
        (StoreError::WrongIncarnation { expected: other, found: other }, Recording::Lost),
    ] {
        let world = World::new().await;
        let breaks = async { world.network.breaks(error.clone()) };
        let told = settles_after(&world, replied(), breaks).await;
        let Answered::Refused(Refusal::NotRecorded { status, effect, recording }) = told else {
            panic!("{error}: {told:?}")
        };
        assert_eq!((status, effect, recording), (Some(201), Effect::Done, expected), "{error}");
    }
}

/// Somebody puts an older copy of the store in place, in which the key is unknown.
async fn forget(world: &World) {
    let id = world.operation(1).id;
    let loaded = world.network.load(id).await.unwrap();
    let incarnation = world.network.status().await.unwrap().incarnation;
    let expected = loaded.record.map(|record| record.version());
    let deadline = loaded.at.plus(SECS_5);
    let swap = Swap { id, incarnation, expected, write: Put::Delete, deadline };
    world.network.swap(swap).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_gone_is_no_promise_that_a_retry_will_not_run() {
    let world = World::new().await;
    let told = settles_after(&world, replied(), forget(&world)).await;
    assert_eq!(word(&told), "outcome-lost");
    assert_eq!(word(&world.run(1).await), "executed", "which is why it was not told to try again");
}

#[tokio::test(start_paused = true)]
async fn what_did_nothing_and_is_not_remembered_is_released() {
    let world = World::new().await;
    let told = settles_after(&world, Concluded::Released, forget(&world)).await;
    assert_eq!(word(&told), "released");
}

/// What an operator had done was judged anew, and told to be impossible.
#[tokio::test(start_paused = true)]
async fn an_act_whose_answer_was_lost_is_told_as_done() {
    let world = World::new().await;
    let id = world.operation(1).id;
    let run = world.run_as(world.operation(1), Span::ZERO, Duration::ZERO, Concluded::InDoubt);
    assert_eq!(word(&run.await), "doubted");
    world.network.swaps(&[Fate::AnswerLost]);
    let resolved = world.engine.resolve(id, done_without_a_reply()).await.unwrap();
    assert_eq!(resolved.answer, Answer::Resolved);
    assert_eq!(resolved.record.unwrap().state, State::Completed);
    world.network.swaps(&[Fate::AnswerLost]);
    assert_eq!(world.engine.erase(id).await.unwrap().answer, Answer::Erased);
}
