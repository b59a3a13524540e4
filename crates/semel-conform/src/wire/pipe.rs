//! Bytes both ways, and what of them is not read yet.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::WireError;

/// Bytes of one head; more is garbage.
pub(super) const HEAD_MAX: usize = 256 * 1024;
/// Bytes of one body; the tester asks for nothing that is larger.
pub(super) const BODY_MAX: usize = 64 << 20;

/// Bytes both ways, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream with what came and was not read.
pub(super) struct Pipe {
    stream: Box<dyn Stream>,
    pub(super) buffer: BytesMut,
}

impl Pipe {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Goes on over another stream, and returns the one before. What came and was not read stays.
    pub(super) fn over(&mut self, stream: Box<dyn Stream>) -> Box<dyn Stream> {
        std::mem::replace(&mut self.stream, stream)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).await.map_err(WireError::Broke)?;
        self.stream.flush().await.map_err(WireError::Broke)
    }

    /// Reads more; false at the end.
    pub(super) async fn more(&mut self) -> Result<bool, WireError> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(n) => Ok(n > 0),
            // A reset within a reply cuts it as an end does.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(WireError::Broke(error)),
        }
    }

    /// Takes so many bytes; `None` where it ends before them.
    pub(super) async fn exactly(&mut self, length: usize) -> Result<Option<Bytes>, WireError> {
        while self.buffer.len() < length {
            if !self.more().await? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}
