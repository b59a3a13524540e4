//! What time and people do with a key: sweeps, inquiry, acknowledgement, erasure.

use semel::core::machine::Answer;
use semel::core::store::{Filter, Page};
use semel::core::{Effect, Policy, Span, State};
use semel::engine::{Concluded, EngineConfig, Standing};
use tokio::time::Duration;

use crate::harness::{World, replied, word};

async fn standing(world: &World) -> Standing {
    world.engine.inquire(world.operation(1).id, None, &world.policy).await.unwrap().standing
}

fn policy() -> Policy {
    Policy { retention: Span::from_secs(100), memory: Span::from_secs(1000), ..Policy::default() }
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_kept_for_retention_and_the_key_for_memory() {
    let world = World::with(EngineConfig::default(), policy()).await;
    assert_eq!(standing(&world).await, Standing::Absent);
    assert_eq!(word(&world.run(1).await), "executed");
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(word(&world.run(1).await), "replayed");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(word(&world.run(1).await), "spent");
    assert_eq!(standing(&world).await, Standing::Spent);
    tokio::time::sleep(Duration::from_secs(880)).await;
    assert_eq!(word(&world.run(1).await), "spent", "memory counts from the settle");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(standing(&world).await, Standing::Absent);
    assert_eq!(world.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_doubt_outlives_memory() {
    let world = World::with(EngineConfig::default(), policy()).await;
    let run = world.run_as(world.operation(1), Span::ZERO, Duration::ZERO, Concluded::InDoubt);
    assert_eq!(word(&run.await), "doubted");
    tokio::time::sleep(Duration::from_secs(5000)).await;
    assert_eq!(standing(&world).await, Standing::InDoubt);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_key_is_spent_and_stays_known() {
    let world = World::new().await;
    let id = world.operation(1).id;
    assert_eq!(world.engine.ack(id).await.unwrap().answer, Answer::NotFound);
    assert_eq!(word(&world.run(1).await), "executed");
    assert_eq!(world.engine.ack(id).await.unwrap().answer, Answer::Erased);
    assert_eq!(world.engine.ack(id).await.unwrap().answer, Answer::Already);
    let record = world.engine.show(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.effect()), (State::Spent, Effect::Done));
    assert_eq!(word(&world.run(1).await), "spent");
}

#[tokio::test(start_paused = true)]
async fn a_completed_key_cannot_be_voided_and_tells_its_outcome() {
    let world = World::new().await;
    assert_eq!(word(&world.run(1).await), "executed");
    let id = world.operation(1).id;
    let voided = world.engine.void(id, None, &world.policy).await.unwrap();
    assert_eq!(voided.answer, Answer::Refused);
    let status = voided.record.unwrap().outcome.unwrap().status;
    assert_eq!((status, word(&world.run(1).await)), (Some(201), "replayed"));
}

#[tokio::test(start_paused = true)]
async fn keys_in_doubt_are_listed_for_operators() {
    let world = World::new().await;
    for number in 1..=3 {
        let concluded = if number == 2 { replied() } else { Concluded::InDoubt };
        let run = world.run_as(world.operation(number), Span::ZERO, Duration::ZERO, concluded);
        let _told = run.await;
    }
    let doubt = State::InDoubt(semel::core::Doubt::Declared);
    let filter = Filter { state: Some(doubt), before: None };
    let listing = world.engine.list(filter, Page { after: None, limit: 10 }).await.unwrap();
    let mut expected = vec![world.operation(1).id, world.operation(3).id];
    expected.sort_unstable();
    let found: Vec<_> = listing.records.iter().map(|(id, _)| *id).collect();
    assert_eq!((found, listing.next), (expected, None));
}

#[tokio::test(start_paused = true)]
async fn more_keys_than_a_batch_are_swept_in_one_go() {
    let world = World::with(EngineConfig::default(), policy()).await;
    for number in 1..=600 {
        assert_eq!(word(&world.run(number).await), "executed");
    }
    tokio::time::sleep(Duration::from_millis(101_500)).await;
    let filter = Filter { state: Some(State::Completed), before: None };
    let listing = world.engine.list(filter, Page { after: None, limit: 1000 }).await.unwrap();
    assert_eq!(listing.records.len(), 0, "a batch is 256, and one sweep has come");
}
