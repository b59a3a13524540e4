//! One connection: bytes out, replies in, read strictly by RFC 9112.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Reply, Request};

/// Headers in one head; more is garbage.
const HEADERS_MAX: usize = 128;
/// Bytes of one head; more is garbage.
const HEAD_MAX: usize = 256 * 1024;
/// Bytes of one body; the tester asks for nothing that is larger.
const BODY_MAX: usize = 64 << 20;

/// Bytes both ways, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a target.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("unread", &self.buffer.len()).finish_non_exhaustive()
    }
}

/// Why no whole reply came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// There was no connection, so nothing was sent.
    #[error("no connection to {to}: {error}")]
    Connect {
        /// Where to.
        to: String,
        /// Why.
        error: io::Error,
    },
    /// The connection ended before a byte of the reply.
    #[error("the connection ended before the reply began")]
    NoReply,
    /// The connection ended within the reply.
    #[error("the connection ended within the reply, {what}")]
    CutReply {
        /// How far it had come.
        what: String,
    },
    /// What came is no HTTP/1.1.
    #[error("the reply is no HTTP/1.1: {what}")]
    Garbage {
        /// What is wrong with it.
        what: String,
    },
    /// It broke.
    #[error("the connection broke: {0}")]
    Broke(io::Error),
    /// Nothing was sent: the case has sent enough.
    #[error("the case has sent its {most} requests, and sends no more")]
    TooMany {
        /// The bound.
        most: u64,
    },
    /// It took too long.
    #[error("no whole reply within {seconds:.1} s")]
    TimedOut {
        /// The bound.
        seconds: f64,
    },
}

impl Connection {
    /// Over any stream.
    pub(crate) fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new() }
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).await.map_err(WireError::Broke)?;
        self.stream.flush().await.map_err(WireError::Broke)
    }

    /// Sends a request and reads its reply. What could not be written does not matter where a reply
    /// comes nevertheless: a server may refuse a body without reading it.
    ///
    /// # Errors
    /// Without a whole reply.
    pub async fn exchange(&mut self, request: &Request, host: &str) -> Result<Reply, WireError> {
        let written = self.write(&request.bytes(host)).await;
        match (self.reply(&request.method).await, written) {
            (Ok(reply), _) => Ok(reply),
            (Err(WireError::NoReply), Err(error)) => Err(error),
            (Err(error), _) => Err(error),
        }
    }

    /// Reads the next reply, to a request of that method.
    ///
    /// # Errors
    /// Without a whole one.
    pub async fn reply(&mut self, method: &str) -> Result<Reply, WireError> {
        loop {
            let (status, headers) = self.head().await?;
            if status == 101 {
                return Ok(Reply { status, headers, body: Bytes::new() });
            }
            if status >= 200 {
                let body = self.body(method, status, &headers).await?;
                return Ok(Reply { status, headers, body });
            }
        }
    }

    /// Waits until the other side has closed, and returns what it sent before.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn rest(&mut self) -> Result<Bytes, WireError> {
        while self.more().await? {
            if self.buffer.len() > BODY_MAX {
                return Err(WireError::Garbage { what: format!("over {BODY_MAX} bytes") });
            }
        }
        Ok(self.buffer.split().freeze())
    }

    async fn head(&mut self) -> Result<(u16, Vec<(String, Vec<u8>)>), WireError> {
        let garbage = |what: String| WireError::Garbage { what };
        let end = loop {
            if let Some(end) = head_end(&self.buffer) {
                break end;
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(garbage(format!("its head is over {HEAD_MAX} bytes")));
            }
            if !self.more().await? {
                return Err(match self.buffer.len() {
                    0 => WireError::NoReply,
                    n => WireError::CutReply { what: format!("{n} bytes into its head") },
                });
            }
        };
        let head = self.buffer.split_to(end);
        let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut room);
        match parsed.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(garbage("its head does not end".into())),
            Err(error) => return Err(garbage(format!("its head: {error}"))),
        }
        let status = parsed.code.unwrap_or_default();
        Ok((status, fields(parsed.headers)))
    }

    async fn body(
        &mut self,
        method: &str,
        status: u16,
        headers: &[(String, Vec<u8>)],
    ) -> Result<Bytes, WireError> {
        if method == "HEAD" || status == 204 || status == 304 {
            return Ok(Bytes::new());
        }
        let values = |name: &str| -> Vec<String> {
            let named = headers.iter().filter(|(n, _)| n == name);
            named.map(|(_, v)| String::from_utf8_lossy(v).trim().to_ascii_lowercase()).collect()
        };
        let codings = values("transfer-encoding");
        if codings.iter().any(|coding| coding.ends_with("chunked")) {
            return self.chunks().await;
        }
        let lengths = values("content-length");
        let Some(length) = lengths.first() else {
            return self.rest().await;
        };
        let garbage = || WireError::Garbage { what: format!("Content-Length is {lengths:?}") };
        if lengths.iter().any(|other| other != length) {
            return Err(garbage());
        }
        let length: usize = length.parse().map_err(|_| garbage())?;
        self.exactly(length).await
    }

    async fn chunks(&mut self) -> Result<Bytes, WireError> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| WireError::Garbage { what: format!("a chunk of size {line:?}") })?;
            if size == 0 {
                // Trailers, up to the empty line.
                while !self.line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            body.extend_from_slice(&self.exactly(size).await?);
            if body.len() > BODY_MAX {
                return Err(WireError::Garbage { what: format!("over {BODY_MAX} bytes") });
            }
            if !self.line().await?.is_empty() {
                let what = "a chunk is longer than it says".to_owned();
                return Err(WireError::Garbage { what });
            }
        }
    }

    async fn line(&mut self) -> Result<String, WireError> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line = self.buffer.split_to(at);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(WireError::Garbage { what: "a line without an end".to_owned() });
            }
            if !self.more().await? {
                return Err(WireError::CutReply { what: "between two chunks".to_owned() });
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Bytes, WireError> {
        if length > BODY_MAX {
            return Err(WireError::Garbage { what: format!("it announces {length} bytes") });
        }
        while self.buffer.len() < length {
            if !self.more().await? {
                let have = self.buffer.len();
                return Err(WireError::CutReply { what: format!("{have} of {length} bytes in") });
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> Result<bool, WireError> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(n) => Ok(n > 0),
            // A reset within a reply cuts it as an end does.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(WireError::Broke(error)),
        }
    }
}

/// Where a head ends, its empty line included.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// Names in lower case, and values.
fn fields(headers: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Reply, WireError> {
        let (mut ours, theirs) = tokio::io::duplex(1 << 16);
        ours.write_all(bytes).await.unwrap();
        drop(ours);
        Connection::new(theirs).reply("POST").await
    }

    #[tokio::test]
    async fn bodies_by_length_by_chunks_and_to_the_end() {
        for (bytes, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", "ok"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\nT: r\r\n\r\n",
                "ok!",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nall", "all"),
            ("HTTP/1.1 204 No Content\r\n\r\n", ""),
            (
                "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                "x",
            ),
        ] {
            assert_eq!(read(bytes.as_bytes()).await.unwrap().text(), body, "{bytes}");
        }
    }

    #[tokio::test]
    async fn what_is_not_whole_is_an_error() {
        assert!(matches!(read(b"").await, Err(WireError::NoReply)));
        for cut in [
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        ] {
            assert!(matches!(read(cut.as_bytes()).await, Err(WireError::CutReply { .. })), "{cut}");
        }
        for garbage in [
            "SSH-2.0-OpenSSH\r\n\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            let got = read(garbage.as_bytes()).await;
            assert!(matches!(got, Err(WireError::Garbage { .. })), "{garbage}: {got:?}");
        }
    }
}
