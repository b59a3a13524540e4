//! Which protocol a caller without TLS speaks, by its first bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What opens an HTTP/2 connection (RFC 9113 §3.4). No HTTP/1.1 request begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until it shows. Returns the bytes that were read, and whether it is HTTP/2.
pub(super) async fn sniff(stream: &mut TcpStream) -> io::Result<(Bytes, bool)> {
    let mut read = BytesMut::with_capacity(1024);
    loop {
        let ended = stream.read_buf(&mut read).await? == 0;
        let shared = read.iter().zip(PREFACE).take_while(|(one, other)| one == other).count();
        if shared == PREFACE.len() {
            return Ok((read.freeze(), true));
        }
        if ended || shared < read.len() {
            return Ok((read.freeze(), false));
        }
    }
}
