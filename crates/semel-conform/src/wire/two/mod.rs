//! HTTP/2 (RFC 9113), as far as a client needs it that sends what it likes and reads strictly.
//!
//! A [`Session`] holds what one connection has agreed on and the replies that are under way. It does nothing by
//! itself: frames are read while somebody waits for a reply, and whatever else comes meanwhile is kept.

pub(crate) mod frame;
mod hpack;
mod huffman;
mod incoming;
mod outgoing;

use std::collections::BTreeMap;

use frame::{ACK, Frame, PAYLOAD_MAX};
use incoming::Incoming;
pub(super) use outgoing::{head_length, length};

use super::pipe::Pipe;
use super::{Http, Reply, Request, WireError};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What both sides may send before the other says more (RFC 9113 §6.9.2).
const WINDOW: i64 = 65_535;
/// The largest window there is: whoever answers is never held back.
const WINDOW_MAX: u32 = 0x7fff_ffff;

const ENABLE_PUSH: u16 = 2;
const STREAMS_MAX: u16 = 3;
const WINDOW_SIZE: u16 = 4;

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    scheme: &'static str,
    decoder: hpack::Decoder,
    next: u32,
    /// What the other side lets one stream send at first.
    window: i64,
    /// What it lets all of them send.
    room: i64,
    streams_max: usize,
    streams: BTreeMap<u32, Incoming>,
    gone: Option<Gone>,
}

/// The other side's last word.
#[derive(Clone, Debug)]
struct Gone {
    last: u32,
    code: u32,
    said: String,
}

fn garbage(what: impl Into<String>) -> WireError {
    WireError::Garbage { http: Http::Two, what: what.into() }
}

impl Session {
    /// Says how it speaks, and hears how the other side does.
    ///
    /// # Errors
    /// When that is no HTTP/2.
    pub(super) async fn begin(pipe: &mut Pipe, scheme: &'static str) -> Result<Self, WireError> {
        let mut session = Self {
            scheme,
            decoder: hpack::Decoder::default(),
            next: 1,
            window: WINDOW,
            room: WINDOW,
            streams_max: usize::MAX,
            streams: BTreeMap::new(),
            gone: None,
        };
        let mut settings = Vec::new();
        for (name, value) in [(ENABLE_PUSH, 0), (WINDOW_SIZE, WINDOW_MAX)] {
            settings.extend_from_slice(&name.to_be_bytes());
            settings.extend_from_slice(&u32::to_be_bytes(value));
        }
        let mut hello = PREFACE.to_vec();
        frame::write(&mut hello, frame::SETTINGS, 0, 0, &settings);
        let more = WINDOW_MAX - 65_535;
        frame::write(&mut hello, frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        pipe.write(&hello).await?;
        let first = session.frame(pipe).await?.ok_or(WireError::NoReply)?;
        if first.head.kind != frame::SETTINGS || first.head.has(ACK) {
            return Err(garbage("it does not begin with its settings"));
        }
        session.heed(pipe, first).await?;
        Ok(session)
    }

    /// The stream whose request has waited longest for its reply.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.streams.keys().next().copied()
    }

    /// How many requests with bodies of that length may be under way, up to so many.
    pub(super) fn at_once(&self, length: usize, most: usize) -> usize {
        let room = usize::try_from(self.room).unwrap_or(0);
        most.min(self.streams_max).min(room.checked_div(length).unwrap_or(most)).max(1)
    }

    /// The head of a new request. `measured`: with the length of its body.
    pub(super) fn head(&mut self, request: &Request, host: &str, measured: bool) -> (u32, Vec<u8>) {
        let stream = self.next;
        self.next += 2;
        self.streams.insert(stream, Incoming::new(self.window));
        (stream, outgoing::head(request, host, self.scheme, stream, measured))
    }

    /// A part of a request's body. One without a body ended with its head.
    pub(super) fn part(&mut self, stream: u32, part: &[u8], last: bool) -> Vec<u8> {
        let sent = i64::try_from(part.len()).unwrap_or(i64::MAX);
        self.room -= sent;
        if let Some(incoming) = self.streams.get_mut(&stream) {
            incoming.room -= sent;
        }
        outgoing::data(stream, part, last)
    }

    /// Sends a request, its body as the other side's window lets it.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) async fn send(
        &mut self,
        pipe: &mut Pipe,
        stream: u32,
        head: &[u8],
        body: &[u8],
    ) -> Result<(), WireError> {
        let (mut bytes, mut rest) = (head.to_vec(), body);
        loop {
            let room = |session: &Self| {
                let own = session.streams.get(&stream).map_or(0, |incoming| incoming.room);
                usize::try_from(own.min(session.room)).unwrap_or(0).min(PAYLOAD_MAX)
            };
            while !rest.is_empty() && room(self) > 0 {
                let (part, left) = rest.split_at(room(self).min(rest.len()));
                bytes.extend(self.part(stream, part, left.is_empty()));
                rest = left;
            }
            pipe.write(&std::mem::take(&mut bytes)).await?;
            let over = self.streams.get(&stream).is_none_or(Incoming::over) || self.gone.is_some();
            if rest.is_empty() || over || !self.step(pipe).await? {
                return Ok(());
            }
        }
    }

    /// Ends a stream before its reply.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) async fn reset(&mut self, pipe: &mut Pipe, stream: u32) -> Result<(), WireError> {
        const CANCEL: u32 = 8;
        self.streams.remove(&stream);
        let mut bytes = Vec::new();
        frame::write(&mut bytes, frame::RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        pipe.write(&bytes).await
    }

    /// Reads until that stream has its reply.
    ///
    /// # Errors
    /// Without a whole one.
    pub(super) async fn reply(
        &mut self,
        pipe: &mut Pipe,
        stream: u32,
        method: &str,
    ) -> Result<Reply, WireError> {
        loop {
            let Some(incoming) = self.streams.get(&stream) else { return Err(WireError::NoReply) };
            let refused = self.gone.as_ref().is_some_and(|gone| gone.last < stream);
            let ended = !incoming.over() && (refused || !self.step(pipe).await?);
            let over = self.streams.get(&stream).is_some_and(Incoming::over);
            if over || ended {
                let incoming = self.streams.remove(&stream).ok_or(WireError::NoReply)?;
                return match (over, self.gone.clone()) {
                    (true, _) => incoming.reply(method),
                    (false, Some(gone)) if gone.code != 0 || refused => Err(incoming.gone(gone)),
                    (false, _) => Err(incoming.cut()),
                };
            }
        }
    }

    /// Reads a frame and heeds it; false at the end of the connection.
    async fn step(&mut self, pipe: &mut Pipe) -> Result<bool, WireError> {
        match self.frame(pipe).await? {
            Some(frame) => self.heed(pipe, frame).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn frame(&self, pipe: &mut Pipe) -> Result<Option<Frame>, WireError> {
        loop {
            if let Some(head) = frame::Head::read(&pipe.buffer) {
                if pipe.buffer.starts_with(b"HTTP/") {
                    return Err(garbage("it answers in HTTP/1"));
                }
                if head.length > PAYLOAD_MAX {
                    return Err(garbage(format!("a frame of {} bytes", head.length)));
                }
            }
            match Frame::take(&mut pipe.buffer) {
                Some(frame) => return Ok(Some(frame)),
                None if pipe.more().await? => {}
                None => return Ok(None),
            }
        }
    }

    async fn heed(&mut self, pipe: &mut Pipe, frame: Frame) -> Result<(), WireError> {
        let head = frame.head;
        match head.kind {
            frame::SETTINGS if head.has(ACK) => {}
            frame::SETTINGS => {
                self.settings(&frame.payload)?;
                answer(pipe, frame::SETTINGS, &[]).await?;
            }
            frame::PING if !head.has(ACK) => answer(pipe, frame::PING, &frame.payload).await?,
            frame::WINDOW_UPDATE => self.widen(&frame)?,
            frame::GOAWAY => self.gone = Some(gone(&frame)?),
            frame::HEADERS => self.headers(pipe, frame).await?,
            frame::DATA | frame::RST_STREAM => {
                if let Some(incoming) = self.streams.get_mut(&head.stream) {
                    incoming.heed(&frame)?;
                }
            }
            frame::PUSH_PROMISE => return Err(garbage("it pushes what nobody asked for")),
            frame::CONTINUATION => return Err(garbage("headers go on that never began")),
            // What is not known is not heeded (RFC 9113 §4.1).
            _ => {}
        }
        Ok(())
    }

    /// A whole list of headers, with the frames in which it goes on: none may come between (RFC 9113 §6.10).
    async fn headers(&mut self, pipe: &mut Pipe, first: Frame) -> Result<(), WireError> {
        let wrong = || garbage("a frame whose padding is longer than it");
        let mut block = first.content().ok_or_else(wrong)?.to_vec();
        let mut last = first.head;
        while !last.has(frame::END_HEADERS) {
            let Some(next) = self.frame(pipe).await? else { return Ok(()) };
            if next.head.kind != frame::CONTINUATION || next.head.stream != first.head.stream {
                return Err(garbage("a frame stands between headers and their end"));
            }
            block.extend_from_slice(&next.payload);
            last = next.head;
            if block.len() > super::pipe::HEAD_MAX {
                return Err(garbage("its head is too long"));
            }
        }
        let fields = self.decoder.decode(&block).map_err(garbage)?;
        match self.streams.get_mut(&first.head.stream) {
            Some(incoming) => incoming.headers(fields, first.head.has(frame::END_STREAM)),
            // Of a stream that was left.
            None => Ok(()),
        }
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let (all, []) = payload.as_chunks::<6>() else {
            return Err(garbage("its settings end in mid-air"));
        };
        for [a, b, value @ ..] in all {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                STREAMS_MAX => self.streams_max = usize::try_from(value).unwrap_or(usize::MAX),
                WINDOW_SIZE => {
                    let more = i64::from(value) - self.window;
                    self.window += more;
                    self.streams.values_mut().for_each(|incoming| incoming.room += more);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn widen(&mut self, frame: &Frame) -> Result<(), WireError> {
        let more = frame.number(0).ok_or_else(|| garbage("a window that is none"))?;
        let more = i64::from(more & WINDOW_MAX);
        match self.streams.get_mut(&frame.head.stream) {
            Some(incoming) => incoming.room += more,
            None if frame.head.stream == 0 => self.room += more,
            None => {}
        }
        Ok(())
    }
}

fn gone(frame: &Frame) -> Result<Gone, WireError> {
    let (Some(last), Some(code)) = (frame.number(0), frame.number(4)) else {
        return Err(garbage("a last word that is none"));
    };
    let said = String::from_utf8_lossy(frame.payload.get(8..).unwrap_or_default()).into_owned();
    Ok(Gone { last: last & WINDOW_MAX, code, said })
}

async fn answer(pipe: &mut Pipe, kind: u8, payload: &[u8]) -> Result<(), WireError> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, kind, ACK, 0, payload);
    // Whoever has closed wants no answer, and may have said more before.
    let _ = pipe.write(&bytes).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::frame::{CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM};
    use super::*;

    fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            hpack::write(&mut block, name.as_bytes(), value.as_bytes());
        }
        block
    }

    fn frames(all: &[(u8, u8, u32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, flags, stream, payload) in all {
            frame::write(&mut out, *kind, *flags, *stream, payload);
        }
        out
    }

    /// A session with a peer that has said these frames after its settings.
    async fn session(settings: &[u8], said: &[u8]) -> (Session, Pipe, DuplexStream) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let hello = frames(&[(frame::SETTINGS, 0, 0, settings)]);
        theirs.write_all(&[&hello, said].concat()).await.unwrap();
        let mut pipe = Pipe::new(Box::new(ours));
        let session = Session::begin(&mut pipe, "http").await.unwrap();
        (session, pipe, theirs)
    }

    /// What a request on the first stream gets of these frames and the end of the connection.
    async fn got(said: &[u8]) -> Result<Reply, WireError> {
        let (mut session, mut pipe, mut theirs) = session(&[], said).await;
        theirs.shutdown().await.unwrap();
        let (stream, _) = session.head(&Request::new("POST", "/"), "h", true);
        session.reply(&mut pipe, stream, "POST").await
    }

    const ENDS: u8 = END_HEADERS | END_STREAM;

    #[tokio::test]
    async fn a_reply_comes_in_parts_with_more_before_and_after() {
        let ok = block(&[(":status", "200"), ("a", "1"), ("a", "2"), ("content-length", "4")]);
        let (one, two) = ok.split_at(3);
        let said = frames(&[
            (frame::PING, 0, 0, &[0; 8]),
            (HEADERS, END_HEADERS, 1, &block(&[(":status", "103"), ("link", "x")])),
            (HEADERS, 0, 1, one),
            (CONTINUATION, END_HEADERS, 1, two),
            (DATA, frame::PADDED, 1, &[1, b'b', b'o', 0]),
            (99, 0, 0, b"unheard of"),
            (DATA, 0, 1, b"dy"),
            (HEADERS, ENDS, 1, &block(&[("grpc-status", "0")])),
            (RST_STREAM, 0, 1, &[0; 4]),
        ]);
        let reply = got(&said).await.unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "body"));
        assert_eq!(reply.all("a"), ["1", "2"]);
    }

    #[tokio::test]
    async fn what_is_not_whole_is_an_error() {
        let ok = block(&[(":status", "200")]);
        let head = (HEADERS, END_HEADERS, 1, &*ok);
        let part = (DATA, 0, 1, &b"bo"[..]);
        let gone = |last: u8, code: u8| vec![0, 0, 0, last, 0, 0, 0, code, b'n', b'o'];
        for (said, told) in [
            (frames(&[]), "the connection ended before the reply began"),
            (frames(&[head, part]), "the connection ended within the reply, 2 bytes into its body"),
            (
                frames(&[(RST_STREAM, 0, 1, &[0, 0, 0, 2])]),
                "the stream was reset with INTERNAL_ERROR before the reply began",
            ),
            (
                frames(&[head, part, (RST_STREAM, 0, 1, &[0, 0, 0, 8])]),
                "the stream was reset with CANCEL within the reply, 2 bytes into its body",
            ),
            (
                frames(&[(GOAWAY, 0, 0, &gone(1, 9))]),
                "the connection was ended with COMPRESSION_ERROR (no), before the reply began",
            ),
            (
                frames(&[(GOAWAY, 0, 0, &gone(0, 0)), head]),
                "the connection was ended with NO_ERROR (no), before the reply began",
            ),
        ] {
            assert_eq!(got(&said).await.unwrap_err().to_string(), told);
        }
    }

    #[tokio::test]
    async fn what_is_malformed_is_garbage() {
        let ok = block(&[(":status", "200")]);
        let head = (HEADERS, END_HEADERS, 1, &*ok);
        let with =
            |more: (&str, &str)| frames(&[(HEADERS, ENDS, 1, &block(&[(":status", "200"), more]))]);
        for said in [
            with(("Upper", "x")),
            with(("connection", "close")),
            with(("a", "b\r\nc: d")),
            with((":status", "201")),
            with(("content-length", "3")),
            frames(&[(HEADERS, ENDS, 1, &block(&[("a", "b")]))]),
            frames(&[(HEADERS, ENDS, 1, &block(&[(":status", "99")]))]),
            frames(&[(DATA, END_STREAM, 1, b"x")]),
            frames(&[head, (HEADERS, END_HEADERS, 1, &block(&[("late", "x")]))]),
            frames(&[(HEADERS, 0, 1, &ok), (DATA, END_STREAM, 1, b"x")]),
            frames(&[(frame::PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])]),
            frames(&[(DATA, 0, 0, &vec![0; PAYLOAD_MAX + 1])]),
        ] {
            let got = got(&said).await;
            assert!(matches!(got, Err(WireError::Garbage { .. })), "{said:?}: {got:?}");
        }
    }

    #[tokio::test]
    async fn replies_of_several_streams_come_in_any_order() {
        let ok = block(&[(":status", "200")]);
        let said = frames(&[
            (HEADERS, END_HEADERS, 3, &ok),
            (HEADERS, END_HEADERS, 1, &ok),
            (DATA, END_STREAM, 3, b"two"),
            (DATA, END_STREAM, 1, b"one"),
        ]);
        let (mut session, mut pipe, _theirs) = session(&[], &said).await;
        let streams = [(); 2].map(|()| session.head(&Request::new("GET", "/"), "h", true).0);
        for (stream, text) in streams.into_iter().zip(["one", "two"]) {
            assert_eq!(session.oldest(), Some(stream));
            assert_eq!(session.reply(&mut pipe, stream, "GET").await.unwrap().text(), text);
        }
    }

    #[tokio::test]
    async fn a_body_waits_for_the_window() {
        // The other side takes four bytes at first, one stream at a time.
        let settings = [0, 4, 0, 0, 0, 4, 0, 3, 0, 0, 0, 1];
        let (mut session, mut pipe, mut theirs) = session(&settings, &[]).await;
        assert_eq!(session.at_once(1, 9), 1);
        let request = Request::new("POST", "/").body("0123456789");
        let (stream, head) = session.head(&request, "h", true);
        let sent = tokio::spawn(async move {
            session.send(&mut pipe, stream, &head, &request.body).await.unwrap();
        });
        let mut came = Vec::new();
        while !came.ends_with(b"0123") {
            assert_ne!(theirs.read_buf(&mut came).await.unwrap(), 0, "it sends four bytes");
        }
        let more = 6_u32.to_be_bytes();
        let widened = frames(&[(frame::WINDOW_UPDATE, 0, stream, &more)]);
        theirs.write_all(&widened).await.unwrap();
        sent.await.unwrap();
        theirs.read_to_end(&mut came).await.unwrap();
        assert!(came.ends_with(b"456789"), "{came:?}");
    }

    #[tokio::test]
    async fn a_server_of_http1_is_none() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let begun = Session::begin(&mut Pipe::new(Box::new(ours)), "http").await;
        let told = begun.unwrap_err().to_string();
        assert_eq!(told, "the reply is no HTTP/2: it answers in HTTP/1");
    }

    #[test]
    fn a_request_is_written_in_full() {
        let request = Request::new("POST", "/p?q").add("Key", "k").add("Host", "other").body("{}");
        let bytes = outgoing::head(&request, "h", "https", 5, true);
        let head = frame::Head::read(&bytes).unwrap();
        assert_eq!((head.kind, head.flags, head.stream), (HEADERS, END_HEADERS, 5));
        let fields = hpack::Decoder::default().decode(&bytes[frame::HEAD..]).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown: Vec<_> =
            fields.iter().map(|(n, v)| format!("{}={}", text(n), text(v))).collect();
        assert_eq!(
            shown,
            [
                ":method=POST",
                ":scheme=https",
                ":authority=other",
                ":path=/p?q",
                "key=k",
                "content-length=2"
            ]
        );
        assert_eq!(outgoing::data(5, b"{}", true), b"\0\0\x02\0\x01\0\0\0\x05{}");
    }
}
