//! A raw HTTP/1.1 client: it sends what it is told, cuts where it is told, and reads replies
//! strictly (a wrong length is a failure, not a short body).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// A request to be written out.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Any request; `Host` and `Content-Length` are added unless given.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: vec![], body: vec![] }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A JSON POST.
    pub(crate) fn post(target: &str, json: &str) -> Self {
        Self::new("POST", target).header("Content-Type", "application/json").body(json)
    }

    /// A JSON POST with an idempotency key and a bearer token: the usual keyed request.
    pub(crate) fn charge(key: &str, json: &str) -> Self {
        Self::post("/v1/charges", json).key(key).bearer("caller-one")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the header in place of any other of this name.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.set("Idempotency-Key", key)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.set("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !has("host") {
            out.extend_from_slice(b"Host: shop.test\r\n");
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let framed = has("content-length") || has("transfer-encoding");
        if !framed && (!self.body.is_empty() || matches!(self.method.as_str(), "POST" | "PATCH")) {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// A reply that was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Reply {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// All headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("the body is no JSON ({e}): {}", self.text()))
    }

    /// The word of `Idempotency-Status`, without its parameters.
    pub(crate) fn verdict(&self) -> Option<&str> {
        self.header("idempotency-status").map(|v| v.split(';').next().unwrap_or(v).trim())
    }
}

/// Why there is no whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection ended before the first byte.
    Nothing,
    /// It ended within the reply.
    Truncated(Vec<u8>),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = within("connecting", TcpStream::connect(addr)).await;
        let stream = stream.unwrap_or_else(|e| panic!("nobody listens on {addr}: {e}"));
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![] }
    }

    /// The same where nobody may be there.
    pub(crate) async fn try_connect(addr: SocketAddr) -> Option<Self> {
        let stream = within("connecting", TcpStream::connect(addr)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream, buffer: vec![] })
    }

    /// Sends bytes as they are. The other side may have closed: that shows at reading.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = within("sending", self.stream.write_all(bytes)).await;
    }

    pub(crate) async fn request(&mut self, request: &Request) {
        self.send(&request.bytes()).await;
    }

    /// Ends this side; replies can still be read.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Leaves with a reset, as a killed process or a lost route does.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads one reply to a request of `method`, skipping 1xx.
    pub(crate) async fn reply(&mut self, method: &str) -> Result<Reply, Broken> {
        within("a reply", self.read_reply(method)).await
    }

    /// Reads one reply head, and leaves the body to [`Client::bytes`]: for streams.
    pub(crate) async fn head(&mut self) -> Result<Reply, Broken> {
        within("the head of a reply", self.read_head()).await
    }

    /// Reads until at least `n` bytes of what follows have come, and takes them.
    pub(crate) async fn bytes(&mut self, n: usize) -> Vec<u8> {
        within("more bytes", async {
            while self.buffer.len() < n {
                assert!(self.fill().await, "closed after {:?}", self.buffer);
            }
            self.buffer.drain(..n).collect()
        })
        .await
    }

    /// Reads until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        within("the other side closes", async {
            while self.fill().await {}
            std::mem::take(&mut self.buffer)
        })
        .await
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk).await {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                true
            }
        }
    }

    async fn read_head(&mut self) -> Result<Reply, Broken> {
        let end = self.until(b"\r\n\r\n").await?;
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {first:?}"));
        Ok(Reply { status, headers: fields(lines), body: vec![], trailers: vec![] })
    }

    async fn read_reply(&mut self, method: &str) -> Result<Reply, Broken> {
        let mut reply = self.read_head().await?;
        while reply.status < 200 && reply.status != 101 {
            reply = self.read_head().await?;
        }
        if method == "HEAD" || matches!(reply.status, 101 | 204 | 304) {
            return Ok(reply);
        }
        if reply.all("transfer-encoding").iter().any(|v| v.eq_ignore_ascii_case("chunked")) {
            loop {
                let end = self.until(b"\r\n").await?;
                let line: Vec<u8> = self.buffer.drain(..end).collect();
                let line = String::from_utf8_lossy(&line);
                let size = usize::from_str_radix(line.trim(), 16);
                let size = size.unwrap_or_else(|_| panic!("no chunk size: {line:?}"));
                if size == 0 {
                    break;
                }
                let chunk = self.exactly(size + 2).await?;
                reply.body.extend_from_slice(&chunk[..size]);
            }
            loop {
                let end = self.until(b"\r\n").await?;
                let line: Vec<u8> = self.buffer.drain(..end).collect();
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if line.is_empty() {
                    return Ok(reply);
                }
                reply.trailers.extend(fields(std::iter::once(line.as_str())));
            }
        } else if let Some(length) = reply.header("content-length") {
            let length = length.parse().expect("a content length is a number");
            reply.body = self.exactly(length).await?;
        } else {
            while self.fill().await {}
            reply.body = std::mem::take(&mut self.buffer);
        }
        Ok(reply)
    }

    async fn until(&mut self, mark: &[u8]) -> Result<usize, Broken> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|w| w == mark) {
                return Ok(at + mark.len());
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, n: usize) -> Result<Vec<u8>, Broken> {
        while self.buffer.len() < n {
            self.more().await?;
        }
        Ok(self.buffer.drain(..n).collect())
    }

    async fn more(&mut self) -> Result<(), Broken> {
        if self.fill().await {
            return Ok(());
        }
        let so_far = std::mem::take(&mut self.buffer);
        Err(if so_far.is_empty() { Broken::Nothing } else { Broken::Truncated(so_far) })
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').expect("a field has a colon");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect()
}

/// Sends one request on a connection of its own and reads the whole reply.
pub(crate) async fn ask(addr: SocketAddr, request: &Request) -> Reply {
    match try_ask(addr, request).await {
        Ok(reply) => reply,
        Err(broken) => {
            panic!("no whole reply to {} {}: {broken:?}", request.method, request.target)
        }
    }
}

/// The same, for tests in which the reply may not come.
pub(crate) async fn try_ask(addr: SocketAddr, request: &Request) -> Result<Reply, Broken> {
    let mut client = Client::connect(addr).await;
    client.request(request).await;
    client.reply(&request.method).await
}
