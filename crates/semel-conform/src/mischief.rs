//! The network that a retry is made for: a proxy between the tester and the target that loses,
//! cuts and holds what passes.
//!
//! It carries bytes, and knows of HTTP where a reply begins and where its body does. Where the target speaks TLS, it
//! does too, and where it speaks HTTP/2, both sides have said how before: what it loses is a reply and not a
//! handshake. It never sends anything of its own, and never sends anything twice.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::wire::two::frame;
use crate::wire::{Address, Connection, Http, Stream, WireError, head_end};

/// Bytes under way between the tester and its proxy.
const UNDER_WAY: usize = 64 * 1024;

/// What the network does to one connection.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// Delivers the request, and resets the caller's connection when the reply begins to come.
    LoseReply,
    /// Delivers the first bytes of what the caller sends, then ends both connections.
    CutRequest(usize),
    /// Delivers so much of the reply, then ends both connections.
    CutReply(Cut),
    /// Delivers the request, and keeps the reply back until the gate opens.
    HoldReply(Gate),
}

/// Where a reply is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Within its head.
    Head,
    /// So many bytes into its body; within the head of one that has none.
    Body(usize),
}

/// A door that a case opens.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed one.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.close();
    }

    async fn pass(&self) {
        // Closing the semaphore is how the gate opens.
        let _ = self.0.acquire().await;
    }
}

/// A way through the bad network. It ends when it is dropped.
#[derive(Debug)]
pub struct Passage(JoinHandle<()>);

impl Passage {
    /// Opens one to the target, and a connection through it.
    ///
    /// # Errors
    /// When the target cannot be reached.
    pub async fn open(
        target: &Address,
        mischief: Mischief,
    ) -> Result<(Self, Connection), WireError> {
        let mut connection = target.connect().await?;
        let http = connection.http();
        let (tester, caller) = tokio::io::duplex(UNDER_WAY);
        let server = connection.over(Box::new(tester));
        let carried = tokio::spawn(async move {
            match mischief {
                Mischief::LoseReply => cut_reply(caller, server, http, None).await,
                Mischief::CutReply(cut) => cut_reply(caller, server, http, Some(cut)).await,
                Mischief::CutRequest(bytes) => cut_request(caller, server, bytes).await,
                Mischief::HoldReply(gate) => hold_reply(caller, server, gate).await,
            }
        });
        Ok((Self(carried), connection))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Bytes of a head that are delivered where it is cut.
const OF_HEAD: usize = 10;

async fn cut_reply(caller: DuplexStream, server: Box<dyn Stream>, http: Http, cut: Option<Cut>) {
    let (mut from_caller, mut to_caller) = split(caller);
    let (mut from_server, mut to_server) = split(server);
    // The request goes on being delivered while the reply is awaited.
    let deliver = async {
        let _ = tokio::io::copy(&mut from_caller, &mut to_server).await;
        std::future::pending::<()>().await;
    };
    let answer = async {
        let mut came = Vec::new();
        let mut room = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = from_server.read(&mut room).await {
            came.extend_from_slice(room.get(..n).unwrap_or_default());
            let (passes, ends) = match http {
                Http::One => passed(&came, cut),
                Http::Two => passed_frames(&came, cut),
            };
            if ends {
                let _ = to_caller.write_all(came.get(..passes).unwrap_or_default()).await;
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = answer => {}
        () = deliver => {}
    }
}

/// How many of the bytes that have come pass, and whether the reply is cut there. Until then none passes: all of
/// them may belong to what is cut.
fn passed(came: &[u8], cut: Option<Cut>) -> (usize, bool) {
    match (cut, head_end(came)) {
        (None, _) => (0, true),
        (Some(Cut::Head | Cut::Body(0)), _) => (OF_HEAD, came.len() >= OF_HEAD),
        (Some(Cut::Body(bytes)), Some(head)) => (head + bytes, came.len() >= head + bytes),
        (Some(Cut::Body(_)), None) => (0, false),
    }
}

/// The same of HTTP/2, where frames of the connection come between: those pass.
fn passed_frames(came: &[u8], cut: Option<Cut>) -> (usize, bool) {
    let (mut at, mut body) = (0, 0);
    while let Some(head) = came.get(at..).and_then(frame::Head::read) {
        let whole = at + frame::HEAD + head.length;
        let of_head = at + OF_HEAD;
        match (head.kind, cut) {
            (frame::HEADERS | frame::CONTINUATION | frame::DATA | frame::RST_STREAM, None) => {
                return (at, true);
            }
            (frame::HEADERS, Some(Cut::Head | Cut::Body(0))) => {
                return (of_head, came.len() >= of_head);
            }
            (frame::HEADERS, Some(Cut::Body(_))) if head.has(frame::END_STREAM) => {
                return (of_head, came.len() >= of_head);
            }
            (frame::DATA, Some(Cut::Body(bytes))) if body + head.length >= bytes => {
                let end = at + frame::HEAD + (bytes - body);
                return (end, came.len() >= end);
            }
            (frame::DATA, _) => body += head.length,
            _ => {}
        }
        at = whole;
    }
    (0, false)
}

async fn cut_request(mut caller: DuplexStream, mut server: Box<dyn Stream>, mut left: usize) {
    let mut room = vec![0; 16 * 1024];
    while left > 0 {
        let upto = left.min(room.len());
        let Some(space) = room.get_mut(..upto) else { return };
        let Ok(n @ 1..) = caller.read(space).await else { return };
        let Some(part) = room.get(..n) else { return };
        if server.write_all(part).await.is_err() {
            return;
        }
        left -= n;
    }
    let _ = server.flush().await;
    // In order, so that what was delivered is read: a reset could throw it away.
    let _ = server.shutdown().await;
}

async fn hold_reply(caller: DuplexStream, server: Box<dyn Stream>, gate: Gate) {
    let (mut from_caller, mut to_caller) = split(caller);
    let (mut from_server, mut to_server) = split(server);
    let deliver = async {
        let _ = tokio::io::copy(&mut from_caller, &mut to_server).await;
        std::future::pending::<()>().await;
    };
    let answer = async {
        gate.pass().await;
        let _ = tokio::io::copy(&mut from_server, &mut to_caller).await;
    };
    tokio::select! {
        biased;
        () = answer => {}
        () = deliver => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::wire::Request;

    /// A server that answers each connection once and says what it was sent.
    async fn server(reply: &'static str) -> (Address, JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address =
            Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 4096];
            let n = stream.read(&mut read).await.unwrap();
            read.truncate(n);
            let _ = stream.write_all(reply.as_bytes()).await;
            read
        });
        (address, served)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    #[tokio::test]
    async fn a_lost_reply_is_delivered_and_not_answered() {
        let (address, served) = server(OK).await;
        let (_passage, mut connection) =
            Passage::open(&address, Mischief::LoseReply).await.unwrap();
        let got = connection.exchange(&Request::new("POST", "/").body("x"), "h").await;
        assert!(matches!(got, Err(WireError::NoReply)), "{got:?}");
        assert!(served.await.unwrap().ends_with(b"x"));
    }

    #[tokio::test]
    async fn a_cut_reply_ends_where_it_is_cut() {
        let (address, _served) = server(OK).await;
        let (_passage, mut connection) =
            Passage::open(&address, Mischief::CutReply(Cut::Body(1))).await.unwrap();
        let got = connection.exchange(&Request::new("POST", "/"), "h").await;
        let Err(WireError::CutReply { what }) = &got else { panic!("{got:?}") };
        assert_eq!(what, "1 of 2 bytes in");
    }

    #[test]
    fn where_a_reply_of_either_http_is_cut() {
        assert_eq!(passed(OK.as_bytes(), None), (0, true));
        assert_eq!(passed(OK.as_bytes(), Some(Cut::Head)), (OF_HEAD, true));
        assert_eq!(passed(OK.as_bytes(), Some(Cut::Body(1))), (OK.len() - 1, true));
        assert!(!passed(b"HTTP/1.1 200 OK\r\n", Some(Cut::Body(1))).1);
        let mut frames = Vec::new();
        // What the connection says of itself is no reply.
        frame::write(&mut frames, 4, 1, 0, &[]);
        assert_eq!(passed_frames(&frames, None), (0, false));
        let settled = frames.len();
        frame::write(&mut frames, frame::HEADERS, 4, 1, b"head");
        assert_eq!(passed_frames(&frames, None), (settled, true));
        assert_eq!(passed_frames(&frames, Some(Cut::Head)), (settled + OF_HEAD, true));
        assert_eq!(passed_frames(&frames, Some(Cut::Body(2))), (0, false));
        frame::write(&mut frames, frame::DATA, 1, 1, b"body");
        assert_eq!(passed_frames(&frames, Some(Cut::Body(2))), (frames.len() - 2, true));
    }

    #[tokio::test]
    async fn a_cut_request_is_delivered_in_part() {
        let (address, served) = server(OK).await;
        let (_passage, mut connection) =
            Passage::open(&address, Mischief::CutRequest(6)).await.unwrap();
        connection.write(b"POST / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(served.await.unwrap(), b"POST /");
    }

    #[tokio::test]
    async fn a_held_reply_comes_when_the_gate_opens() {
        let (address, served) = server(OK).await;
        let gate = Gate::closed();
        let (_passage, mut connection) =
            Passage::open(&address, Mischief::HoldReply(gate.clone())).await.unwrap();
        connection.write(&Request::new("GET", "/").bytes("h")).await.unwrap();
        served.await.unwrap();
        gate.open();
        assert_eq!(connection.reply("GET").await.unwrap().text(), "ok");
    }
}
