//! The body of a reply on its way from the upstream: whole or broken, never short in silence.
//!
//! hyper checks the framing (RFC 9112 §6.3): a body shorter than its `Content-Length` or without
//! its last chunk ends in an error here, and so in doubt for a keyed request. Bytes *beyond* a
//! `Content-Length` are no part of any reply; the connection is not used again.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::time::{Instant, Sleep};

use super::upstream::FromUpstream;

/// Why a reply broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReplyError {
    /// The connection ended or failed before the end of the body.
    #[error("the reply broke off: {0}")]
    Broken(#[source] hyper::Error),
    /// The body took too long.
    #[error("the reply was not whole within {0:?}")]
    TooSlow(Duration),
}

/// The body of a reply.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// From the upstream, as it comes.
    Streamed(FromUpstream),
    /// From the upstream, to be whole in time.
    Timed(Timed),
    /// Made here.
    Own(Full<Bytes>),
}

/// A body that somebody holds back until it is whole, so that only a clock can end the wait.
#[derive(Debug)]
pub(crate) struct Timed {
    body: FromUpstream,
    deadline: Pin<Box<Sleep>>,
    limit: Duration,
    /// Bytes beyond which nobody holds it back any more: then it may take as long as its reader.
    held_max: u64,
    len: u64,
}

impl ReplyBody {
    /// A body that must end by `deadline`, `limit` after there was a connection, unless it is longer than
    /// `held_max` bytes.
    pub(crate) fn timed(
        body: FromUpstream,
        deadline: Instant,
        limit: Duration,
        held_max: u64,
    ) -> Self {
        if body.size_hint().lower() > held_max {
            return Self::Streamed(body);
        }
        let deadline = Box::pin(tokio::time::sleep_until(deadline));
        Self::Timed(Timed { body, deadline, limit, held_max, len: 0 })
    }

    /// A body made here.
    pub(crate) fn own(bytes: impl Into<Bytes>) -> Self {
        Self::Own(Full::new(bytes.into()))
    }
}

impl Timed {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx).map_err(ReplyError::Broken);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.len += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let held = self.len <= self.held_max;
        if !polled.is_ready() && held && self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(ReplyError::TooSlow(self.limit))));
        }
        polled
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match &mut *self {
            Self::Streamed(body) => Pin::new(body).poll_frame(cx).map_err(ReplyError::Broken),
            Self::Timed(timed) => timed.poll_frame(cx),
            Self::Own(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
                Poll::Ready(Some(Err(never))) => match never {},
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed(body) | Self::Timed(Timed { body, .. }) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed(body) | Self::Timed(Timed { body, .. }) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}
