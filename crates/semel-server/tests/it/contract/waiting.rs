//! A duplicate that meets its original in flight.

use super::{IN_FLIGHT, charge, said};
use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Upstream, after, reply};
use crate::harness::{Gate, eventually};

fn wish(n: u32, prefer: &str) -> Request {
    charge(n).header("Prefer", prefer)
}

#[tokio::test]
async fn a_wish_to_wait_is_capped_applied_and_said() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--wait", "1s").start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    for (prefer, applied) in [
        ("wait=0", Some("wait=0")),
        ("respond-async, wait=\"0\"", Some("wait=0")),
        ("wait=600", Some("wait=1")),
        // Malformed is ignored: the route's own bound, and nothing is said of it.
        ("wait=-1", None),
        ("wait", None),
    ] {
        let reply = ask(semel.addr, &wish(1, prefer)).await;
        assert_eq!(said(&reply), IN_FLIGHT, "{prefer}");
        assert_eq!(reply.header("preference-applied"), applied, "{prefer}");
        let after: u64 = reply.header("retry-after").expect("when to ask again").parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
        assert_eq!(reply.header("stripe-should-retry"), None, "the SDKs retry 409 by themselves");
    }
    // Who waits gets the reply as soon as it is there.
    let mut waiting = Client::connect(semel.addr).await;
    waiting.request(&wish(1, "wait=1")).await;
    gate.open();
    let reply = waiting.reply("POST").await.unwrap();
    assert_eq!((said(&reply).as_str(), reply.text().as_str()), ("201 replayed", "paid"));
    assert_eq!(said(&first.reply("POST").await.unwrap()), "201 executed");
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn of_those_who_wait_for_a_released_original_one_runs() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--wait", "15s").start().await;
    let (refusing, paying) = (Gate::closed(), Gate::closed());
    upstream.next(after(&refusing, reply(429, &[], "later")));
    upstream.next(after(&paying, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    refusing.reached(1).await;
    let mut waiters = vec![];
    for _ in 0..5 {
        let mut waiter = Client::connect(semel.addr).await;
        waiter.request(&charge(1)).await;
        waiters.push(waiter);
    }
    refusing.open();
    assert_eq!(said(&first.reply("POST").await.unwrap()), "429 released");
    paying.reached(1).await;
    assert_eq!(upstream.effects(), 2);
    paying.open();
    let mut words = vec![];
    for waiter in &mut waiters {
        let reply = waiter.reply("POST").await.unwrap();
        assert_eq!(reply.text(), "paid");
        words.push(reply.verdict().unwrap().to_owned());
    }
    words.sort();
    assert_eq!(words, ["executed", "replayed", "replayed", "replayed", "replayed"]);
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn another_request_under_a_key_in_flight_is_told_at_once() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    let other = ask(semel.addr, &charge(1).body("{\"amount\":1}")).await;
    assert_eq!(said(&other), "422 mismatch SEM-0201 unknown not-run never");
    gate.open();
    assert_eq!(said(&first.reply("POST").await.unwrap()), "201 executed");
}

#[tokio::test]
async fn as_many_run_as_may_and_the_next_is_turned_away_unharmed() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--in-flight-max", "1").start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    let refused = ask(semel.addr, &charge(2)).await;
    assert_eq!(said(&refused), "503 refused SEM-0502 unknown not-run same-key");
    assert!(refused.header("retry-after").is_some());
    // A known key is answered as ever.
    assert_eq!(said(&ask(semel.addr, &wish(1, "wait=0")).await), IN_FLIGHT);
    gate.open();
    first.reply("POST").await.unwrap();
    eventually("there is room again", || async {
        (said(&ask(semel.addr, &charge(2)).await) == "201 executed").then_some(())
    })
    .await;
    assert_eq!(upstream.effects(), 2);
}
