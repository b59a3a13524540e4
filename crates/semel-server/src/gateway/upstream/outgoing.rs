//! The body of a request on its way out. Over HTTP/2 it can be begun anew: an upstream may refuse a
//! stream whose body is under way, and says with it that nothing of it was acted on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::BoxError;

/// A body to be sent.
#[derive(Debug)]
pub(super) enum Outgoing<B> {
    /// Sent as it comes.
    Once(B),
    /// What is sent is remembered, up to [`KEPT_MAX`].
    Kept(Kept<B>),
}

/// Bytes of a body that are held for a second sending. What is in memory anyway costs nothing more.
const KEPT_MAX: usize = 1 << 20;

/// A part that was sent.
#[derive(Clone, Debug)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Part {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        data.or_else(|| frame.trailers_ref().cloned().map(Self::Trailers))
    }

    fn len(&self) -> usize {
        if let Self::Data(data) = self { data.len() } else { 0 }
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

#[derive(Debug)]
struct State<B> {
    rest: B,
    sent: Vec<Part>,
    sent_len: usize,
    /// Too long to be held: it cannot be begun anew.
    too_long: bool,
    begun: bool,
    /// Which handle may read; an earlier one may still be held by a stream that was refused.
    reader: u32,
}

/// A body that remembers.
#[derive(Debug)]
pub(super) struct Kept<B> {
    state: Arc<Mutex<State<B>>>,
    reader: u32,
    next: usize,
}

/// A handle on a body that is being sent, by which it can be begun anew.
#[derive(Debug)]
pub(super) struct Again<B>(Arc<Mutex<State<B>>>);

#[derive(Debug, thiserror::Error)]
#[error("the body was begun anew elsewhere")]
struct Superseded;

fn held<B>(state: &Mutex<State<B>>) -> MutexGuard<'_, State<B>> {
    state.lock().expect("no body panics while it is polled")
}

impl<B> Outgoing<B> {
    /// The body, to be remembered while it is sent.
    pub(super) fn kept(self) -> (Self, Again<B>) {
        let kept = match self {
            Self::Once(rest) => {
                let state = State {
                    rest,
                    sent: Vec::new(),
                    sent_len: 0,
                    too_long: false,
                    begun: false,
                    reader: 0,
                };
                Kept { state: Arc::new(Mutex::new(state)), reader: 0, next: 0 }
            }
            Self::Kept(kept) => kept,
        };
        let again = Again(Arc::clone(&kept.state));
        (Self::Kept(kept), again)
    }
}

impl<B> Again<B> {
    /// Whether any of it was asked for.
    pub(super) fn begun(&self) -> bool {
        held(&self.0).begun
    }

    /// The body from its first byte, if it was short enough to be remembered. Whoever still reads the
    /// other handle gets an error.
    pub(super) fn body(self) -> Option<Outgoing<B>> {
        let reader = {
            let mut state = held(&self.0);
            if state.too_long {
                return None;
            }
            state.reader += 1;
            state.reader
        };
        Some(Outgoing::Kept(Kept { state: self.0, reader, next: 0 }))
    }
}

impl<B> Body for Kept<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut state = held(&this.state);
        if state.reader != this.reader {
            return Poll::Ready(Some(Err(Box::new(Superseded))));
        }
        state.begun = true;
        if let Some(part) = state.sent.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(part.clone().into_frame())));
        }
        let polled = Pin::new(&mut state.rest).poll_frame(cx).map_err(Into::into);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(part) = Part::of(frame)
            && !state.too_long
        {
            state.sent_len += part.len();
            if state.sent_len > KEPT_MAX {
                state.too_long = true;
                state.sent = Vec::new();
            } else {
                state.sent.push(part);
                this.next += 1;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let state = held(&self.state);
        self.next >= state.sent.len() && state.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let state = held(&self.state);
        let again: usize = state.sent.iter().skip(self.next).map(Part::len).sum();
        let (again, rest) = (again as u64, state.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + again);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + again);
        }
        hint
    }
}

impl<B> Body for Outgoing<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Once(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Kept(kept) => Pin::new(kept).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Once(body) => body.is_end_stream(),
            Self::Kept(kept) => kept.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Once(body) => body.size_hint(),
            Self::Kept(kept) => kept.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_is_sent_again_from_its_first_byte_and_no_longer_by_the_first_handle() {
        let (mut first, again) = Outgoing::Once(Full::from("paid")).kept();
        assert!(!again.begun());
        let frame = first.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "paid");
        assert!(again.begun());
        let second = again.body().unwrap();
        assert_eq!(second.size_hint().exact(), Some(4));
        assert_eq!(second.collect().await.unwrap().to_bytes(), "paid");
        assert!(first.frame().await.unwrap().is_err(), "two readers would share the bytes");
    }

    #[tokio::test]
    async fn a_body_too_long_to_be_held_is_not_sent_again() {
        let long = Bytes::from(vec![b'x'; KEPT_MAX + 1]);
        let (first, again) = Outgoing::Once(Full::new(long)).kept();
        assert_eq!(first.collect().await.unwrap().to_bytes().len(), KEPT_MAX + 1);
        assert!(again.body().is_none());
    }
}
