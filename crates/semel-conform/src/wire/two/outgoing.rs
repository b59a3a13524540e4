//! Requests as frames.

use super::frame::{self, END_HEADERS, END_STREAM, PAYLOAD_MAX};
use super::hpack;
use crate::wire::Request;

/// The head of a request. `measured`: it tells how long its body is, unless it says that by itself.
pub(super) fn head(
    request: &Request,
    host: &str,
    scheme: &str,
    stream: u32,
    measured: bool,
) -> Vec<u8> {
    let mut block = Vec::new();
    let authority = request.header("host").unwrap_or(host.as_bytes());
    for (name, value) in [
        (":method", request.method.as_bytes()),
        (":scheme", scheme.as_bytes()),
        (":authority", authority),
        (":path", request.path.as_bytes()),
    ] {
        hpack::write(&mut block, name.as_bytes(), value);
    }
    for (name, value) in
        request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
    {
        hpack::write(&mut block, name.to_ascii_lowercase().as_bytes(), value);
    }
    if measured && request.wants_length() {
        hpack::write(&mut block, b"content-length", request.body.len().to_string().as_bytes());
    }
    let ends = if request.body.is_empty() { END_STREAM } else { 0 };
    let mut out = Vec::new();
    let parts: Vec<&[u8]> = block.chunks(PAYLOAD_MAX).collect();
    for (at, part) in parts.iter().enumerate() {
        let last = if at + 1 == parts.len() { END_HEADERS } else { 0 };
        match at {
            0 => frame::write(&mut out, frame::HEADERS, last | ends, stream, part),
            _ => frame::write(&mut out, frame::CONTINUATION, last, stream, part),
        }
    }
    out
}

/// A part of a body; nothing of an empty one.
pub(super) fn data(stream: u32, part: &[u8], last: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let parts: Vec<&[u8]> = part.chunks(PAYLOAD_MAX).collect();
    for (at, bytes) in parts.iter().enumerate() {
        let ends = if last && at + 1 == parts.len() { END_STREAM } else { 0 };
        frame::write(&mut out, frame::DATA, ends, stream, bytes);
    }
    out
}

/// How many bytes the head of a request takes: the same on each stream, and under each scheme but for its name.
pub(in crate::wire) fn head_length(request: &Request, host: &str) -> usize {
    head(request, host, "http", 1, true).len()
}

/// How many bytes a request takes.
pub(in crate::wire) fn length(request: &Request, host: &str) -> usize {
    head_length(request, host) + data(1, &request.body, true).len()
}
