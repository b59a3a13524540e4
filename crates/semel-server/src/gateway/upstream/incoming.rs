//! The body of a reply as it comes from the upstream, with the connection that brings it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::h2;

/// A connection that moves only while somebody drives it.
pub(super) trait Carrier: Send {
    /// Reads and writes what can be.
    fn drive(&mut self, cx: &mut Context<'_>);
    /// The body has ended.
    fn part(self: Box<Self>, cx: &mut Context<'_>);
}

/// The body of a reply. Dropped before its end, it takes its connection with it: nobody could tell where
/// the next reply begins.
pub(crate) struct FromUpstream {
    body: Incoming,
    carrier: Option<Box<dyn Carrier>>,
    /// Its place among the streams of a shared connection.
    open: Option<h2::Open>,
    /// How it broke off, to be told at the next look.
    broken: Option<hyper::Error>,
}

impl fmt::Debug for FromUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromUpstream").field("carried", &self.carrier.is_some()).finish()
    }
}

impl FromUpstream {
    /// A body that comes by itself.
    pub(super) const fn of(body: Incoming) -> Self {
        Self { body, carrier: None, open: None, broken: None }
    }

    /// A body that comes by itself, as one stream of several.
    pub(super) const fn shared(body: Incoming, open: h2::Open) -> Self {
        Self { body, carrier: None, open: Some(open), broken: None }
    }

    /// A body that comes as its connection is driven.
    pub(super) const fn carried(body: Incoming, carrier: Box<dyn Carrier>) -> Self {
        Self { body, carrier: Some(carrier), open: None, broken: None }
    }
}

impl Body for FromUpstream {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(carrier) = &mut this.carrier
        {
            // Asked for, the connection brings more.
            carrier.drive(cx);
            polled = Pin::new(&mut this.body).poll_frame(cx);
        }
        let ended = match polled {
            Poll::Pending => false,
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            Poll::Ready(Some(Err(error))) => {
                // One turn later: whoever passes the body on has written out what came before, and its
                // reader sees a reply that breaks off, not a connection that says nothing.
                (this.carrier, this.open, this.broken) = (None, None, Some(error));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        if ended {
            this.open = None;
        }
        if ended && let Some(carrier) = this.carrier.take() {
            carrier.part(cx);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
