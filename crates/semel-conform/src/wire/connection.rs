//! One connection: requests out, replies in.

use super::pipe::{Pipe, Stream};
use super::two::Session;
use super::{Http, Reply, Request, WireError, one};

/// A connection to a target.
pub struct Connection {
    pipe: Pipe,
    speaks: Speaks,
}

enum Speaks {
    One,
    Two(Box<Session>),
}

/// One request on a connection, whose body is yet to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u32);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unread = self.pipe.buffer.len();
        f.debug_struct("Connection").field("unread", &unread).finish_non_exhaustive()
    }
}

impl Connection {
    /// HTTP/1.1 over any stream.
    pub(super) fn one(stream: Box<dyn Stream>) -> Self {
        Self { pipe: Pipe::new(stream), speaks: Speaks::One }
    }

    /// HTTP/2 over any stream, once both sides have said how they speak it.
    ///
    /// # Errors
    /// When the other side speaks something else.
    pub(super) async fn two(
        stream: Box<dyn Stream>,
        scheme: &'static str,
    ) -> Result<Self, WireError> {
        let mut pipe = Pipe::new(stream);
        let session = Session::begin(&mut pipe, scheme).await?;
        Ok(Self { pipe, speaks: Speaks::Two(Box::new(session)) })
    }

    /// What it speaks.
    #[must_use]
    pub const fn http(&self) -> Http {
        match self.speaks {
            Speaks::One => Http::One,
            Speaks::Two(_) => Http::Two,
        }
    }

    /// Goes on over another stream, and returns the one before.
    pub(crate) fn over(&mut self, stream: Box<dyn Stream>) -> Box<dyn Stream> {
        self.pipe.over(stream)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.pipe.write(bytes).await
    }

    /// The bytes of the next request on this connection, for a case to write: all at once, in parts, or beside
    /// others. Its body has to be small: the other side's window is not heeded.
    #[must_use]
    pub fn written(&mut self, request: &Request, host: &str) -> Vec<u8> {
        match &mut self.speaks {
            Speaks::One => request.bytes(host),
            Speaks::Two(session) => {
                let (stream, mut bytes) = session.head(request, host, true);
                bytes.extend(session.part(stream, &request.body, true));
                bytes
            }
        }
    }

    /// The same of its head alone; in HTTP/2 it tells no length. The body comes by [`Connection::part`].
    #[must_use]
    pub fn begun(&mut self, request: &Request, host: &str) -> (Turn, Vec<u8>) {
        match &mut self.speaks {
            Speaks::One => (Turn(0), request.head(host)),
            Speaks::Two(session) => {
                let (stream, bytes) = session.head(request, host, false);
                (Turn(stream), bytes)
            }
        }
    }

    /// The bytes of a part of a body.
    #[must_use]
    pub fn part(&mut self, turn: Turn, part: &[u8], last: bool) -> Vec<u8> {
        match &mut self.speaks {
            Speaks::One => part.to_vec(),
            Speaks::Two(session) => session.part(turn.0, part, last),
        }
    }

    /// How many requests with bodies of that length it takes at once, up to so many: one in HTTP/1.1.
    #[must_use]
    pub fn at_once(&self, length: usize, most: usize) -> usize {
        match &self.speaks {
            Speaks::One => 1,
            Speaks::Two(session) => session.at_once(length, most),
        }
    }

    /// Leaves one request: its stream ends and the connection goes on. HTTP/1.1 has no such thing, and there
    /// nothing is done.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn reset(&mut self, turn: Turn) -> Result<(), WireError> {
        match &mut self.speaks {
            Speaks::One => Ok(()),
            Speaks::Two(session) => session.reset(&mut self.pipe, turn.0).await,
        }
    }

    /// Sends a request and reads its reply. What could not be written does not matter where a reply
    /// comes nevertheless: a server may refuse a body without reading it.
    ///
    /// # Errors
    /// Without a whole reply.
    pub async fn exchange(&mut self, request: &Request, host: &str) -> Result<Reply, WireError> {
        let (written, reply) = match &mut self.speaks {
            Speaks::One => {
                let written = self.pipe.write(&request.bytes(host)).await;
                (written, one::reply(&mut self.pipe, &request.method).await)
            }
            Speaks::Two(session) => {
                let (stream, head) = session.head(request, host, true);
                let written = session.send(&mut self.pipe, stream, &head, &request.body).await;
                (written, session.reply(&mut self.pipe, stream, &request.method).await)
            }
        };
        match (reply, written) {
            (Ok(reply), _) => Ok(reply),
            (Err(WireError::NoReply), Err(error)) => Err(error),
            (Err(error), _) => Err(error),
        }
    }

    /// Reads the next reply, to a request of that method: in HTTP/2 that of the oldest request without one.
    ///
    /// # Errors
    /// Without a whole one.
    pub async fn reply(&mut self, method: &str) -> Result<Reply, WireError> {
        match &mut self.speaks {
            Speaks::One => one::reply(&mut self.pipe, method).await,
            Speaks::Two(session) => {
                let Some(stream) = session.oldest() else { return Err(WireError::NoReply) };
                session.reply(&mut self.pipe, stream, method).await
            }
        }
    }
}
