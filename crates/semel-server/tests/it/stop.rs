//! How the server ends: nothing is cut off in silence.

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Upstream, after, reply};
use crate::harness::{Gate, eventually};

const BODY: &str = "{\"amount\":1200}";

#[tokio::test]
async fn an_idle_server_ends_at_once_and_well() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    // A connection that waits for its next request does not hold it.
    let mut idle = Client::connect(semel.addr).await;
    idle.request(&Request::get("/")).await;
    idle.reply("GET").await.unwrap();
    assert_eq!(semel.terminate().await.code(), Some(0));
    assert_eq!(idle.rest().await, b"");
}

#[tokio::test]
async fn what_is_under_way_is_finished_and_nothing_new_begins() {
    let upstream = Upstream::start().await;
    let mut semel = serve(upstream.addr).arg("--drain", "15s").start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    upstream.next(after(&gate, reply(200, &[], "read")));
    let mut keyed = Client::connect(semel.addr).await;
    keyed.request(&Request::charge("key-0001-abcdefgh", BODY)).await;
    gate.reached(1).await;
    let mut unkeyed = Client::connect(semel.addr).await;
    unkeyed.request(&Request::get("/")).await;
    gate.reached(1).await;
    semel.signal(Signal::TERM);
    semel.says("stopping").await;
    let addr = semel.addr;
    eventually("no connection is taken", || async {
        TcpStream::connect(addr).await.is_err().then_some(())
    })
    .await;
    let ready = ask(semel.admin, &Request::get("/health/ready").set("Host", "127.0.0.1")).await;
    assert_eq!(ready.status, 503, "operators see it end");
    gate.open();
    assert_eq!(keyed.reply("POST").await.unwrap().verdict(), Some("executed"));
    assert_eq!(unkeyed.reply("GET").await.unwrap().status, 200);
    assert_eq!(semel.wait().await.code(), Some(0));
    assert!(semel.stderr().contains("all that was under way has finished"));
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_in_doubt_and_stays_so() {
    let upstream = Upstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("data");
    let mut semel = serve(upstream.addr).embedded(&store).arg("--drain", "300ms").start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let request = Request::charge("key-0002-abcdefgh", BODY);
    let mut first = Client::connect(semel.addr).await;
    first.request(&request).await;
    gate.reached(1).await;
    semel.signal(Signal::TERM);
    let told = first.reply("POST").await.unwrap();
    assert_eq!((told.status, told.verdict()), (409, Some("in-doubt")));
    assert_eq!(semel.wait().await.code(), Some(0));
    assert!(semel.stderr().contains("1 executions were cut off"), "{}", semel.stderr());
    let semel = serve(upstream.addr).embedded(&store).start().await;
    assert_eq!(ask(semel.addr, &request).await.verdict(), Some("in-doubt"));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_second_interrupt_ends_it_at_once() {
    let upstream = Upstream::start().await;
    let mut semel = serve(upstream.addr).arg("--drain", "60s").start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&Request::charge("key-0003-abcdefgh", BODY)).await;
    gate.reached(1).await;
    semel.signal(Signal::INT);
    semel.says("stopping").await;
    semel.signal(Signal::INT);
    assert_eq!(semel.wait().await.code(), Some(130));
}
