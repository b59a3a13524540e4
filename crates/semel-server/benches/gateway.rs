//! The gateway against nginx's plain proxy: `cargo bench -p semel-server --bench gateway`.
//!
//! Needs `nginx` and `wrk` (Debian: nginx-light, wrk). One nginx is the upstream that both proxies
//! stand before; another, a process of its own, is the plain proxy, which remembers nothing. `wrk` keeps
//! 64 connections busy with POST requests. Rounds are interleaved; printed are requests per second and
//! the median of the ratios to nginx's proxy within each round, with their range.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program that prints a table"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROUNDS: usize = 7;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 64;

/// Ended with the bench, whatever happens.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _may_have_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn until_it_answers(port: u16) {
    let began = std::time::Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed().as_secs() < 10, "nothing listens on port {port}");
        std::thread::yield_now();
    }
}

/// One nginx process with these blocks in its `http` block.
fn nginx(folder: &Path, name: &str, port: u16, blocks: &str) -> Process {
    let folder = folder.join(name);
    fs::create_dir(&folder).unwrap();
    let at = folder.display();
    let root = fs::read_dir("/root").is_ok();
    let user = if root { "user root;" } else { "" };
    let conf = format!(
        "{user} daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
        events {{ worker_connections 1024; }}
        http {{
          access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
          fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
          keepalive_requests 100000000;
          {blocks}
        }}"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, conf).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(&path).arg("-e").arg(folder.join("error.log"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let process = Process(child.expect("nginx is needed: install nginx-light"));
    until_it_answers(port);
    process
}

fn upstream(folder: &Path, port: u16) -> Process {
    let reply = format!("{{\"id\":\"ch_1\",\"note\":\"{}\"}}", "x".repeat(220));
    let blocks = format!(
        "server {{
            listen 127.0.0.1:{port} backlog=1024;
            location / {{ default_type application/json; return 201 '{reply}'; }}
        }}"
    );
    nginx(folder, "upstream", port, &blocks)
}

fn plain_proxy(folder: &Path, upstream: u16, port: u16) -> Process {
    let blocks = format!(
        "upstream api {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}
        server {{
            listen 127.0.0.1:{port} backlog=1024;
            location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ''; }}
        }}"
    );
    nginx(folder, "proxy", port, &blocks)
}

fn semel(folder: &Path, upstream: u16, listen: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semel"));
    command
        .args(["serve", "--scope", "none", "--admin", &format!("127.0.0.1:{}", free_port())])
        .arg("--upstream")
        .arg(format!("http://127.0.0.1:{upstream}"))
        .arg("--listen")
        .arg(format!("127.0.0.1:{listen}"))
        .arg("--store")
        .arg(format!("embedded:{}", folder.join("store").display()));
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut process = Process(child.unwrap());
    // It says on stderr that it listens; the rest is read so that it never blocks on a full pipe.
    let stderr = process.0.stderr.take().unwrap();
    std::thread::spawn(move || BufReader::new(stderr).lines().for_each(drop));
    until_it_answers(listen);
    process
}

/// One keyed request for `key`, so that later ones are replays.
fn prime(port: u16, key: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = BODY;
    write!(
        stream,
        "POST /v1/charges HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nIdempotency-Key: {key}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

const BODY: &str =
    "{\"amount\":1200,\"currency\":\"eur\",\"source\":\"tok_visa\",\"customer\":\"c-1\"}";
const REPLAYED: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// What the requests bear beside their body.
#[derive(Clone, Copy)]
enum Keys {
    None,
    Fresh,
    One,
}

/// Requests per second.
fn load(folder: &Path, port: u16, keys: Keys, round: usize) -> f64 {
    let key = match keys {
        Keys::None => String::new(),
        Keys::Fresh => format!(
            "headers['Idempotency-Key'] = string.format('%08x-{round:04x}-4000-8000-%012x', id * 7919 + 1, n); n = n + 1;"
        ),
        Keys::One => format!("headers['Idempotency-Key'] = '{REPLAYED}'"),
    };
    // 2^64 keys by construction: thread, round, number.
    let script = format!(
        "local threads = {}
        function setup(thread) thread:set('id', {} + #threads); table.insert(threads, thread) end
        n = 0
        headers = {{ ['Content-Type'] = 'application/json' }}
        body = '{BODY}'
        request = function() {key} return wrk.format('POST', '/v1/charges', headers, body) end
        done = function(summary)
          io.write(string.format('bad %d\\n', summary.errors.status + summary.errors.read + summary.errors.timeout))
        end",
        "{}",
        std::process::id()
    );
    let path = folder.join("load.lua");
    fs::write(&path, script).unwrap();
    let output = Command::new("wrk")
        .args(["-t2", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "-s"])
        .arg(&path)
        .arg(format!("http://127.0.0.1:{port}"))
        .output()
        .expect("wrk is needed: install wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("bad 0\n"), "some requests failed:\n{text}");
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.unwrap_or_else(|| panic!("wrk printed no rate:\n{text}")).trim().parse().unwrap()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    let (upstream, proxy, gateway) = (free_port(), free_port(), free_port());
    let _upstream = self::upstream(folder, upstream);
    let _proxy = plain_proxy(folder, upstream, proxy);
    let _semel = semel(folder, upstream, gateway);
    prime(gateway, REPLAYED);
    let cases = [
        ("nginx, plain proxy", proxy, Keys::None, 1.0),
        ("semel, without a key", gateway, Keys::None, 0.78),
        ("semel, keyed and durable", gateway, Keys::Fresh, 0.55),
        ("semel, replay", gateway, Keys::One, 1.8),
    ];
    let mut rates = vec![Vec::new(); cases.len()];
    for round in 0..ROUNDS {
        for (case, (_, port, keys, _)) in cases.iter().enumerate() {
            rates[case].push(load(folder, *port, *keys, round));
        }
    }
    println!(
        "{CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s each, POST of {} bytes",
        BODY.len()
    );
    println!("{:<28}{:>12}{:>10}  {:<18}goal", "", "requests/s", "ratio", "range");
    for (case, (name, _, _, goal)) in cases.iter().enumerate() {
        let mut ratios: Vec<f64> =
            rates[case].iter().zip(&rates[0]).map(|(rate, base)| rate / base).collect();
        let ratio = median(&mut ratios);
        let range = format!("{:.2} to {:.2}", ratios[0], ratios[ROUNDS - 1]);
        let rate = median(&mut rates[case].clone());
        println!("{name:<28}{rate:>12.0}{ratio:>10.2}  {range:<18}{goal:.2}");
    }
}
