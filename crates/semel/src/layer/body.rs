//! Bodies in and out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use crate::http::Problem;

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

    /// These bytes, then these trailers.
    pub(super) fn with_trailers(bytes: Bytes, trailers: HeaderMap) -> Self {
        Self::boxed(Full::new(bytes).with_trailers(std::future::ready(Some(Ok(trailers)))))
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

/// Reads a request's body whole, before anything is claimed.
///
/// # Errors
/// `body-too-large` beyond `max` bytes (told before reading when the length was announced), and
/// `body-incomplete` when the client's stream breaks off.
pub(super) async fn gather<B>(body: B, max: u64) -> Result<Bytes, Box<Problem>>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > max {
        return Err(Box::new(Problem::body_too_large(max)));
    }
    let mut body = std::pin::pin!(body);
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Box::new(Problem::body_incomplete()))?;
        // Request trailers say nothing of what is asked for, and no upstream of ours needs them.
        let Ok(data) = frame.into_data() else { continue };
        len += data.len() as u64;
        if len > max {
            return Err(Box::new(Problem::body_too_large(max)));
        }
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            None => whole.extend_from_slice(&data),
            Some(head) => {
                whole.extend_from_slice(&head);
                whole.extend_from_slice(&data);
            }
        }
    }
    // One frame, the usual case, is never copied.
    Ok(first.unwrap_or_else(|| whole.freeze()))
}
