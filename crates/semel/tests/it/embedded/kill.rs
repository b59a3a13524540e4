//! Real processes, killed without warning under load, on a real directory.
//!
//! `SEMEL_KILL_ROUNDS` says how often (10); a soak says more.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::rig::{claim, id, reply};
use semel::store::embedded::{EmbeddedOptions, EmbeddedStore, OpenError};
use semel_core::machine::{Event, Outcome, Write as Written, step};
use semel_core::store::{Put, Swap, Swapped};
use semel_core::{Policy, Record, Span, State, Store, Timestamp};

const DIR: &str = "SEMEL_KILL_DIR";
const BASE: &str = "SEMEL_KILL_BASE";
const CALLERS: u64 = 32;

fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 1 << 20,
        bucket_width: Span::from_ms(200),
        reply_cap: 8 << 10,
        batch_bytes: 256 << 10,
        margin_bytes: 1 << 20,
        maintain_every: std::time::Duration::from_millis(20),
        ..EmbeddedOptions::default()
    }
}

fn open(dir: &Path) -> EmbeddedStore {
    match EmbeddedStore::open(dir, options()) {
        Err(OpenError::Missing { .. }) => {
            EmbeddedStore::create(dir, options(), Timestamp::ZERO).expect("it is made")
        }
        opened => opened.expect("it opens"),
    }
}

/// The replies of every third key are gone almost at once, so that segments leave meanwhile.
fn policy(n: u64) -> Policy {
    let retention = if n.is_multiple_of(3) { Span::from_secs(86_400) } else { Span::from_ms(50) };
    Policy { retention, ..Policy::default() }
}

async fn write(store: &EmbeddedStore, n: u64, record: Option<&Record>, event: &Event) -> Record {
    let status = store.status().await.expect("it is open");
    let Written::Put(next) = step(record, event, status.at, &policy(n)).write else {
        panic!("a claim and a settle are written")
    };
    let swap = Swap {
        id: id(n),
        incarnation: status.incarnation,
        expected: record.map(Record::version),
        write: Put::Record(next.clone()),
        deadline: status.at.plus(Span::from_secs(60)),
    };
    match store.swap(swap).await.expect("there is room") {
        Swapped::Done { at } => Record { stamp: at, ..next },
        Swapped::Conflict { .. } => panic!("nobody else writes"),
    }
}

/// Tells the parent, in one write of less than a pipe's atomic size.
fn acknowledge(what: char, n: u64) {
    let line = format!("ack {what} {n}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("the parent reads");
}

/// Not a test by itself: the process that the test below starts and kills. Without a directory to
/// work in it has nothing to do.
#[test]
fn the_child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let base: u64 = std::env::var(BASE).expect("set").parse().expect("a number");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async move {
        let store = Arc::new(open(Path::new(&dir)));
        let callers = (0..CALLERS).map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in (base + caller..).step_by(CALLERS as usize) {
                    let claimed = write(&store, n, None, &claim(1)).await;
                    acknowledge('c', n);
                    let outcome = Outcome::Done(reply(300 + (n % 500) as usize));
                    write(&store, n, Some(&claimed), &Event::Settle(claimed.fence, outcome)).await;
                    acknowledge('s', n);
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("it runs until it is killed");
        }
    });
}

/// Runs the child until it has acknowledged `count` writes, kills it, and returns the last
/// acknowledged write of each key.
fn run_and_kill(dir: &Path, base: u64, count: usize) -> BTreeMap<u64, char> {
    let mut child = Command::new(std::env::current_exe().expect("this very binary"))
        .args(["--exact", "embedded::kill::the_child", "--nocapture"])
        .env(DIR, dir)
        .env(BASE, base.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut acknowledged = BTreeMap::new();
    let mut seen = 0;
    let out = child.stdout.take().expect("piped");
    for line in BufReader::new(out).lines() {
        // The kill may cut the last line.
        let Ok(line) = line else { break };
        let mut words = line.split(' ').skip_while(|word| *word != "ack").skip(1);
        if let (Some(what), Some(Ok(n))) = (words.next(), words.next().map(str::parse)) {
            acknowledged.insert(n, what.chars().next().expect("a letter"));
            seen += 1;
            if seen == count {
                child.kill().expect("it is killed");
            }
        }
    }
    child.wait().expect("it has ended");
    assert!(seen >= count, "the child ended by itself after {seen} writes");
    acknowledged
}

#[test]
fn no_acknowledged_write_is_lost_when_the_process_is_killed() {
    let rounds = std::env::var("SEMEL_KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut all = BTreeMap::new();
    let mut checked = 0;
    for round in 0..rounds {
        let count = 200 + usize::from(id(round).0[0]) * 20;
        all.append(&mut run_and_kill(&path, round << 32, count));
        let store = open(&path);
        for (n, what) in &all {
            let loaded = runtime.block_on(store.load(id(*n))).expect("it reads");
            let state = loaded.record.map(|record| record.state);
            let ok = match (what, n.is_multiple_of(3)) {
                ('c', _) => state.is_some(),
                (_, true) => state == Some(State::Completed),
                (_, false) => matches!(state, Some(State::Completed | State::Spent)),
            };
            assert!(ok, "round {round}: key {n}, acknowledged {what:?}, is {state:?}");
            checked += 1;
        }
    }
    assert!(checked > 200 * rounds, "only {checked} were checked");
}
