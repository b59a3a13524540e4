//! A keyed request's body: held in memory up to a bound, beyond it spooled to a file that has no name
//! and that nobody else may open.
//!
//! A body is read to its end before its key is claimed, so a slow or large upload holds no claim. A
//! spooled body is fingerprinted by its bytes as it goes to the file, whatever its media type
//! ([`semel_core::fingerprint::fingerprint_of_digest`]). Which body is spooled depends on its length
//! and the route's `body_memory_max` alone, so a retry is compared in the same way; after that setting
//! has changed, a body between the old and the new bound is a mismatch, never a second run.
//!
//! Must never let a body through unprotected: what can be neither held nor spooled is refused. File
//! work is done on Tokio's threads for blocking calls.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use semel_core::Secret;
use semel_core::fingerprint::{BodyDigest, BodyHasher};
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::{Body, BoxError};
use crate::http::Problem;
use crate::http::grpc::{PREFIX, is_one_message};

/// Bytes that are written or read in one go.
const CHUNK: usize = 256 << 10;

/// How much of a body is read, and how much of it is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) memory: u64,
    pub(super) max: u64,
}

/// A whole body; clones share it.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Held(Bytes),
    Spooled(Spooled),
}

/// A body as a fingerprint sees it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Compared<'a> {
    Held(&'a [u8]),
    Digest(&'a BodyDigest),
}

/// A body in a file.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    file: Arc<Mutex<File>>,
    len: u64,
    digest: BodyDigest,
    /// Its first bytes: as many as tell whether it is one message.
    head: Bytes,
}

impl Payload {
    /// As the inner service gets it, with its exact length.
    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Held(bytes) => Body::full(bytes),
            Self::Spooled(spooled) => Body::boxed(SpoolReader { spooled, at: 0, reading: None }),
        }
    }

    pub(super) fn compared(&self) -> Compared<'_> {
        match self {
            Self::Held(bytes) => Compared::Held(bytes),
            Self::Spooled(spooled) => Compared::Digest(&spooled.digest),
        }
    }

    /// Whether it is one whole message of gRPC.
    pub(super) fn is_one_message(&self) -> bool {
        let head = match self {
            Self::Held(bytes) => bytes,
            Self::Spooled(spooled) => &spooled.head,
        };
        is_one_message(head, self.len())
    }

    /// Bytes.
    pub(super) const fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.len,
        }
    }
}

/// Reads a request's body whole.
///
/// # Errors
/// `body-too-large` beyond the bounds (told before reading when the length was announced),
/// `body-incomplete` when the client's stream breaks off, `body-not-spooled` when the file cannot
/// take it.
pub(super) async fn gather<B>(
    body: B,
    bounds: Bounds,
    secret: &Secret,
) -> Result<Payload, Box<Problem>>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let announced = body.size_hint().lower();
    if announced > bounds.max {
        return Err(Box::new(Problem::body_too_large(bounds.max)));
    }
    let mut body = std::pin::pin!(body);
    let mut held = Held::default();
    let mut spool = match announced > bounds.memory {
        true => Some(Spool::open(secret).await?),
        false => None,
    };
    let mut len = 0;
    loop {
        // The stream's own error need not be `Send`, so it must not live on to the next await.
        let frame = body.frame().await.map(|frame| frame.map_err(|_broken_off| ()));
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(())) => return Err(Box::new(Problem::body_incomplete())),
            None => break,
        };
        // Request trailers say nothing of what is asked for, and no upstream of ours needs them.
        let Ok(data) = frame.into_data() else { continue };
        len += data.len() as u64;
        if len > bounds.max {
            return Err(Box::new(Problem::body_too_large(bounds.max)));
        }
        held.push(data);
        if spool.is_none() && len > bounds.memory {
            spool = Some(Spool::open(secret).await?);
        }
        spool = match spool {
            Some(spool) if held.len() >= CHUNK => Some(spool.append(held.take()).await?),
            other => other,
        };
    }
    match spool {
        None => Ok(Payload::Held(held.take())),
        Some(spool) => Ok(Payload::Spooled(spool.append(held.take()).await?.close(len))),
    }
}

/// What has been read and not yet put anywhere. One frame, the usual case, is never copied.
#[derive(Debug, Default)]
struct Held {
    first: Bytes,
    joined: BytesMut,
}

impl Held {
    fn push(&mut self, data: Bytes) {
        if self.joined.is_empty() && self.first.is_empty() {
            self.first = data;
            return;
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        self.joined.extend_from_slice(&data);
    }

    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn take(&mut self) -> Bytes {
        match self.joined.is_empty() {
            true => std::mem::take(&mut self.first),
            false => self.joined.split().freeze(),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
struct Spool {
    file: File,
    /// Boxed: it is long, and would stretch the future of every request, of which few are spooled.
    hasher: Box<BodyHasher>,
    head: Bytes,
}

impl Spool {
    async fn open(secret: &Secret) -> Result<Self, Box<Problem>> {
        let hasher = Box::new(BodyHasher::new(secret));
        off_thread(move || Ok(Self { file: nameless()?, hasher, head: Bytes::new() })).await
    }

    async fn append(mut self, piece: Bytes) -> Result<Self, Box<Problem>> {
        off_thread(move || {
            self.file.write_all(&piece)?;
            self.hasher.update(&piece);
            if self.head.is_empty() {
                // Copied, so that the rest of the piece is not held with it.
                self.head = Bytes::copy_from_slice(&piece[..piece.len().min(PREFIX)]);
            }
            Ok(self)
        })
        .await
    }

    fn close(self, len: u64) -> Spooled {
        let Self { file, hasher, head } = self;
        Spooled { file: Arc::new(Mutex::new(file)), len, digest: hasher.finish(), head }
    }
}

/// Made where the system makes temporary files, and gone with its last handle. A file that never had a
/// name is made by the process's umask, so its mode is set before the first byte.
fn nameless() -> io::Result<File> {
    let file = tempfile::tempfile()?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// Its words are for the operator's log: they may name paths.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Box<Problem>> {
    let worked = spawn_blocking(work).await.map_err(io::Error::other).flatten();
    worked.map_err(|error| {
        tracing::error!(%error, "a request's body could not be spooled; look at the room in the temporary directory");
        Box::new(Problem::body_not_spooled(super::SOON))
    })
}

/// Reads a spooled body from its start.
#[derive(Debug)]
struct SpoolReader {
    spooled: Spooled,
    at: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl http_body::Body for SpoolReader {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.at == this.spooled.len {
            return Poll::Ready(None);
        }
        let reading = this.reading.get_or_insert_with(|| {
            let (file, at) = (Arc::clone(&this.spooled.file), this.at);
            let size = (this.spooled.len - at).min(CHUNK as u64);
            spawn_blocking(move || read(&file, at, size))
        });
        let read = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other).flatten();
        this.reading = None;
        if let Ok(piece) = &read {
            this.at += piece.len() as u64;
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.spooled.len
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.spooled.len - self.at)
    }
}

/// Clones of a body share one file, so each read says where.
fn read(file: &Mutex<File>, at: u64, size: u64) -> io::Result<Bytes> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(at))?;
    let mut piece = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact(&mut piece)?;
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    const BOUNDS: Bounds = Bounds { memory: 8, max: 1 << 20 };

    fn secret() -> Secret {
        Secret::new(&[7; 32])
    }

    fn pieces(
        pieces: &[&'static [u8]],
    ) -> impl http_body::Body<Data = Bytes, Error = BoxError> + use<> {
        let frames: Vec<Result<_, BoxError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))).collect();
        StreamBody::new(stream::iter(frames))
    }

    async fn spooled(payload: Payload) -> Bytes {
        assert!(matches!(payload, Payload::Spooled(_)), "{payload:?}");
        let body = payload.into_body();
        let hint = http_body::Body::size_hint(&body).exact();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(hint, Some(bytes.len() as u64));
        bytes
    }

    #[tokio::test]
    async fn up_to_the_bound_a_body_is_held_and_beyond_it_spooled() {
        let held = gather(pieces(&[b"1234", b"5678"]), BOUNDS, &secret()).await.unwrap();
        assert!(matches!(&held, Payload::Held(bytes) if bytes == "12345678"), "{held:?}");
        let payload = gather(pieces(&[b"1234", b"56789"]), BOUNDS, &secret()).await.unwrap();
        assert_eq!(spooled(payload).await, "123456789");
    }

    #[tokio::test]
    async fn clones_of_a_large_body_are_read_apart_and_have_one_digest() {
        let large: Vec<u8> = (0..3 * CHUNK + 17).map(|i| (i / 251) as u8).collect();
        let announced = gather(Full::new(Bytes::from(large.clone())), BOUNDS, &secret()).await;
        let announced = announced.unwrap();
        let frames: Vec<Result<_, BoxError>> =
            large.chunks(10_000).map(|c| Ok(Frame::data(Bytes::copy_from_slice(c)))).collect();
        let streamed =
            gather(StreamBody::new(stream::iter(frames)), BOUNDS, &secret()).await.unwrap();
        let (Payload::Spooled(one), Payload::Spooled(other)) = (&announced, &streamed) else {
            panic!("both are above the bound")
        };
        assert_eq!(one.digest, other.digest);
        let mut first = announced.clone().into_body();
        let head = first.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(spooled(announced).await, large);
        let rest = first.collect().await.unwrap().to_bytes();
        assert!([head, rest].concat() == large, "the other reader moved this one");
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused_announced_or_not() {
        let bounds = Bounds { memory: 4, max: 8 };
        for body in [Full::new(Bytes::from_static(b"123456789")).map_err(Into::into).boxed(), {
            let frames: Vec<Result<_, BoxError>> = vec![
                Ok(Frame::data(Bytes::from_static(b"12345"))),
                Ok(Frame::data(Bytes::from_static(b"6789"))),
            ];
            BodyExt::boxed(StreamBody::new(stream::iter(frames)))
        }] {
            let problem = gather(body, bounds, &secret()).await.unwrap_err();
            assert_eq!(*problem, Problem::body_too_large(8));
        }
    }

    #[tokio::test]
    async fn a_file_that_takes_nothing_more_is_a_problem_and_never_a_shorter_body() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let spool =
            Spool { file: full, hasher: Box::new(BodyHasher::new(&secret())), head: Bytes::new() };
        let problem = spool.append(Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(*problem, Problem::body_not_spooled(crate::layer::SOON));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_has_no_name_and_no_reader_but_us() {
        use std::os::unix::fs::MetadataExt;
        let spool = Spool::open(&secret()).await.unwrap();
        let found = spool.file.metadata().unwrap();
        assert_eq!((found.nlink(), found.mode() & 0o777), (0, 0o600));
    }
}
