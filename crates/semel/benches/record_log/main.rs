//! What the record log costs, against a bare append of the same bytes by the same driver.
//!
//! `cargo bench -p semel --features embedded --bench record_log` prints one table. The two sides of
//! a ratio run in turns within one run; a ratio is the median of its rounds. `SEMEL_BENCH_KEYS` says how many keys are
//! opened after a kill (1,000,000), `SEMEL_BENCH_DIR` where (the system's temporary directory); `SEMEL_BENCH_ONLY=open` leaves out all else.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

mod load;
mod roof;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{Shifted, drive, id, open, prefill};
use semel::store::embedded::{DiskCounts, EmbeddedStore, FsDisk};
use semel_core::{Span, Store};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);
const PREFILL: u64 = 1_000_000;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn row(what: &str, value: impl std::fmt::Display, goal: &str) {
    println!("| {what} | {value} | {goal} |");
}

fn main() {
    if let Some(keys) = std::env::var("SEMEL_BENCH_CHILD").ok().and_then(|n| n.parse().ok()) {
        return fill_and_die(keys);
    }
    let base = std::env::var_os("SEMEL_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base).unwrap();
    println!("| what | measured | goal |\n|---|---|---|");
    if std::env::var_os("SEMEL_BENCH_ONLY").is_some_and(|only| only == "open") {
        return reopen(dir.path());
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clock = Arc::new(Shifted::default());
    let (store, disk) = open(&dir.path().join("store"), &clock);
    runtime.block_on(prefill(&store, 0, PREFILL));
    throughput(&runtime, &store, &disk, dir.path());
    replay(&runtime, &store);
    let stats = store.stats();
    row("memory a key, bytes", stats.index_bytes / stats.keys.max(1), "<= 32");
    while_a_bucket_leaves(&runtime, &store, &clock);
    drop(store);
    reopen(dir.path());
}

/// Claim and settle against the roof, in turns.
fn throughput(
    runtime: &tokio::runtime::Runtime,
    store: &Arc<EmbeddedStore>,
    disk: &Arc<FsDisk>,
    dir: &std::path::Path,
) {
    let roof = Arc::new(roof::Roof::at(&dir.join("roof")));
    let mut next = 1 << 40;
    for (callers, goal) in [(1, "-"), (64, ">= 0.7"), (256, ">= 0.6")] {
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        let (mut keys, mut asked) = (0, 0);
        let mut spent = DiskCounts::default();
        for _ in 0..ROUNDS {
            let bare = runtime.block_on(drive(Arc::clone(&roof), callers, ROUND, next));
            next += 1 << 30;
            let before = disk.counts();
            let ours = runtime.block_on(drive(Arc::clone(store), callers, ROUND, next));
            next += 1 << 30;
            let after = disk.counts();
            spent.syncs += after.syncs - before.syncs;
            spent.written += after.written - before.written;
            keys += ours.keys;
            asked += ours.bytes;
            ratios.push(ours.rate() / bare.rate());
            rates.push(ours.rate());
        }
        let rate = median(rates);
        row(&format!("claim + settle, {callers} callers, writes/s"), format!("{rate:.0}"), "-");
        row(
            &format!("ratio to a bare append, {callers} callers"),
            format!("{:.2}", median(ratios)),
            goal,
        );
        let syncs = spent.syncs as f64 / keys.max(1) as f64;
        row(
            &format!("syncs a key, {callers} callers"),
            format!("{syncs:.3}"),
            if callers == 64 { "< 0.0625" } else { "-" },
        );
        let amplification = spent.written as f64 / asked.max(1) as f64;
        row(
            &format!("write amplification, {callers} callers"),
            format!("{amplification:.2}"),
            if callers == 64 { "<= 1.5" } else { "-" },
        );
    }
}

/// Reads of settled keys, one at a time.
fn replay(runtime: &tokio::runtime::Runtime, store: &Arc<EmbeddedStore>) {
    let times = runtime.block_on(async {
        let mut times = Vec::with_capacity(200_000);
        for n in 0..200_000_u64 {
            let key = id(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % PREFILL);
            let start = Instant::now();
            assert!(store.load(key).await.unwrap().record.is_some());
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        times
    });
    let mut sorted = times;
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[(sorted.len() as f64 * share) as usize];
    row("replay p50, us, 1 M keys", format!("{:.1}", at(0.5)), "<= 5");
    row("replay p99, us", format!("{:.1}", at(0.99)), "-");
}

/// The slowest writes while a day's keys leave, and while nothing does.
fn while_a_bucket_leaves(
    runtime: &tokio::runtime::Runtime,
    store: &Arc<EmbeddedStore>,
    clock: &Arc<Shifted>,
) {
    let next = 1 << 50;
    let calm = runtime.block_on(drive(Arc::clone(store), 64, ROUND * 4, next));
    clock.shift(Span::from_secs(26 * 3600));
    let keys = store.stats().keys;
    let start = Instant::now();
    let leaving = {
        let store = Arc::clone(store);
        std::thread::spawn(move || {
            let done = store.maintain().unwrap();
            (done, start.elapsed())
        })
    };
    let busy = runtime.block_on(drive(Arc::clone(store), 64, ROUND * 4, next + (1 << 40)));
    let (done, took) = leaving.join().unwrap();
    row(
        "keys that left",
        format!("{} of {keys} in {:.1} s", done.distilled, took.as_secs_f64()),
        "-",
    );
    row("p99.9 of a write, nothing leaves, ms", format!("{:.2}", calm.slowest(0.999)), "-");
    row("p99.9 of a write while they leave, ms", format!("{:.2}", busy.slowest(0.999)), "-");
    let ratio = busy.slowest(0.999) / calm.slowest(0.999);
    row("ratio of the two", format!("{ratio:.2}"), "<= 1.5");
    let stats = store.stats();
    let each = stats.spent_bytes as f64 / stats.spent_keys.max(1) as f64;
    row("a spent key on disk, bytes", format!("{each:.1}"), "<= 32");
}

/// The child: fills a store and dies without a word.
fn fill_and_die(keys: u64) {
    let path = PathBuf::from(std::env::var_os("SEMEL_BENCH_CHILD_DIR").unwrap());
    let (store, _) = open(&path, &Arc::new(Shifted::default()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(prefill(&store, 0, keys));
    std::process::abort();
}

fn reopen(dir: &std::path::Path) {
    let keys = std::env::var("SEMEL_BENCH_KEYS").ok().and_then(|n| n.parse().ok());
    let keys: u64 = keys.unwrap_or(PREFILL);
    let path = dir.join("killed");
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .env("SEMEL_BENCH_CHILD", keys.to_string())
        .env("SEMEL_BENCH_CHILD_DIR", &path)
        .status()
        .unwrap();
    assert!(!child.success(), "the child kills itself");
    let start = Instant::now();
    let (store, _) = open(&path, &Arc::new(Shifted::default()));
    let took = start.elapsed().as_secs_f64();
    assert_eq!(store.opened().keys as u64, keys);
    let goal = if keys >= 10_000_000 { "<= 6" } else { "-" };
    row(&format!("open after a kill, {keys} keys, s"), format!("{took:.2}"), goal);
    row("segments that had no index file yet", store.opened().segments_read, "-");
    let stats = store.stats();
    row("memory a key after it, bytes", stats.index_bytes / stats.keys.max(1), "<= 32");
}
