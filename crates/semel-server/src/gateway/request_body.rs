//! The body of a request as it comes from the caller, with a limit on its pauses: a caller that
//! sends a byte now and then would else hold a connection, and a place among those served, for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RequestBodyError {
    /// The caller left, or its framing is wrong.
    #[error("the request broke off: {0}")]
    Broken(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("nothing more of the request came for {0:?}")]
    Stalled(Duration),
}

/// Whether the body of a request broke off, for whoever has given the body away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(Arc<AtomicBool>);

impl Broken {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body of a request on its way in.
#[derive(Debug)]
pub(crate) struct CallerBody {
    body: Incoming,
    pause_max: Duration,
    broken: Broken,
    /// Armed at the first wait of each pause.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl CallerBody {
    /// `body`, which may pause for `pause_max` at a time. `broken` tells whether it broke off.
    pub(crate) const fn new(body: Incoming, pause_max: Duration, broken: Broken) -> Self {
        Self { body, pause_max, broken, timer: None, waiting: false }
    }
}

impl Body for CallerBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = false;
            if matches!(frame, Some(Err(_))) {
                this.broken.0.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Broken)));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.pause_max)));
        if !this.waiting {
            this.waiting = true;
            timer.as_mut().reset(Instant::now() + this.pause_max);
        }
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                this.broken.0.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(RequestBodyError::Stalled(this.pause_max))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
