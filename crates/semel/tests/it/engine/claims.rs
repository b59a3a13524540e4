//! Claims: one winner, own claims known again, nothing left behind.

use std::sync::Arc;

use semel::core::machine::Answer;
use semel::core::{Policy, Secret, Span, State, Store};
use semel::engine::{Concluded, Engine, EngineConfig, Refusal, Standing, StartError};
use tokio::time::Duration;

use crate::harness::{Fate, World, operation, replied, word};

#[tokio::test(start_paused = true)]
async fn the_first_runs_and_the_second_gets_its_reply() {
    let world = World::new().await;
    assert_eq!(word(&world.run(1).await), "executed");
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(word(&world.run(2).await), "executed");
    assert_eq!(world.effects(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_request_under_the_same_key_is_a_mismatch_and_runs_nothing() {
    let world = World::new().await;
    assert_eq!(word(&world.run(1).await), "executed");
    let other = operation(world.engine.secret(), 1, 2);
    let told = world.run_as(other, Span::from_secs(5), Duration::ZERO, replied()).await;
    assert_eq!((word(&told), world.effects()), ("mismatch", 1));
}

#[tokio::test(start_paused = true)]
async fn of_fifty_at_once_one_runs_and_the_others_wait_for_its_reply() {
    let world = World::new().await;
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (wait, takes) = (Span::from_secs(5), Duration::from_secs(1));
            tokio::spawn(world.run_as(world.operation(1), wait, takes, replied()))
        })
        .collect();
    let mut words = Vec::new();
    for caller in callers {
        words.push(word(&caller.await.unwrap()));
    }
    words.sort_unstable();
    assert_eq!((words[0], world.effects()), ("executed", 1));
    assert!(words[1..].iter().all(|w| *w == "replayed"), "{words:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_zero_is_told_at_once_and_a_wait_ends_at_its_bound() {
    let world = World::new().await;
    let original =
        world.run_as(world.operation(1), Span::from_secs(5), Duration::from_secs(8), replied());
    let original = tokio::spawn(original);
    tokio::task::yield_now().await;
    let before = tokio::time::Instant::now();
    let at_once = world.run_as(world.operation(1), Span::ZERO, Duration::ZERO, replied()).await;
    assert_eq!((word(&at_once), before.elapsed()), ("in-flight", Duration::ZERO));
    let bounded =
        world.run_as(world.operation(1), Span::from_secs(2), Duration::ZERO, replied()).await;
    assert_eq!((word(&bounded), before.elapsed().as_secs()), ("in-flight", 2));
    assert_eq!(word(&original.await.unwrap()), "executed");
    assert_eq!(world.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_original_is_released_one_waiter_runs_and_the_others_wait_on() {
    let world = World::new().await;
    let secs = |s| (Span::from_secs(30), Duration::from_secs(s));
    let (wait, takes) = secs(1);
    let first = world.run_as(world.operation(1), wait, takes, Concluded::Released);
    let first = tokio::spawn(first);
    tokio::task::yield_now().await;
    let (wait, takes) = secs(2);
    let waiters: Vec<_> = (0..10)
        .map(|_| tokio::spawn(world.run_as(world.operation(1), wait, takes, replied())))
        .collect();
    assert_eq!(word(&first.await.unwrap()), "released");
    let mut words = Vec::new();
    for waiter in waiters {
        words.push(word(&waiter.await.unwrap()));
    }
    words.sort_unstable();
    assert_eq!(words[0], "executed");
    assert!(words[1..].iter().all(|w| *w == "replayed"), "{words:?}");
    assert_eq!(world.effects(), 2, "the released one ran, too");
}

#[tokio::test(start_paused = true)]
async fn waiters_are_bounded_per_key() {
    let config = EngineConfig { waiters_per_key_max: 1, ..EngineConfig::default() };
    let world = World::with(config, Default::default()).await;
    let (wait, takes) = (Span::from_secs(5), Duration::from_secs(3));
    let callers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(world.run_as(world.operation(1), wait, takes, replied())))
        .collect();
    let mut words = Vec::new();
    for caller in callers {
        words.push(word(&caller.await.unwrap()));
    }
    words.sort_unstable();
    assert_eq!(words, ["executed", "in-flight", "replayed"]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_known_again_and_runs_once() {
    let world = World::new().await;
    world.network.swaps(&[Fate::AnswerLost]);
    assert_eq!(word(&world.run(1).await), "executed");
    assert_eq!(world.effects(), 1);
    let record = world.engine.show(world.operation(1).id).await.unwrap().unwrap();
    assert_eq!(record.attempt, 1, "a claim that ran nothing is no attempt");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_never_reached_the_store_is_sent_again() {
    let world = World::new().await;
    world.network.swaps(&[Fate::Unreached, Fate::Unreached]);
    assert_eq!(word(&world.run(1).await), "executed");
    assert_eq!(world.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_given_up_is_withdrawn_and_leaves_no_doubt() {
    let world = World::new().await;
    // It lands, its answer is lost, and then nothing is to be reached for a while.
    world.network.swaps(&[Fate::AnswerLost]);
    let network = Arc::clone(&world.network);
    let cut = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        network.cut(true);
        tokio::time::sleep(Duration::from_secs(3)).await;
        network.cut(false);
    });
    let told = world.run(1).await;
    assert_eq!((word(&told), world.effects()), ("store", 0));
    cut.await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let known = world.engine.inquire(world.operation(1).id, None, &world.policy).await.unwrap();
    assert_eq!(known.standing, Standing::Absent, "an orphan would lapse into a doubt");
    assert_eq!(word(&world.run(1).await), "executed");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_arrives_after_its_lease_runs_nothing() {
    let policy =
        semel::core::Policy { lease: Span::from_secs(6), ..semel::core::Policy::default() };
    // The deadline bounds the wait for an answer, so it is set beyond what a policy would allow.
    let config = EngineConfig { deadline: Span::from_secs(20), ..EngineConfig::default() };
    let world = World::with(config, policy).await;
    world.network.swaps(&[Fate::AnswerLate(Duration::from_secs(7))]);
    let told = world.run(1).await;
    assert_eq!((word(&told), world.effects()), ("in-flight", 0));
    let record = world.engine.show(world.operation(1).id).await.unwrap().unwrap();
    assert_eq!(record.state, State::Released);
    assert_eq!(word(&world.run(1).await), "executed");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_cap_a_new_key_is_refused_and_a_known_one_answered() {
    let config = EngineConfig { in_flight_max: 1, ..EngineConfig::default() };
    let world = World::with(config, Default::default()).await;
    assert_eq!(word(&world.run(1).await), "executed");
    let (wait, takes) = (Span::from_secs(5), Duration::from_secs(3));
    let busy = tokio::spawn(world.run_as(world.operation(2), wait, takes, replied()));
    tokio::task::yield_now().await;
    assert_eq!(world.engine.in_flight(), 1);
    assert_eq!(word(&world.run(3).await), "overloaded");
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(word(&busy.await.unwrap()), "executed");
    assert_eq!(word(&world.run(3).await), "executed");
}

#[tokio::test(start_paused = true)]
async fn another_secret_or_another_life_of_the_store_is_refused_at_the_start() {
    let world = World::new().await;
    let store = Arc::clone(&world.network) as Arc<dyn Store>;
    let other = Engine::start(Arc::clone(&store), Secret::new(&[8; 32]), EngineConfig::default());
    assert_eq!(other.await.err(), Some(StartError::OtherSecret));

    let expected = semel::core::Incarnation([9; 16]);
    let config = EngineConfig { incarnation: Some(expected), ..EngineConfig::default() };
    let other = Engine::start(store, Secret::new(&[7; 32]), config).await;
    assert!(
        matches!(other.err(), Some(StartError::OtherIncarnation { expected: e, .. }) if e == expected)
    );
}

#[tokio::test(start_paused = true)]
async fn a_void_of_a_running_key_is_refused_and_of_an_unseen_one_kept() {
    let world = World::new().await;
    let voided = world.engine.void(world.operation(1).id, None, &world.policy).await.unwrap();
    assert_eq!(voided.answer, Answer::Voided);
    let again = world.engine.void(world.operation(1).id, None, &world.policy).await.unwrap();
    assert_eq!(again.answer, Answer::Already);
    assert_eq!(word(&world.run(1).await), "void");
    assert_eq!(world.effects(), 0);
    assert!(!matches!(world.run(2).await, semel::engine::Answered::Refused(Refusal::Void { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lapsed_key_at_the_cap_is_in_doubt_and_not_in_flight() {
    let sweep_every = Span::from_secs(3600);
    let config = EngineConfig { in_flight_max: 1, sweep_every, ..EngineConfig::default() };
    let policy = Policy { ceiling: Span::from_secs(10), ..Policy::default() };
    let world = World::with(config, policy).await;
    let takes = Duration::from_secs(60);
    let hung = tokio::spawn(world.run_as(world.operation(1), Span::ZERO, takes, replied()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(word(&world.run(1).await), "in-doubt");
    assert_eq!(word(&hung.await.unwrap()), "executed");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_at_the_cap_waits_for_its_original() {
    let config = EngineConfig { in_flight_max: 1, ..EngineConfig::default() };
    let world = World::with(config, Policy::default()).await;
    let takes = Duration::from_secs(3);
    let first = tokio::spawn(world.run_as(world.operation(1), Span::ZERO, takes, replied()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let wait = Span::from_secs(5);
    let again = world.run_as(world.operation(1), wait, Duration::ZERO, replied()).await;
    assert_eq!(word(&again), "replayed");
    assert_eq!(word(&first.await.unwrap()), "executed");
    assert_eq!(world.effects(), 1);
}
