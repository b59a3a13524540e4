//! Doubt settled by asking: what is found, what is not found and when that is proof, and that nothing
//! else ends a doubt.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use semel::core::machine::{Answer, Resolution};
use semel::core::store::BoxFuture;
use semel::core::{Policy, RouteTag, SealedUnder, Secret, Span, State, StoredReply};
use semel::engine::{
    About, Concluded, EngineConfig, Found, LookUp, Reconciled, Reconciler, settled_reply,
};
use semel::entropy::SystemEntropy;
use tokio::time::{Duration, Instant};

use crate::harness::{Fate, World, replied, word};

const ROUTE: RouteTag = RouteTag([1; 8]);
const LATER: Duration = Duration::from_secs(75);

/// Answers as it is told, then always that it knows of nothing; and says when it was asked, and of what.
#[derive(Debug)]
struct Callee {
    answers: Mutex<VecDeque<Found>>,
    always: Found,
    consistent: bool,
    asked: Mutex<Vec<(Instant, About)>>,
}

impl Callee {
    fn knows(answers: &[Found]) -> Arc<Self> {
        Self::with(answers, Found::Nothing, true)
    }

    fn with(answers: &[Found], always: Found, consistent: bool) -> Arc<Self> {
        let answers = Mutex::new(answers.iter().cloned().collect());
        Arc::new(Self { answers, always, consistent, asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
}

impl LookUp for Callee {
    fn look<'a>(&'a self, about: &'a About) -> BoxFuture<'a, Found> {
        self.asked.lock().unwrap().push((Instant::now(), about.clone()));
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| self.always.clone());
        Box::pin(async move { answer })
    }

    fn is_consistent(&self) -> bool {
        self.consistent
    }
}

fn charged() -> Found {
    Found::Reply { status: Some(200), plain: Bytes::from_static(b"charged") }
}

fn unknown() -> Found {
    Found::Unknown { reason: "it was slow".to_owned() }
}

/// A key that its own executor declared in doubt, on a route with a name. The grace is 70 s, after a
/// lease of 10 s.
async fn doubted() -> World {
    let world = World::with(EngineConfig::default(), policy()).await;
    doubt(&world, 1).await;
    world
}

fn policy() -> Policy {
    Policy { route: Some(ROUTE), ..Policy::default() }
}

async fn doubt(world: &World, number: u32) {
    let operation = world.operation(number);
    let run = world.run_as(operation, Span::ZERO, Duration::ZERO, Concluded::InDoubt);
    assert_eq!(word(&run.await), "doubted");
}

async fn reconcile(world: &World, callee: &Callee) -> Reconciled {
    world.engine.reconcile(world.operation(1).id, ROUTE, callee).await.unwrap()
}

async fn state(world: &World, number: u32) -> State {
    world.engine.show(world.operation(number).id).await.unwrap().unwrap().state
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_replayed_and_never_run_again() {
    let world = doubted().await;
    let callee = Callee::knows(&[charged()]);
    assert_eq!(reconcile(&world, &callee).await, Reconciled::Settled);
    assert_eq!(word(&world.run(1).await), "replayed");
    assert_eq!(world.effects(), 1);
    let record = world.engine.show(world.operation(1).id).await.unwrap().unwrap();
    let Some(StoredReply::Sealed(sealed)) = record.outcome.map(|outcome| outcome.reply) else {
        panic!("the reply is kept")
    };
    assert_eq!(sealed.under, SealedUnder::Server, "no caller was there to show its key");
    let about = callee.asked.lock().unwrap()[0].1.clone();
    let key = world.engine.secret().derived_key(&world.operation(1).id, "");
    assert_eq!((about.key, about.attempts), (key, 1));
    assert_eq!(reconcile(&world, &callee).await, Reconciled::NotInDoubt);
    assert_eq!(callee.asked().len(), 1, "nobody is asked about what is certain");
}

#[tokio::test(start_paused = true)]
async fn what_happened_and_left_no_reply_is_known_to_have_happened() {
    let world = doubted().await;
    let callee = Callee::knows(&[Found::Done { status: Some(201) }]);
    assert_eq!(reconcile(&world, &callee).await, Reconciled::Settled);
    assert_eq!(word(&world.run(1).await), "not-kept");
}

#[tokio::test(start_paused = true)]
async fn not_found_releases_after_the_grace_by_two_looks_a_second_apart() {
    let world = doubted().await;
    let callee = Callee::knows(&[]);
    assert!(matches!(reconcile(&world, &callee).await, Reconciled::TooSoon(_)));
    assert_eq!((callee.asked().len(), state(&world, 1).await.name()), (1, "in-doubt"));
    tokio::time::sleep(Duration::from_secs(79)).await;
    assert!(matches!(reconcile(&world, &callee).await, Reconciled::TooSoon(_)), "lease and grace");
    tokio::time::sleep(Duration::from_millis(1001)).await;
    assert_eq!(reconcile(&world, &callee).await, Reconciled::Released);
    let asked = callee.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked[3] - asked[2] >= Duration::from_secs(1));
    assert_eq!(word(&world.run(1).await), "executed");
    assert_eq!(world.effects(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_began_before_the_end_of_the_grace_is_no_proof_when_it_ends_after() {
    #[derive(Debug)]
    struct Slow;
    impl LookUp for Slow {
        fn look<'a>(&'a self, _about: &'a About) -> BoxFuture<'a, Found> {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(20)).await;
                Found::Nothing
            })
        }
        fn is_consistent(&self) -> bool {
            true
        }
    }
    let world = doubted().await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let came = world.engine.reconcile(world.operation(1).id, ROUTE, &Slow).await.unwrap();
    assert!(matches!(came, Reconciled::TooSoon(_)), "{came:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumped_ahead_ends_no_grace() {
    let world = doubted().await;
    world.clock.jump(Span::from_secs(3600));
    let callee = Callee::knows(&[]);
    // An answer from the store tells of the jump, and then a whole grace has to be seen.
    let _seen = state(&world, 1).await;
    assert!(matches!(reconcile(&world, &callee).await, Reconciled::TooSoon(_)));
    tokio::time::sleep(LATER).await;
    assert_eq!(reconcile(&world, &callee).await, Reconciled::Released);
}

#[tokio::test(start_paused = true)]
async fn anything_else_leaves_the_doubt() {
    for (callee, came) in [
        (Callee::knows(&[unknown()]), Reconciled::Unknown),
        (Callee::knows(&[Found::Nothing, unknown()]), Reconciled::Unknown),
        (Callee::with(&[], Found::Nothing, false), Reconciled::NoProof),
    ] {
        let world = doubted().await;
        tokio::time::sleep(2 * LATER).await;
        assert_eq!(reconcile(&world, &callee).await, came);
        assert_eq!(state(&world, 1).await.name(), "in-doubt");
        assert_eq!(word(&world.run(1).await), "in-doubt");
    }
}

#[tokio::test(start_paused = true)]
async fn what_turns_up_at_the_second_look_is_found() {
    let world = doubted().await;
    tokio::time::sleep(2 * LATER).await;
    let callee = Callee::knows(&[Found::Nothing, charged()]);
    assert_eq!(reconcile(&world, &callee).await, Reconciled::Settled);
    assert_eq!((word(&world.run(1).await), world.effects()), ("replayed", 1));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_of_another_route_is_not_asked() {
    let callee = Callee::knows(&[charged()]);
    for (route, about) in [(Some(RouteTag([2; 8])), "another"), (None, "none")] {
        let policy = Policy { route, ..Policy::default() };
        let world = World::with(EngineConfig::default(), policy).await;
        doubt(&world, 1).await;
        assert_eq!(reconcile(&world, &callee).await, Reconciled::OtherRoute, "{about}");
    }
    assert_eq!(callee.asked().len(), 0);
}

/// Between two looks that found nothing, somebody released the key, it ran again, and that was lost: what
/// the looks saw says nothing of it.
#[tokio::test(start_paused = true)]
async fn looks_say_nothing_of_an_execution_that_came_between_them() {
    // No grace at all: only the record's version tells.
    let none = Span::ZERO;
    let lease = Span::from_ms(100);
    let short = Policy { max_upstream: none, pause: none, lease, ..policy() };
    let config = EngineConfig { deadline: Span::from_ms(50), ..EngineConfig::default() };
    let world = World::with(config, short).await;
    doubt(&world, 1).await;
    tokio::time::sleep(LATER).await;
    let callee = Callee::knows(&[]);
    let (engine, id) = (world.engine.clone(), world.operation(1).id);
    let asking = {
        let (engine, callee) = (engine.clone(), Arc::clone(&callee));
        tokio::spawn(async move { engine.reconcile(id, ROUTE, callee.as_ref()).await.unwrap() })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(callee.asked().len(), 1);
    let released = engine.resolve(id, Resolution::Released).await.unwrap().answer;
    assert_eq!(released, Answer::Resolved);
    doubt(&world, 1).await;
    assert_eq!(asking.await.unwrap(), Reconciled::Changed);
    assert_eq!((state(&world, 1).await.name(), world.effects()), ("in-doubt", 2));
}

#[tokio::test(start_paused = true)]
async fn the_executors_own_late_word_stands_against_what_was_found_meanwhile() {
    let world = World::with(EngineConfig::default(), policy()).await;
    let slow = Duration::from_secs(1000);
    let running = tokio::spawn(world.run_as(world.operation(1), Span::ZERO, slow, replied()));
    // Past the ceiling nobody renews, and the lease lapses.
    tokio::time::sleep(Duration::from_secs(920)).await;
    assert_eq!(state(&world, 1).await.name(), "in-doubt");
    // The same reply as the executor's: its settle finds its own outcome there.
    assert_eq!(reconcile(&world, &Callee::knows(&[charged()])).await, Reconciled::Settled);
    assert_eq!(word(&running.await.unwrap()), "executed");
    assert_eq!(word(&world.run(1).await), "replayed");
}

#[tokio::test(start_paused = true)]
async fn a_settle_that_comes_first_is_kept() {
    let world = doubted().await;
    let (id, secret) = (world.operation(1).id, Secret::new(&[7; 32]));
    #[derive(Debug)]
    struct Overtaken(semel::engine::Engine, semel::core::RecordId, semel::core::Settled);
    impl LookUp for Overtaken {
        fn look<'a>(&'a self, _about: &'a About) -> BoxFuture<'a, Found> {
            Box::pin(async {
                let done = Resolution::Done(self.2.clone());
                self.0.resolve(self.1, done).await.unwrap();
                Found::Reply { status: Some(200), plain: Bytes::from_static(b"another") }
            })
        }
        fn is_consistent(&self) -> bool {
            true
        }
    }
    let fence = world.engine.show(id).await.unwrap().unwrap().executed_fence.unwrap();
    let plain = Bytes::from_static(b"charged");
    let said = (Some(201), semel::core::Effect::Done, &plain);
    let settled = settled_reply(&secret, &SystemEntropy, &id, fence, None, said);
    let look_up = Overtaken(world.engine.clone(), id, settled);
    let came = world.engine.reconcile(id, ROUTE, &look_up).await.unwrap();
    assert_eq!((came, word(&world.run(1).await)), (Reconciled::NotInDoubt, "replayed"));
}

fn start(world: &World, callee: &Arc<Callee>) -> Reconciler {
    let look_up = Arc::clone(callee) as Arc<dyn LookUp>;
    let reconciler = Reconciler::new(&world.engine, [(ROUTE, look_up)]);
    reconciler.start();
    reconciler
}

#[tokio::test(start_paused = true)]
async fn a_doubt_is_settled_by_itself_as_soon_as_it_is_found() {
    let world = World::with(EngineConfig::default(), policy()).await;
    let callee = Callee::knows(&[unknown(), charged()]);
    start(&world, &callee);
    tokio::time::sleep(Duration::from_secs(10)).await;
    doubt(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!((word(&world.run(1).await), callee.asked().len()), ("replayed", 2));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_is_in_doubt_is_found_in_the_store() {
    let world = doubted().await;
    let callee = Callee::knows(&[charged()]);
    start(&world, &callee);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(word(&world.run(1).await), "replayed");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_is_released_right_after_its_grace() {
    let world = World::with(EngineConfig::default(), policy()).await;
    let callee = Callee::knows(&[]);
    start(&world, &callee);
    doubt(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(83)).await;
    assert_eq!(state(&world, 1).await, State::Released);
    // 2, 4, 8, 16, 32 s, each off by up to a quarter; at the end of the grace; and once more.
    assert!((6..=8).contains(&callee.asked().len()), "{:?}", callee.asked().len());
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_never_says_is_asked_ever_more_seldom_and_for_ever() {
    let world = World::with(EngineConfig::default(), policy()).await;
    let callee = Callee::with(&[], unknown(), true);
    start(&world, &callee);
    doubt(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    let asked = callee.asked();
    assert!((25..=50).contains(&asked.len()), "{}", asked.len());
    let last = asked[asked.len() - 1] - asked[asked.len() - 2];
    assert!(last >= Duration::from_secs(2000) && last <= Duration::from_secs(4501), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn many_doubts_are_not_asked_about_at_once() {
    #[derive(Debug, Default)]
    struct Crowd(Mutex<(u32, u32)>);
    impl LookUp for Crowd {
        fn look<'a>(&'a self, _about: &'a About) -> BoxFuture<'a, Found> {
            Box::pin(async {
                {
                    let mut crowd = self.0.lock().unwrap();
                    crowd.0 += 1;
                    crowd.1 = crowd.1.max(crowd.0);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.0.lock().unwrap().0 -= 1;
                charged()
            })
        }
        fn is_consistent(&self) -> bool {
            true
        }
    }
    let world = World::with(EngineConfig::default(), policy()).await;
    let crowd = Arc::new(Crowd::default());
    let look_up = Arc::clone(&crowd) as Arc<dyn LookUp>;
    Reconciler::new(&world.engine, [(ROUTE, look_up)]).start();
    for number in 1..=100 {
        doubt(&world, number).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    for number in 1..=100 {
        assert_eq!(state(&world, number).await, State::Completed, "{number}");
    }
    assert_eq!(crowd.0.lock().unwrap().1, 16);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_and_a_look_up_that_panics_only_put_it_off() {
    #[derive(Debug, Default)]
    struct Panics(Mutex<bool>);
    impl LookUp for Panics {
        fn look<'a>(&'a self, _about: &'a About) -> BoxFuture<'a, Found> {
            let first = !std::mem::replace(&mut *self.0.lock().unwrap(), true);
            assert!(!first, "a look-up of the application's own");
            Box::pin(async { charged() })
        }
        fn is_consistent(&self) -> bool {
            true
        }
    }
    let world = World::with(EngineConfig::default(), policy()).await;
    let look_up = Arc::new(Panics::default()) as Arc<dyn LookUp>;
    Reconciler::new(&world.engine, [(ROUTE, look_up)]).start();
    doubt(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.network.swaps(&[Fate::Unreached, Fate::Unreached]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(word(&world.run(1).await), "replayed");
}

#[tokio::test(start_paused = true)]
async fn an_operator_asks_at_once() {
    let world = doubted().await;
    let look_up = Callee::knows(&[charged()]) as Arc<dyn LookUp>;
    let reconciler = Reconciler::new(&world.engine, [(ROUTE, look_up)]);
    let ask = |number| reconciler.ask(world.operation(number).id);
    assert_eq!(ask(1).await, Ok(Some(Reconciled::Settled)));
    assert_eq!(ask(1).await, Ok(Some(Reconciled::NotInDoubt)));
    assert_eq!(ask(2).await, Ok(Some(Reconciled::NotInDoubt)), "nothing is known of it");
    doubt(&world, 3).await;
    let other = Callee::knows(&[]) as Arc<dyn LookUp>;
    let other = Reconciler::new(&world.engine, [(RouteTag([9; 8]), other)]);
    assert_eq!(other.ask(world.operation(3).id).await, Ok(None), "no look-up is for it");
}
