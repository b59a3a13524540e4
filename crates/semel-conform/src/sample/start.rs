//! The sample as a service: a listener for its callers, one for its operator, and the target file
//! that describes it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

use super::app::{json_reply, no_content};
use super::protection::{Protection, Times};
use super::sending::Sending;
use super::serve::{Cut, serve_streams};
use super::{AppBody, Broken, Flaw, Serving, raw, serve, serve_on};

/// What the sample without a flaw is called.
pub const REFERENCE: &str = "reference";
/// The same, but that it refuses a duplicate in flight at once, where the other waits for a while.
pub const REFERENCE_409: &str = "reference-409";

/// Where free ports for webhooks are looked for: below those that this machine gives to whoever
/// connects, so that nobody takes one between the look and the use.
const WEBHOOK_PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A sample that runs. It ends when it is dropped.
#[derive(Debug)]
pub struct Sample {
    /// The text of the target file that describes it.
    pub target: String,
    /// Where it listens.
    pub addr: SocketAddr,
    _serving: Serving,
    _operator: Serving,
}

/// The names of all samples: those that are right, and those that are broken in one thing.
pub fn names() -> impl Iterator<Item = &'static str> {
    [REFERENCE, REFERENCE_409].into_iter().chain(Flaw::ALL.iter().map(|flaw| flaw.name()))
}

/// Starts the sample of that name on free ports of this machine, all its times multiples of `unit`.
/// `None`, if there is no such sample.
///
/// # Errors
/// When no port can be had.
pub async fn start_named(name: &str, unit: Duration) -> Option<io::Result<Sample>> {
    match (name, Flaw::named(name)) {
        (REFERENCE, _) => Some(start(None, unit).await),
        (REFERENCE_409, _) => {
            let times = Times { wait: Duration::ZERO, ..Times::of(unit) };
            Some(begin(name, None, times).await)
        }
        (_, Some(flaw)) => Some(start(Some(flaw), unit).await),
        (_, None) => None,
    }
}

/// Starts the sample, with a flaw or without one.
///
/// # Errors
/// When no port can be had.
pub async fn start(flaw: Option<Flaw>, unit: Duration) -> io::Result<Sample> {
    begin(flaw.map_or(REFERENCE, Flaw::name), flaw, Times::of(unit)).await
}

async fn begin(name: &str, flaw: Option<Flaw>, times: Times) -> io::Result<Sample> {
    let receiver = webhook_address().await?;
    let protection = Protection::new(flaw, Sending::to(receiver), times);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any).await?;
    let service = protection.clone();
    let serving = match flaw {
        Some(
            flaw @ (Flaw::UnreadBody | Flaw::LaxFraming | Flaw::TwoFramings | Flaw::ControlDropped),
        ) => serve_streams(listener, move |stream| raw::carry(stream, service.clone(), flaw))?,
        _ => serve_on(listener, move |request| {
            let service = service.clone();
            async move { service.handle(request).await }
        })?,
    };
    let cut = serving.cut();
    let operator = serve(any, move |request| {
        let (protection, cut) = (protection.clone(), cut.clone());
        async move { Ok::<_, Broken>(operate(&protection, &cut, &request).await) }
    })
    .await?;
    let target = describe(name, serving.addr, operator.addr, receiver, &times);
    Ok(Sample { target, addr: serving.addr, _serving: serving, _operator: operator })
}

/// An address on which nobody listens.
async fn webhook_address() -> io::Result<SocketAddr> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let width = WEBHOOK_PORTS.end - WEBHOOK_PORTS.start;
    let first = u16::from_le_bytes(random) % width;
    for step in 0..width {
        let port = WEBHOOK_PORTS.start + (first + step) % width;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).await.is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free for webhooks"))
}

/// The operator's routes: `POST /crash`, `/start`, `/store/HOW`.
async fn operate(
    protection: &Protection,
    cut: &Cut,
    request: &Request<Bytes>,
) -> Response<AppBody> {
    let unknown = || json_reply(StatusCode::NOT_FOUND, &serde_json::json!({ "error": "no such" }));
    if request.method() != Method::POST {
        return unknown();
    }
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let slow = query.strip_prefix("ms=").and_then(|ms| ms.parse().ok()).unwrap_or(0);
    match path.strip_prefix("/store/") {
        Some(how) if protection.store(how, Duration::from_millis(slow)) => no_content(),
        Some(_) => unknown(),
        None if path == "/crash" => {
            cut.connections().await;
            protection.crash().await;
            no_content()
        }
        // It serves again as soon as it has crashed.
        None if path == "/start" => no_content(),
        None => unknown(),
    }
}

/// The rest of the target file: what is the same for each sample.
const DESCRIPTION: &str = r#"
read = "/charges?reference={unique}"
published = "/.well-known/idempotency"
other_host = "other.example"
behaviours = ["all"]

[operation]
path = "/charges"
headers = { Content-Type = "application/json" }
body = '{"reference":"{unique}","behaviour":"{behaviour}","slow_ms":{slow_ms},"pad":"{pad}","amount":{amount}}'

[other_operation]
path = "/refunds"
headers = { Content-Type = "application/json" }
body = '{"reference":"{unique}","behaviour":"{behaviour}","slow_ms":{slow_ms},"pad":"{pad}","amount":{amount}}'

[tenant_a]
headers = { Authorization = "Bearer conform-a" }
[tenant_b]
headers = { Authorization = "Bearer conform-b" }
[rotated]
headers = { Authorization = "Bearer conform-a.rotated" }

[effects]
probe = "/charges?reference={unique}"
pointer = "/count"

[resource]
path = "/resources/{unique}"
body = '{"amount":{amount}}'
headers = { Content-Type = "application/json" }
versioned = true
requires_match = true

[[side_effect]]
kind = "email"
probe = "/sent?reference={unique}"
pointer = "/email"
[[side_effect]]
kind = "message"
probe = "/sent?reference={unique}"
pointer = "/message"
"#;

/// The target file.
fn describe(
    name: &str,
    addr: SocketAddr,
    operator: SocketAddr,
    receiver: SocketAddr,
    times: &Times,
) -> String {
    let ms = |time: Duration| time.as_millis();
    let (lease, retention, memory) = (ms(times.lease), ms(times.retention), ms(times.memory));
    let upstream = ms(times.upstream);
    format!(
        r#"name = "sample {name}"
url = "http://{addr}"
{DESCRIPTION}
[[side_effect]]
kind = "webhook"
receiver = "{receiver}"

[timing]
lease = "{lease}ms"
retention = "{retention}ms"
memory = "{memory}ms"
upstream_timeout = "{upstream}ms"

[control]
kill = "POST http://{operator}/crash"
stop = "POST http://{operator}/crash"
start = "POST http://{operator}/start"
store_down = "POST http://{operator}/store/down"
store_slow = "POST http://{operator}/store/slow?ms={{slow_ms}}"
store_read_only = "POST http://{operator}/store/read-only"
store_empty = "POST http://{operator}/store/empty"
store_answer_lost = "POST http://{operator}/store/answer-lost"
store_up = "POST http://{operator}/store/up"
"#
    )
}
