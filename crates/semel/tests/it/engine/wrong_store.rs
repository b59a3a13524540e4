//! A store that came back empty, and one whose clock jumped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use semel::core::{Policy, Secret, Span, State, Store, StoreError, Timestamp};
use semel::engine::{Answered, Bounds, Engine, EngineConfig, Executed};
use semel::entropy::SystemEntropy;
use semel::store::MemoryStore;
use semel::time::WallClock;
use tokio::time::Duration;

use crate::harness::{START, Switch, TokioClock, operation, replied, word};

/// Tokio's time, and a time of day that jumps ahead of it.
#[derive(Debug)]
struct Jumping(Arc<TokioClock>, AtomicU64);

impl WallClock for Jumping {
    fn now(&self) -> Timestamp {
        self.0.now().plus(Span::from_ms(self.1.load(Ordering::SeqCst)))
    }

    fn monotonic(&self) -> Span {
        self.0.now().since(START)
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(TokioClock::new(), &SystemEntropy))
}

async fn engine(store: Arc<dyn Store>) -> Engine {
    Engine::start(store, Secret::new(&[7; 32]), EngineConfig::default()).await.unwrap()
}

async fn run(engine: &Engine, number: u32, takes: Duration) -> Answered<Bytes> {
    let policy = Policy { ceiling: Span::from_secs(20), ..Policy::default() };
    let operation = operation(engine.secret(), number, 1);
    let handler = move |_attempt| async move {
        tokio::time::sleep(takes).await;
        Executed { concluded: replied(), live: Bytes::from_static(b"charged") }
    };
    engine.run(operation, Arc::new(policy), Bounds::default(), handler).await
}

/// Found by the simulator: only swaps named the incarnation, so an inquiry of a key that had been
/// completed was answered "absent, effect none", and a void of a timed key "too new", out of a store
/// that had come back empty.
#[tokio::test(start_paused = true)]
async fn an_empty_store_is_not_believed_when_it_says_that_there_is_no_such_key() {
    let store = Arc::new(Switch::new(memory(), memory()));
    let engine = engine(Arc::clone(&store) as Arc<dyn Store>).await;
    assert_eq!(word(&run(&engine, 1, Duration::ZERO).await), "executed");
    store.switch();
    let operation = operation(engine.secret(), 1, 1);
    let policy = Policy::default();
    let known = engine.inquire(operation.id, Some(&operation.key), &policy).await;
    assert!(matches!(known, Err(StoreError::WrongIncarnation { .. })), "{known:?}");
    let voided = engine.void(operation.id, Some(&operation.key), &policy).await;
    assert!(matches!(voided, Err(StoreError::WrongIncarnation { .. })), "{voided:?}");
}

/// Found by the simulator: the store refused to delete keys by a clock that looked wrong, but the
/// sweep went on dropping replies by it; and its first refused deletion kept leases from lapsing.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumped_drops_no_reply_and_leases_lapse_all_the_same() {
    let clock = Arc::new(Jumping(TokioClock::new(), AtomicU64::new(0)));
    let store = Arc::new(MemoryStore::new(clock.clone(), &SystemEntropy));
    replies_stay_and_leases_lapse(&clock, store).await;
}

/// Over a jump of a year ahead.
async fn replies_stay_and_leases_lapse(clock: &Jumping, store: Arc<dyn Store>) {
    let engine = engine(store).await;
    assert_eq!(word(&run(&engine, 1, Duration::ZERO).await), "executed");
    let hung = engine.clone();
    tokio::spawn(async move { run(&hung, 2, Duration::from_secs(3600)).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.1.store(Span::from_secs(365 * 24 * 3600).as_ms(), Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(word(&run(&engine, 1, Duration::ZERO).await), "replayed");
    let hung = engine.show(operation(engine.secret(), 2, 1).id).await.unwrap();
    assert!(matches!(hung.unwrap().state, State::InDoubt(_)), "past its ceiling");
}

/// Found by the simulator: the clock jumped while the sweep's look at it was on its way, another call told
/// the engine the new time, and the sweep dropped replies by it.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_while_the_sweep_asks_for_it_drops_no_reply() {
    let clock = Arc::new(Jumping(TokioClock::new(), AtomicU64::new(0)));
    let memory_of = || Arc::new(MemoryStore::new(clock.clone(), &SystemEntropy));
    let store = Arc::new(Switch::new(memory_of(), memory()));
    let engine = engine(Arc::clone(&store) as Arc<dyn Store>).await;
    assert_eq!(word(&run(&engine, 1, Duration::ZERO).await), "executed");
    let held = store.hold_status();
    held.given.notified().await;
    clock.1.store(Span::from_secs(365 * 24 * 3600).as_ms(), Ordering::SeqCst);
    let known = engine.show(operation(engine.secret(), 1, 1).id).await.unwrap();
    assert_eq!(known.unwrap().state, State::Completed);
    held.arrives.notify_one();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(word(&run(&engine, 1, Duration::ZERO).await), "replayed");
}

/// A store of ten million keys was listed whole, every second, for as long as its clock looked wrong.
#[tokio::test(start_paused = true)]
async fn where_keys_leave_in_bulk_a_clock_that_jumped_makes_nobody_read_the_whole_store() {
    let clock = Arc::new(Jumping(TokioClock::new(), AtomicU64::new(0)));
    let jumping = Arc::new(MemoryStore::new(clock.clone(), &SystemEntropy));
    let store = Arc::new(Switch::new(jumping, memory()));
    store.in_bulk.store(true, Ordering::SeqCst);
    replies_stay_and_leases_lapse(&clock, Arc::clone(&store) as Arc<dyn Store>).await;
    assert_eq!(store.lists.load(Ordering::SeqCst), 0);
}
