//! The real process killed under load, again and again, on one directory.
//!
//! Callers charge and retry; the process gets SIGKILL at a random event of theirs or of the upstream's
//! (not at a random time: a slow machine is killed at the same places as a fast one), and is started
//! again. The upstream's own books are the judge:
//!
//! - every start succeeds: no store is behind the note of how far it had come;
//! - no effect is done twice;
//! - what a caller was given is given again, byte for byte, after every restart;
//! - a lease after each restart, no key of the old process is in flight any more;
//! - in the end every key is settled or in doubt.
//!
//! `SEMEL_KILLS` sets how often (default 20), `SEMEL_SEED` the seed; both are printed with the totals.

mod books;
mod caller;
mod chance;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use semel::entropy::{SystemEntropy, random};
use semel::time::{SystemClock, WallClock};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::books::Books;
use self::caller::{Caller, Ending, Known};
use self::chance::Chance;
use crate::harness::client::{Request, ask};
use crate::harness::semel::{Semel, Serve, serve};
use crate::harness::upstream::Upstream;
use crate::harness::{eventually, within};

/// As [`serve`] sets it.
const LEASE: Duration = Duration::from_millis(200);
const CALLERS: usize = 12;
/// A kill comes at most so many events after the last start.
const SPREAD: u64 = 160;

/// Where the server is: which start of it, and its address while it lives.
type Place = (u64, Option<SocketAddr>);

/// What all sides of the test share.
#[derive(Debug)]
struct Scene {
    seed: u64,
    /// Counts what callers and the upstream do; a kill strikes at a number.
    events: watch::Sender<u64>,
    place: watch::Sender<Place>,
    books: Books,
}

impl Scene {
    fn event(&self) {
        self.events.send_modify(|events| *events += 1);
    }
}

#[derive(Debug, Default)]
struct Totals {
    kills: u64,
    killed_while_opening: u64,
    in_the_air: usize,
    orphans_at_restart: usize,
}

fn number(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{name} is no number: {given:?}")))
}

fn server(upstream: &Upstream, store: &Path) -> Serve {
    serve(upstream.addr).embedded(store).arg("--wait", "2s").arg("--log", "error")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_charges_nobody_twice_and_forgets_no_reply() {
    let kills = number("SEMEL_KILLS").unwrap_or(20);
    let seed = number("SEMEL_SEED").unwrap_or_else(|| u64::from_le_bytes(random(&SystemEntropy)));
    println!("SEMEL_SEED={seed} SEMEL_KILLS={kills}");
    assert!(kills > 0, "a test without a kill shows nothing");
    let mut chance = Chance::new(seed);
    let scene = Arc::new(Scene {
        seed,
        events: watch::Sender::new(0),
        place: watch::Sender::new((0, None)),
        books: Books::new(chance.next()),
    });
    let upstream = {
        let scene = Arc::clone(&scene);
        Upstream::with(move |seen, _| {
            scene.event();
            scene.books.charge(seen)
        })
        .await
    };
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("data");

    let mut callers = JoinSet::new();
    let (stop, stopped) = watch::channel(false);
    let mut keys_in_use = vec![];
    for n in 0..CALLERS {
        let caller = Caller::new(n, Arc::clone(&scene), chance.next(), stopped.clone());
        keys_in_use.push(caller.current.subscribe());
        callers.spawn(caller.run());
    }

    let mut totals = Totals::default();
    let mut semel = start(&scene, &upstream, &store, &mut totals, &mut chance).await;
    while totals.kills < kills {
        let strike = *scene.events.borrow() + 1 + chance.below(SPREAD);
        let mut events = scene.events.subscribe();
        let struck = within("there is load", events.wait_for(|n| *n >= strike));
        tokio::select! {
            biased;
            // A caller's finding is shown at once, and not when all have run dry.
            Some(ended) = callers.join_next() => panic!("a caller has ended: {ended:?}"),
            struck = struck => drop(struck.unwrap()),
        }
        semel.kill().await;
        let killed_at = SystemClock.now().as_unix_ms();
        totals.kills += 1;
        scene.place.send_modify(|place| place.1 = None);
        let in_the_air: Vec<String> =
            keys_in_use.iter().filter_map(|key| key.borrow().clone()).collect();
        totals.in_the_air += in_the_air.len();
        scene.books.let_go();
        semel = start(&scene, &upstream, &store, &mut totals, &mut chance).await;
        no_orphan_outlives_its_lease(&semel, &in_the_air, killed_at, &mut totals).await;
    }
    stop.send_replace(true);
    scene.books.hold_no_more();
    let mut known: Vec<Known> = vec![];
    while let Some(all_of_one) = within("each caller ends", callers.join_next()).await {
        known.extend(all_of_one.unwrap());
    }
    // What is compared now comes from the disk.
    semel.kill().await;
    let semel = server(&upstream, &store).start().await;
    let report = judge(&semel, &scene, &known).await;
    println!("{totals:?} {report}");
    assert!(totals.in_the_air > 0, "no kill struck while a key was under way");
}

/// Starts the server; one start in four is killed while it opens its store.
async fn start(
    scene: &Scene,
    upstream: &Upstream,
    store: &Path,
    totals: &mut Totals,
    chance: &mut Chance,
) -> Semel {
    if chance.below(4) == 0 {
        let soon = Duration::from_millis(chance.below(60));
        // Dropped, it is killed.
        match tokio::time::timeout(soon, server(upstream, store).start()).await {
            Ok(opened) => drop(opened),
            Err(_) => totals.killed_while_opening += 1,
        }
    }
    let semel = server(upstream, store).start().await;
    scene.place.send_modify(|place| *place = (place.0 + 1, Some(semel.addr)));
    semel
}

/// A lease after the death of their process its claims have lapsed: whoever asks gets an end, or a doubt.
async fn no_orphan_outlives_its_lease(
    semel: &Semel,
    keys: &[String],
    killed_at: u64,
    totals: &mut Totals,
) {
    for key in keys {
        totals.orphans_at_restart += usize::from(orphaned(semel, key, killed_at).await);
    }
    let over = killed_at + u64::try_from(LEASE.as_millis()).unwrap();
    eventually("a lease passes", || async {
        (SystemClock.now().as_unix_ms() > over).then_some(())
    })
    .await;
    for key in keys {
        let orphaned = orphaned(semel, key, killed_at).await;
        assert!(!orphaned, "{key} is still in flight, though its process is gone");
    }
}

/// Whether the key is in flight by a claim of before `killed_at`.
async fn orphaned(semel: &Semel, key: &str, killed_at: u64) -> bool {
    let known = inquire(semel, key).await;
    if known["state"] != "in-flight" {
        return false;
    }
    let since = known["since"].as_str().expect("in flight since when");
    unix_ms(since) < killed_at
}

async fn inquire(semel: &Semel, key: &str) -> serde_json::Value {
    let request = Request::get("/.well-known/idempotency/key").key(key).bearer("caller-one");
    ask(semel.addr, &request).await.json()
}

/// The milliseconds of `2026-04-01T12:00:00.250Z`.
fn unix_ms(rfc3339: &str) -> u64 {
    let part = |from: usize, to: usize| rfc3339[from..to].parse::<i64>().unwrap();
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    // Days since the epoch, for years counted from March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = ((days * 24 + part(11, 13)) * 60 + part(14, 16)) * 60 + part(17, 19);
    let fraction = rfc3339[19..].trim_end_matches('Z').trim_start_matches('.');
    let ms = format!("{fraction:0<3}")[..3].parse::<i64>().unwrap();
    u64::try_from(seconds * 1000 + ms).unwrap()
}

#[test]
fn times_are_read_as_they_are_written() {
    assert_eq!(unix_ms("1970-01-01T00:00:00Z"), 0);
    assert_eq!(unix_ms("2026-04-01T00:00:00.25Z"), 1_775_001_600_250);
    assert_eq!(unix_ms("2024-02-29T23:59:59.999Z"), 1_709_251_199_999);
}

/// Holds every caller's story against the upstream's books and the server's last word.
async fn judge(semel: &Semel, scene: &Scene, known: &[Known]) -> String {
    let (mut answered, mut doubts, mut happened) = (0, 0, 0);
    for one in known {
        let effects = scene.books.effects(&one.order);
        assert!(effects <= 1, "{} was charged {effects} times", one.order);
        let state = inquire(semel, &one.key).await;
        match &one.ending {
            Ending::Answered(first) => {
                answered += 1;
                assert_eq!(effects, 1, "{} was answered and never charged", one.order);
                assert_eq!(state["state"], "completed", "{}: {state}", one.key);
                let again = ask(semel.addr, &one.request()).await;
                assert_eq!(again.verdict(), Some("replayed"), "{}: {}", one.key, again.text());
                assert_eq!(caller::substance(&again), *first, "{} has another reply now", one.key);
            }
            Ending::InDoubt => {
                doubts += 1;
                happened += effects;
                // Its executor may have settled after all: late truth beats doubt.
                let settled = state["state"] == "completed" && effects == 1;
                assert!(settled || state["state"] == "in-doubt", "{}: {state}", one.key);
            }
        }
    }
    let charged = scene.books.orders();
    let known_orders = known.iter().filter(|one| scene.books.effects(&one.order) > 0).count();
    assert_eq!(charged, known_orders, "an order was charged that nobody asked for");
    assert!(answered > 0, "nobody was ever answered");
    format!("answered={answered} in_doubt={doubts} of_which_happened={happened} charged={charged}")
}
