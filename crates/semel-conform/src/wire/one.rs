//! Replies as HTTP/1.1 writes them, read strictly by RFC 9112.

use bytes::{Buf, Bytes, BytesMut};

use super::pipe::{BODY_MAX, HEAD_MAX, Pipe};
use super::{Http, Reply, WireError};

/// Headers in one head; more is garbage.
const HEADERS_MAX: usize = 128;

fn garbage(what: impl Into<String>) -> WireError {
    WireError::Garbage { http: Http::One, what: what.into() }
}

fn cut(what: impl Into<String>) -> WireError {
    WireError::CutReply { what: what.into() }
}

/// Reads the next reply, to a request of that method.
///
/// # Errors
/// Without a whole one.
pub(super) async fn reply(pipe: &mut Pipe, method: &str) -> Result<Reply, WireError> {
    loop {
        let (status, headers) = head(pipe).await?;
        if status == 101 {
            return Ok(Reply { status, headers, body: Bytes::new() });
        }
        if status >= 200 {
            let body = body(pipe, method, status, &headers).await?;
            return Ok(Reply { status, headers, body });
        }
    }
}

/// All that comes until the other side has closed.
async fn rest(pipe: &mut Pipe) -> Result<Bytes, WireError> {
    while pipe.more().await? {
        if pipe.buffer.len() > BODY_MAX {
            return Err(garbage(format!("over {BODY_MAX} bytes")));
        }
    }
    Ok(pipe.buffer.split().freeze())
}

async fn head(pipe: &mut Pipe) -> Result<(u16, Vec<(String, Vec<u8>)>), WireError> {
    let end = loop {
        if let Some(end) = head_end(&pipe.buffer) {
            break end;
        }
        if pipe.buffer.len() > HEAD_MAX {
            return Err(garbage(format!("its head is over {HEAD_MAX} bytes")));
        }
        if !pipe.more().await? {
            return Err(match pipe.buffer.len() {
                0 => WireError::NoReply,
                n => cut(format!("{n} bytes into its head")),
            });
        }
    };
    let head = pipe.buffer.split_to(end);
    let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut room);
    match parsed.parse(&head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(garbage("its head does not end")),
        Err(error) => return Err(garbage(format!("its head: {error}"))),
    }
    let status = parsed.code.unwrap_or_default();
    Ok((status, fields(parsed.headers)))
}

async fn body(
    pipe: &mut Pipe,
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
        return chunks(pipe).await;
    }
    let lengths = values("content-length");
    let Some(length) = lengths.first() else {
        return rest(pipe).await;
    };
    let wrong = || garbage(format!("Content-Length is {lengths:?}"));
    if lengths.iter().any(|other| other != length) {
        return Err(wrong());
    }
    let length: usize = length.parse().map_err(|_| wrong())?;
    exactly(pipe, length).await
}

async fn chunks(pipe: &mut Pipe) -> Result<Bytes, WireError> {
    let mut body = BytesMut::new();
    loop {
        let line = line(pipe).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .map_err(|_| garbage(format!("a chunk of size {line:?}")))?;
        if size == 0 {
            // Trailers, up to the empty line.
            while !self::line(pipe).await?.is_empty() {}
            return Ok(body.freeze());
        }
        body.extend_from_slice(&exactly(pipe, size).await?);
        if body.len() > BODY_MAX {
            return Err(garbage(format!("over {BODY_MAX} bytes")));
        }
        if !self::line(pipe).await?.is_empty() {
            return Err(garbage("a chunk is longer than it says"));
        }
    }
}

async fn line(pipe: &mut Pipe) -> Result<String, WireError> {
    loop {
        if let Some(at) = pipe.buffer.windows(2).position(|w| w == b"\r\n") {
            let line = pipe.buffer.split_to(at);
            pipe.buffer.advance(2);
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        if pipe.buffer.len() > HEAD_MAX {
            return Err(garbage("a line without an end"));
        }
        if !pipe.more().await? {
            return Err(cut("between two chunks"));
        }
    }
}

async fn exactly(pipe: &mut Pipe, length: usize) -> Result<Bytes, WireError> {
    if length > BODY_MAX {
        return Err(garbage(format!("it announces {length} bytes")));
    }
    match pipe.exactly(length).await? {
        Some(bytes) => Ok(bytes),
        None => Err(cut(format!("{} of {length} bytes in", pipe.buffer.len()))),
    }
}

/// Where a head ends, its empty line included.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// Names in lower case, and values.
fn fields(headers: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read(bytes: &[u8]) -> Result<Reply, WireError> {
        let (mut ours, theirs) = tokio::io::duplex(1 << 16);
        ours.write_all(bytes).await.unwrap();
        drop(ours);
        super::reply(&mut Pipe::new(Box::new(theirs)), "POST").await
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
