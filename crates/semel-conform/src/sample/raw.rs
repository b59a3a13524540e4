//! A server that does not read requests as it should: one that answers a replay as soon as it has
//! read the head, and leaves the body on the connection, where it is read as the next request; or one
//! that is lax about where a request ends, or about what a head may hold.

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::protection::Protection;
use super::{AppBody, Flaw};

/// Headers in one head.
const HEADERS_MAX: usize = 64;
const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NO_LENGTH: &[u8] =
    b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves one connection to its end.
pub(super) async fn carry(mut stream: TcpStream, protection: Protection, flaw: Flaw) {
    let lax = flaw == Flaw::LaxFraming;
    let mut buffer = BytesMut::new();
    loop {
        if lax {
            unfold(&mut buffer);
        }
        if flaw == Flaw::ControlDropped {
            drop_controls(&mut buffer);
        }
        let (request, length) = match head(&buffer, lax) {
            Head::Whole(request, length) => (request, length),
            Head::Garbage => {
                let _ = stream.write_all(BAD).await;
                return;
            }
            Head::Part => match stream.read_buf(&mut buffer).await {
                Ok(1..) => continue,
                _ => return,
            },
        };
        let _ = buffer.split_to(length);
        let hasty = match flaw {
            Flaw::UnreadBody => protection.by_head(&request),
            _ => None,
        };
        let reply = match hasty {
            Some(stored) => stored,
            None => {
                let body = match framing(&request, flaw) {
                    Framing::Refused(refusal) => {
                        let _ = stream.write_all(refusal).await;
                        return;
                    }
                    Framing::None => Some(Bytes::new()),
                    Framing::Chunks => chunks(&mut stream, &mut buffer).await,
                    Framing::Length(length) => counted(&mut stream, &mut buffer, length).await,
                };
                let Some(body) = body else { return };
                match protection.handle(request.map(|_| body)).await {
                    Ok(reply) => reply,
                    Err(_) => return,
                }
            }
        };
        let Some(bytes) = written(reply).await else { return };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Drops from the head, as far as it is there, what nobody sees.
fn drop_controls(buffer: &mut BytesMut) {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(buffer.len());
    let tail = buffer.split_off(head);
    let seen = |byte: &u8| !byte.is_ascii_control() || matches!(byte, b'\r' | b'\n' | b'\t');
    let kept: Vec<u8> = buffer.iter().copied().filter(seen).collect();
    buffer.clear();
    buffer.extend_from_slice(&kept);
    buffer.unsplit(tail);
}

/// Drops the first header that goes on in a second line.
fn unfold(buffer: &mut BytesMut) {
    let Some(fold) = buffer.windows(3).position(|w| w == b"\r\n ") else { return };
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
    if fold > head {
        return;
    }
    let before = buffer.get(..fold).unwrap_or_default();
    let begins = before.windows(2).rposition(|w| w == b"\r\n").unwrap_or(0);
    let after = buffer.get(fold + 2..).unwrap_or_default();
    let ends = after.windows(2).position(|w| w == b"\r\n").unwrap_or(0) + fold + 2;
    let tail = buffer.split_off(ends);
    buffer.truncate(begins);
    buffer.unsplit(tail);
}

/// Where a body ends.
enum Framing {
    None,
    Chunks,
    Length(usize),
    Refused(&'static [u8]),
}

fn framing(request: &Request<Bytes>, flaw: Flaw) -> Framing {
    let in_chunks = request.headers().contains_key(header::TRANSFER_ENCODING);
    let both = in_chunks && request.headers().contains_key(header::CONTENT_LENGTH);
    match flaw {
        Flaw::UnreadBody if in_chunks => Framing::Refused(NO_LENGTH),
        Flaw::TwoFramings if both => Framing::None,
        Flaw::LaxFraming if in_chunks => Framing::Chunks,
        _ if both => Framing::Refused(BAD),
        _ if in_chunks => Framing::Chunks,
        _ => Framing::Length(announced(request)),
    }
}

/// What the first length says.
fn announced(request: &Request<Bytes>) -> usize {
    let length = request.headers().get(header::CONTENT_LENGTH);
    length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

async fn counted(stream: &mut TcpStream, buffer: &mut BytesMut, length: usize) -> Option<Bytes> {
    while buffer.len() < length {
        if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
            return None;
        }
    }
    Some(buffer.split_to(length).freeze())
}

/// A body in chunks, without trailers.
async fn chunks(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let Some(at) = buffer.windows(2).position(|w| w == b"\r\n") else {
            if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
                return None;
            }
            continue;
        };
        let line = buffer.split_to(at + 2);
        let size = std::str::from_utf8(&line).ok()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        let data = counted(stream, buffer, size + 2).await?;
        if size == 0 {
            return Some(body.freeze());
        }
        body.extend_from_slice(data.get(..size).unwrap_or_default());
    }
}

enum Head {
    Part,
    Garbage,
    Whole(Request<Bytes>, usize),
}

fn head(bytes: &[u8], lax: bool) -> Head {
    let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut room);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Head::Part,
        Err(_) => return Head::Garbage,
    };
    let mut request = Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or("/"));
    let is_length = |line: &&httparse::Header<'_>| line.name.eq_ignore_ascii_case("content-length");
    if !lax && parsed.headers.iter().filter(is_length).count() > 1 {
        return Head::Garbage;
    }
    for line in parsed.headers.iter() {
        request = request.header(line.name, line.value);
    }
    match request.body(Bytes::new()) {
        Ok(request) => Head::Whole(request, length),
        Err(_) => Head::Garbage,
    }
}

/// A reply as bytes; `None` where it breaks off.
async fn written(reply: Response<AppBody>) -> Option<Vec<u8>> {
    let (parts, body) = reply.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let mut out = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if parts.status != http::StatusCode::NO_CONTENT {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    Some(out)
}
