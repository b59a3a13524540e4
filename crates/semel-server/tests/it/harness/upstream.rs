//! A scripted upstream on raw sockets. It counts every request that it has read whole: that is the
//! effect, and what the reply's way back does with the news is no excuse for a second one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Gate, eventually};

/// A request as the upstream saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
}

impl Seen {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// All headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, v)| v.as_str()).collect()
    }
}

/// One act of an upstream after it has read a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Waits until the test opens the gate.
    Wait(Gate),
    /// Writes bytes.
    Send(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Resets it.
    Reset,
    /// Copies all that comes back, until the other side closes: after a 101.
    Echo,
}

/// What to do with one request.
pub(crate) type Script = Vec<Act>;

/// A whole reply with its length.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Script {
    let body = body.as_ref();
    let mut out = format!("HTTP/1.1 {status} Scripted\r\n").into_bytes();
    for (name, value) in headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !matches!(status, 204 | 304) {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    vec![Act::Send(out)]
}

/// Bytes as they are.
pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Script {
    vec![Act::Send(bytes.as_ref().to_vec())]
}

/// `gate` first, then `script`.
pub(crate) fn after(gate: &Gate, script: Script) -> Script {
    let mut all = vec![Act::Wait(gate.clone())];
    all.extend(script);
    all
}

/// `script`, then `act`.
pub(crate) fn then(mut script: Script, act: Act) -> Script {
    script.push(act);
    script
}

type Always = Box<dyn Fn(&Seen, usize) -> Script + Send>;

/// The upstream. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    next: Mutex<VecDeque<Script>>,
    always: Mutex<Always>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Answers each request with `201` and `{"charge": n}`, n counting effects from 1.
    pub(crate) async fn start() -> Self {
        Self::with(|_, n| {
            let id = format!("ch_{n}");
            let body = format!("{{\"charge\":{n}}}");
            reply(201, &[("Content-Type", "application/json"), ("X-Charge", &id)], body)
        })
        .await
    }

    /// Answers by `always`, which is given the request and how many effects there are with it.
    pub(crate) async fn with(always: impl Fn(&Seen, usize) -> Script + Send + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), always).await
    }

    /// The same at an address: that of one that has ended.
    pub(crate) async fn at(
        addr: SocketAddr,
        always: impl Fn(&Seen, usize) -> Script + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            next: Mutex::default(),
            always: Mutex::new(Box::new(always)),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr, shared, accepting }
    }

    /// An address on which nobody listens.
    pub(crate) async fn nowhere() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    /// Does this with the next request that has no script yet.
    pub(crate) fn next(&self, script: Script) {
        self.shared.next.lock().unwrap().push_back(script);
    }

    /// The requests read whole so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many.
    pub(crate) fn effects(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Of the requests, how many were sent to this target.
    pub(crate) fn effects_at(&self, target: &str) -> usize {
        self.seen().iter().filter(|seen| seen.target == target).count()
    }

    /// How many had a body that holds `part`.
    pub(crate) fn effects_of(&self, part: &str) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|s| String::from_utf8_lossy(&s.body).contains(part)).count()
    }

    /// Waits until there are `n`.
    pub(crate) async fn reached(&self, n: usize) {
        eventually("the upstream has its requests", || async {
            (self.effects() >= n).then_some(())
        })
        .await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = tokio::task::JoinSet::new();
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        serving.spawn(serve(stream, Arc::clone(&shared), connection));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>, connection: usize) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![];
    while let Some(seen) = read_request(&mut stream, &mut buffer, connection).await {
        let n = {
            let mut all = shared.seen.lock().unwrap();
            all.push(seen.clone());
            all.len()
        };
        let scripted = shared.next.lock().unwrap().pop_front();
        let script = scripted.unwrap_or_else(|| (shared.always.lock().unwrap())(&seen, n));
        for act in script {
            match act {
                Act::Wait(gate) => gate.pass().await,
                Act::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Act::Close => return,
                Act::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
                Act::Echo => {
                    let (mut from, mut to) = stream.split();
                    let _ = to.write_all(&buffer).await;
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    return;
                }
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, n: usize) -> Option<Seen> {
    let end = until(stream, buffer, b"\r\n\r\n").await?;
    let head: Vec<u8> = buffer.drain(..end).collect();
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<_> = lines.filter_map(field).collect();
    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let (mut body, mut trailers) = (vec![], vec![]);
    if find("transfer-encoding").is_some() {
        loop {
            let end = until(stream, buffer, b"\r\n").await?;
            let line: Vec<u8> = buffer.drain(..end).collect();
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            exactly(stream, buffer, size + 2).await?;
            let chunk: Vec<u8> = buffer.drain(..size + 2).collect();
            body.extend_from_slice(&chunk[..size]);
        }
        loop {
            let end = until(stream, buffer, b"\r\n").await?;
            let line: Vec<u8> = buffer.drain(..end).collect();
            match field(String::from_utf8_lossy(&line).trim()) {
                Some(trailer) => trailers.push(trailer),
                None => break,
            }
        }
    } else if let Some(length) = find("content-length") {
        let length = length.parse().ok()?;
        exactly(stream, buffer, length).await?;
        body = buffer.drain(..length).collect();
    }
    Some(Seen { method, target, headers, body, trailers, connection: n })
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

async fn until(stream: &mut TcpStream, buffer: &mut Vec<u8>, mark: &[u8]) -> Option<usize> {
    loop {
        if let Some(at) = buffer.windows(mark.len()).position(|w| w == mark) {
            return Some(at + mark.len());
        }
        more(stream, buffer).await?;
    }
}

async fn exactly(stream: &mut TcpStream, buffer: &mut Vec<u8>, n: usize) -> Option<()> {
    while buffer.len() < n {
        more(stream, buffer).await?;
    }
    Some(())
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk).await {
        Ok(n) if n > 0 => {
            buffer.extend_from_slice(&chunk[..n]);
            Some(())
        }
        Ok(_) | Err(_) => None,
    }
}
