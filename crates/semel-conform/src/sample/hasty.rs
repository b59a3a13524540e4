//! A server that answers a replay as soon as it has read the head: the body is left on the
//! connection, where it is read as the next request.

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::AppBody;
use super::protection::Protection;

/// Headers in one head.
const HEADERS_MAX: usize = 64;
const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NO_LENGTH: &[u8] =
    b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves one connection to its end.
pub(super) async fn carry(mut stream: TcpStream, protection: Protection) {
    let mut buffer = BytesMut::new();
    loop {
        let (request, length) = match head(&buffer) {
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
        let reply = match protection.by_head(&request) {
            Some(stored) => stored,
            None if request.headers().contains_key(header::TRANSFER_ENCODING) => {
                let _ = stream.write_all(NO_LENGTH).await;
                return;
            }
            None => {
                let announced = request.headers().get(header::CONTENT_LENGTH);
                let announced = announced.and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0);
                while buffer.len() < announced {
                    if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                        return;
                    }
                }
                let request = request.map(|_| buffer.split_to(announced).freeze());
                match protection.handle(request).await {
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

enum Head {
    Part,
    Garbage,
    Whole(Request<Bytes>, usize),
}

fn head(bytes: &[u8]) -> Head {
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
    if parsed.headers.iter().filter(is_length).count() > 1 {
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
