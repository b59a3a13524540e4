//! Whether one tenant at ten times its quota slows the others down:
//! `cargo bench -p semel-server --bench fairness`.
//!
//! Eight tenants send new keys at a steady pace below their quota, on a durable store. In every other
//! round a ninth sends at ten times its own. Printed are the others' median and 99th percentile in each
//! kind of round, and the median of the ratios of the 99th percentile between a round with it and the
//! round before, without. The goal is at most 1.20.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program that prints a table"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
const SECONDS: u64 = 6;
const TENANTS: u64 = 8;
/// New keys a second that each may begin, and those that it does.
const QUOTA: u64 = 50;
const PACE: u64 = 40;
const FLOOD: u64 = 10 * QUOTA;
const FLOOD_CONNECTIONS: u64 = 4;

/// Ended with the bench, whatever happens.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _may_have_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// One message from a connection that stays open, as far as this bench writes them.
fn message(from: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    from.read_exact(&mut vec![0; length]).ok()?;
    Some(head)
}

/// An API that answers at once.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let mut requests = BufReader::new(stream);
                while message(&mut requests).is_some() {
                    let answer =
                        b"HTTP/1.1 201 Created\r\nContent-Length: 13\r\n\r\n{\"id\":\"ch_1\"}";
                    if requests.get_mut().write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn semel(folder: &Path, upstream: u16) -> (Process, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config = folder.join("semel.toml");
    std::fs::write(&config, format!("[defaults]\nquota.per_second = {QUOTA}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_semel"));
    command
        .args(["serve", "--admin", "127.0.0.1:0", "--upstream"])
        .arg(format!("http://127.0.0.1:{upstream}"))
        .args(["--listen", &format!("127.0.0.1:{port}"), "--config"])
        .arg(config)
        .arg("--store")
        .arg(format!("embedded:{}", folder.join("store").display()));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let process = Process(child.unwrap());
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed().as_secs() < 10, "nothing listens on port {port}");
        std::thread::yield_now();
    }
    (process, port)
}

/// Sends new keys at a pace, and returns how long each took to be answered, and how often 429 was the answer.
fn caller(port: u16, tenant: u64, per_second: u64, keys: &AtomicU64) -> (Vec<Duration>, u64) {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut replies = BufReader::new(stream);
    let (_call, off) = mpsc::channel::<()>();
    let (began, mut times, mut refused) = (Instant::now(), Vec::new(), 0);
    for n in 0..per_second * SECONDS {
        let due = began + Duration::from_micros(n * 1_000_000 / per_second);
        // The time of the next one is what is waited for: nobody calls it off.
        let _it_is_time = off.recv_timeout(due.saturating_duration_since(Instant::now()));
        let key = keys.fetch_add(1, Ordering::Relaxed);
        let body = "{\"amount\":1200,\"currency\":\"eur\"}";
        let request = format!(
            "POST /v1/charges HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nAuthorization: Bearer tenant-{tenant}\r\n\
             Idempotency-Key: 8e03978e-40d5-43dd-bc93-{key:012x}\r\n\r\n{body}",
            body.len()
        );
        // From when it was due: a caller that is held up is not spared what comes of it.
        replies.get_mut().write_all(request.as_bytes()).unwrap();
        let head = message(&mut replies).expect("an answer");
        times.push(due.elapsed());
        match head.get(9..12) {
            Some("201") => {}
            Some("429") => refused += 1,
            _ => panic!("{head}"),
        }
    }
    (times, refused)
}

/// The times of those within their quota, and how much of the flood was turned away.
fn round(port: u16, flooded: bool, keys: &AtomicU64) -> (Vec<Duration>, u64) {
    std::thread::scope(|scope| {
        let flood: Vec<_> = (0..if flooded { FLOOD_CONNECTIONS } else { 0 })
            .map(|_| scope.spawn(|| caller(port, TENANTS, FLOOD / FLOOD_CONNECTIONS, keys)))
            .collect();
        let within: Vec<_> =
            (0..TENANTS).map(|n| scope.spawn(move || caller(port, n, PACE, keys))).collect();
        let mut times = Vec::new();
        for one in within {
            let (own, refused) = one.join().unwrap();
            assert_eq!(refused, 0, "who keeps to its quota is never turned away");
            times.extend(own);
        }
        let refused = flood.into_iter().map(|one| one.join().unwrap().1).sum();
        times.sort_unstable();
        (times, refused)
    })
}

fn at(sorted: &[Duration], percent: usize) -> f64 {
    sorted[sorted.len() * percent / 100].as_secs_f64() * 1000.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (_semel, port) = semel(folder.path(), upstream());
    let keys = AtomicU64::new(1 << 40);
    let _warm = round(port, false, &keys);
    println!("{TENANTS} tenants at {PACE} new keys a second, quota {QUOTA}; a ninth at {FLOOD}");
    println!(
        "{:<8}{:>12}{:>12}{:>14}{:>14}{:>8}",
        "round", "p50 ms", "p99 ms", "with: p50", "with: p99", "ratio"
    );
    let mut ratios = Vec::new();
    for n in 0..ROUNDS {
        let (without, _) = round(port, false, &keys);
        let (with, refused) = round(port, true, &keys);
        let kept = FLOOD * SECONDS - refused;
        assert!(kept <= QUOTA * (SECONDS + 2), "the flood was let through: {kept}");
        let ratio = at(&with, 99) / at(&without, 99);
        ratios.push(ratio);
        println!(
            "{n:<8}{:>12.2}{:>12.2}{:>14.2}{:>14.2}{ratio:>8.2}",
            at(&without, 50),
            at(&without, 99),
            at(&with, 50),
            at(&with, 99)
        );
    }
    let (low, high) = (
        ratios.iter().copied().fold(f64::MAX, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
    );
    println!(
        "p99 of the others, with the flood to without: {:.2} ({low:.2} to {high:.2}); goal 1.20",
        median(&mut ratios)
    );
}
