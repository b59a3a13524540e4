//! A service whose requests are counted on their connection, from their head to the end of their reply.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;

use super::activity::Activity;

/// `inner`, counted.
#[derive(Debug)]
pub(super) struct Counted<S> {
    inner: S,
    activity: Arc<Activity>,
}

impl<S> Counted<S> {
    pub(super) const fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl<S, R> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<CountedBody<R>>;
    type Error = Infallible;
    type Future = Counting<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = Open::new(Arc::clone(&self.activity));
        Counting { answering: self.inner.call(request), open: Some(open) }
    }
}

/// A reply on its way.
#[derive(Debug)]
pub(super) struct Counting<F> {
    answering: F,
    open: Option<Open>,
}

impl<F, R> Future for Counting<F>
where
    F: Future<Output = Result<Response<R>, Infallible>> + Unpin,
{
    type Output = Result<Response<CountedBody<R>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(Pin::new(&mut self.answering).poll(cx));
        let mut open = self.open.take();
        if let Some(open) = &mut open {
            open.hold();
        }
        Poll::Ready(Ok(response.map(|body| CountedBody { body, open })))
    }
}

/// One request that is being answered.
#[derive(Debug)]
struct Open {
    activity: Arc<Activity>,
    /// Whether a part of its reply, its head too, waits to be taken on.
    held: bool,
}

impl Open {
    fn new(activity: Arc<Activity>) -> Self {
        activity.begin();
        Self { activity, held: false }
    }

    fn hold(&mut self) {
        if !self.held {
            self.held = true;
            self.activity.hold();
        }
    }

    fn take(&mut self) {
        if self.held {
            self.held = false;
            self.activity.take();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.take();
        self.activity.end();
    }
}

/// The body of a reply. It is asked for more only where there is room for more.
#[derive(Debug)]
pub(super) struct CountedBody<R> {
    body: R,
    open: Option<Open>,
}

impl<R: Body<Data = Bytes> + Unpin> Body for CountedBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let this = &mut *self;
        if let Some(open) = &mut this.open {
            open.take();
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(open) = &mut this.open {
            open.hold();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
