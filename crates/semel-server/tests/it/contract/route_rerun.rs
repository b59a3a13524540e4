//! `on_lapse = "rerun"` before an upstream that knows keys: whoever dies on the way, callers' retries
//! drive the operation to its end, and there is one effect.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{BEGAN_AND_IN_DOUBT, IN_DOUBT, IN_FLIGHT, about, charge, said};
use crate::harness::client::{Client, ask};
use crate::harness::semel::{Serve, serve};
use crate::harness::upstream::{Act, Script, Seen, Upstream, reply};
use crate::harness::{Gate, eventually};

/// What the upstream has on its disk: the charge of each key.
type Books = Arc<Mutex<BTreeMap<String, usize>>>;

/// Charges once for each key, and answers what it has charged; a look-up, too.
fn keyed(books: &Books) -> impl Fn(&Seen, usize) -> Script + Send + 'static {
    let books = Arc::clone(books);
    move |seen, _| {
        let mut books = books.lock().unwrap();
        if seen.method == "GET" {
            let known = books.get(seen.target.rsplit('/').next().unwrap_or_default());
            return known.map_or_else(|| reply(404, &[], ""), |n| charged(*n));
        }
        let next = books.len() + 1;
        let key = seen.header("idempotency-key").unwrap_or_default().to_owned();
        charged(*books.entry(key).or_insert(next))
    }
}

fn charged(n: usize) -> Script {
    reply(201, &[("Content-Type", "application/json")], format!("{{\"charge\":{n}}}"))
}

/// Charges, and answers only once the gate is open: its script stands between effect and reply.
fn charged_behind(gate: &Gate, books: &Books) -> impl Fn(&Seen, usize) -> Script + Send + 'static {
    let (inner, gate) = (keyed(books), gate.clone());
    move |seen, n| {
        let mut script = vec![Act::Wait(gate.clone())];
        script.extend(inner(seen, n));
        script
    }
}

fn server(upstream: &Upstream, store: &Path, attempts: u32, more: &str) -> Serve {
    let file = format!(
        "[defaults]\non_lapse = \"rerun\"\nattempts_max = {attempts}\nwait = \"0s\"\n{more}"
    );
    serve(upstream.addr).embedded(store).file(&file)
}

#[tokio::test]
async fn an_upstream_that_knows_keys_has_one_effect_whoever_dies() {
    let (home, books, gate) = (tempfile::tempdir().unwrap(), Books::default(), Gate::closed());
    let store = home.path().join("data");
    let upstream = Upstream::with(charged_behind(&gate, &books)).await;
    let semel = server(&upstream, &store, 6, "").start().await;

    // The upstream dies between its effect and its reply.
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    let (addr, seen) = (upstream.addr, upstream.seen());
    drop(upstream);
    assert_eq!(said(&first.reply("POST").await.unwrap()), BEGAN_AND_IN_DOUBT);
    assert_eq!(books.lock().unwrap().len(), 1);

    // While it is down a retry reaches nobody, and that says nothing of the first.
    let down = ask(semel.addr, &charge(1)).await;
    assert_eq!(said(&down), "502 in-doubt SEM-0401 unknown not-run same-key");

    // It is back with what it had on disk. Now the gateway dies with a retry under way.
    let upstream = Upstream::at(addr, charged_behind(&gate, &books)).await;
    let mut second = Client::connect(semel.addr).await;
    second.request(&charge(1)).await;
    gate.reached(1).await;
    semel.kill().await;
    gate.open();

    let semel = server(&upstream, &store, 6, "").start().await;
    let told = eventually("the lease of the dead has ended", || async {
        let told = ask(semel.addr, &charge(1)).await;
        (said(&told) != IN_FLIGHT).then_some(told)
    })
    .await;
    assert_eq!((said(&told).as_str(), told.text().as_str()), ("201 executed", "{\"charge\":1}"));
    let again = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&again).as_str(), again.text().as_str()), ("201 replayed", "{\"charge\":1}"));

    let all: Vec<Seen> = seen.into_iter().chain(upstream.seen()).collect();
    let header = |name: &str| all.iter().map(|s| s.header(name).unwrap()).collect::<Vec<_>>();
    assert_eq!(header("idempotency-attempt"), ["1", "3", "4"], "the second found nobody");
    assert_eq!(books.lock().unwrap().len(), 1, "one effect: {:?}", header("idempotency-key"));
}

#[tokio::test]
async fn at_the_cap_it_is_in_doubt_and_the_look_up_settles_it() {
    let (home, books) = (tempfile::tempdir().unwrap(), Books::default());
    let charges = keyed(&books);
    // It charges, and no reply to a charge ever comes through.
    let upstream = Upstream::with(move |seen, n| match (seen.method.as_str(), charges(seen, n)) {
        ("GET", answer) => answer,
        _ => vec![Act::Close],
    })
    .await;
    let store = home.path().join("data");
    let semel = server(&upstream, &store, 3, "").start().await;
    for _ in 0..3 {
        assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    }
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
    assert_eq!((upstream.effects(), books.lock().unwrap().len()), (3, 1));
    semel.kill().await;

    let look_up = "reconcile.lookup = \"GET /by-key/{derived_key}\"\nreconcile.not_found = [404]\n";
    let semel = server(&upstream, &store, 3, look_up).start().await;
    eventually("it is settled by itself", || async {
        let known = ask(semel.addr, &about("GET", 1)).await.json();
        (known["state"] == "completed").then_some(())
    })
    .await;
    let told = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&told).as_str(), told.text().as_str()), ("201 replayed", "{\"charge\":1}"));
    let charges = upstream.seen().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!((charges, books.lock().unwrap().len()), (3, 1));
}
