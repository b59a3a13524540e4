//! Bodies in and out.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};

/// Whatever a body fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body in a box: what the inner service gets (whole for a keyed request, else the client's own
/// stream) and what the caller gets.
pub struct Body(UnsyncBoxBody<Bytes, BoxError>);

impl Body {
    /// These bytes.
    pub(super) fn full(bytes: Bytes) -> Self {
        Self::boxed(Full::new(bytes))
    }

    /// These bytes, then these trailers. Its length is not told: a server that knew it would send a
    /// `Content-Length`, behind which no trailers can come (RFC 9112 §7.1.2).
    pub(super) fn with_trailers(bytes: Bytes, trailers: HeaderMap) -> Self {
        let frames = [Frame::data(bytes), Frame::trailers(trailers)];
        Self::boxed(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))))
    }

    /// A stream, passed through untouched.
    pub(super) fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(..)")
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
