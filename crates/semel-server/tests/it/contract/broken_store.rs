//! A store that fails under a running server: its files take no more writes.

use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{IN_DOUBT, about, charge, said};
use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::{Semel, Serve, serve};
use crate::harness::upstream::{Upstream, after, reply};
use crate::harness::{Gate, eventually};

const UNAVAILABLE: &str = "503 refused SEM-0301 unknown not-run same-key";

#[tokio::test]
async fn a_route_that_says_so_runs_unprotected_while_the_store_is_down_and_publishes_it() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let file = "[[route]]\npath = \"/pass\"\nstore_down = \"pass\"\n";
    let semel = server(&upstream, home.path()).file(file).start().await;
    let pass = |n| Request { target: "/pass".to_owned(), ..charge(n) };
    let published = ask(semel.addr, &Request::get("/.well-known/idempotency")).await.json();
    let promises = [0, 1].map(|n| published["routes"][n]["promise"].as_str().unwrap().to_owned());
    assert!(promises[0].starts_with("best effort: while the store is down"), "{promises:?}");
    assert!(promises[1].starts_with("at most one execution;"), "{promises:?}");
    assert_eq!(said(&ask(semel.addr, &pass(1)).await), "201 executed");
    break_store(&semel);
    for _ in 0..2 {
        assert_eq!(said(&ask(semel.addr, &pass(2)).await), "201 ignored");
    }
    assert_eq!(said(&ask(semel.addr, &charge(3)).await), UNAVAILABLE);
    assert_eq!(said(&ask(semel.addr, &pass(1)).await), "201 replayed", "what is known is known");
    let seen = upstream.seen();
    assert_eq!(seen[1].header("idempotency-attempt"), None, "nobody counts attempts now");
    assert_eq!(upstream.effects(), 3);
}

/// The signal that comes with a file at its limit is ignored, so that a write fails and no more.
fn server(upstream: &Upstream, home: &Path) -> Serve {
    let serve = serve(upstream.addr).embedded(&home.join("data"));
    serve.through("sh", &["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
}

/// From now on no file of the process can be written.
fn break_store(semel: &Semel) {
    let pid = i32::try_from(semel.pid()).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Fsize, Rlimit { current: Some(0), maximum: None }).unwrap();
}

#[tokio::test]
async fn what_ran_and_could_not_be_written_down_is_said_so_and_never_runs_again() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let semel = server(&upstream, home.path()).arg("--wait", "0s").start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 executed");
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(2)).await;
    gate.reached(1).await;
    break_store(&semel);
    // A new key is turned away before it runs.
    assert_eq!(said(&ask(semel.addr, &charge(3)).await), UNAVAILABLE);
    assert!(ask(semel.addr, &charge(3)).await.header("retry-after").is_some());
    gate.open();
    let told = first.reply("POST").await.unwrap();
    assert_eq!(said(&told), "503 in-doubt SEM-0305 done ran same-key");
    assert!(told.header("retry-after").is_some());
    // What was written before is still known.
    let known = ask(semel.addr, &charge(1)).await;
    assert_eq!(said(&known), "201 replayed");
    let ready = ask(semel.admin, &Request::get("/health/ready").set("Host", "127.0.0.1")).await;
    assert_eq!(ready.status, 503, "operators see it: {}", ready.text());
    semel.kill().await;
    assert_eq!(upstream.effects(), 2);

    let semel = server(&upstream, home.path()).start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 replayed");
    eventually("its lease has ended", || async {
        (ask(semel.addr, &about("GET", 2)).await.json()["state"] == "in-doubt").then_some(())
    })
    .await;
    assert_eq!(said(&ask(semel.addr, &charge(2)).await), IN_DOUBT);
    assert_eq!(said(&ask(semel.addr, &charge(3)).await), "201 executed");
    assert_eq!(upstream.effects(), 3);
}
