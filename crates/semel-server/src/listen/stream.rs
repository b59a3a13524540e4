//! A caller's connection as bytes, with or without TLS. A caller that takes nothing of what is written to
//! it is cut off in time; so is one at the end of a tunnel.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// How its bytes come.
#[derive(Debug)]
pub(super) enum Transport {
    /// As they are.
    Plain(TcpStream),
    /// As they are, after some that were read already.
    Sniffed(Bytes, TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A caller's connection. `P` is what it holds for as long as it is open.
#[derive(Debug)]
pub(super) struct CallerStream<P> {
    transport: Transport,
    activity: Arc<Activity>,
    pause_max: Duration,
    /// Armed at the first write that did not go on.
    stuck: Option<Pin<Box<Sleep>>>,
    _place: P,
}

impl<P> CallerStream<P> {
    /// `transport`, which may take nothing for `pause_max` at a time.
    pub(super) fn new(
        transport: Transport,
        activity: Arc<Activity>,
        pause_max: Duration,
        place: P,
    ) -> Self {
        Self { transport, activity, pause_max, stuck: None, _place: place }
    }

    /// Passes on what a write came to, unless writing has stood still for too long.
    fn unless_stuck<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stuck = None;
            return wrote;
        }
        let pause_max = self.pause_max;
        let stuck = self
            .stuck
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + pause_max)));
        ready!(stuck.as_mut().poll(cx));
        let why = format!("the caller took nothing for {pause_max:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<P: Unpin> AsyncRead for CallerStream<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<P: Unpin> AsyncWrite for CallerStream<P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.unless_stuck(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.transport).poll_write_vectored(cx, slices);
        self.unless_stuck(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.transport).poll_flush(cx);
        self.unless_stuck(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.transport).poll_shutdown(cx);
        self.unless_stuck(cx, shut)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Sniffed(read, stream) => {
                if read.is_empty() {
                    return Pin::new(stream).poll_read(cx, buffer);
                }
                let part = read.split_to(read.len().min(buffer.remaining()));
                buffer.put_slice(&part);
                Poll::Ready(Ok(()))
            }
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) | Self::Sniffed(_, stream) => {
                Pin::new(stream).poll_write(cx, bytes)
            }
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) | Self::Sniffed(_, stream) => {
                Pin::new(stream).poll_write_vectored(cx, slices)
            }
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) | Self::Sniffed(_, stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) | Self::Sniffed(_, stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) | Self::Sniffed(_, stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
