//! HTTP/2 connections, each shared by many requests and driven by a task of its own.
//!
//! What is proof that nothing was acted on (RFC 9113 §8.7), by hyper 1.12 and h2 0.4: the request came back
//! in the error (it was never taken from its channel); the upstream reset the stream with `REFUSED_STREAM`;
//! or it sent GOAWAY and the stream stands above the last one that it names. h2 gives a stream the error
//! *remote GOAWAY* only in `Inner::recv_go_away`, for just those streams. hyper, though, may hand out the
//! same error from a second look at the connection, taken right after the stream was begun and before its
//! body is asked for: then the stream may well stand below. So that error is proof only where the body has
//! been asked for.

use std::error::Error as _;
use std::fmt;
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use http_body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::connect::Made;
use super::h1::HEAD_MAX;
use super::incoming::FromUpstream;
use super::outgoing::{Again, Outgoing};
use super::{BoxError, Failed, chain};

/// How long a connection with open streams may be silent before it is asked whether it lives, and how long
/// it may take to say so.
const PING_AFTER: Duration = Duration::from_secs(10);
const PING_WITHIN: Duration = Duration::from_secs(10);
/// What an upstream may send before it is told that it was read: of one stream, and of all.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Streams until the upstream has said how many it takes (RFC 9113 §6.5.2 recommends no less).
const STREAMS_AT_FIRST: usize = 100;

/// A connection. Clones share it.
pub(super) struct Connection<B> {
    sender: http2::SendRequest<Outgoing<B>>,
    state: Arc<State>,
}

impl<B> Clone for Connection<B> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), state: Arc::clone(&self.state) }
    }
}

impl<B> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    /// Requests whose reply has not ended.
    streams: AtomicUsize,
    /// When one of them ended last.
    last: Mutex<Instant>,
    /// Streams that the upstream takes at once.
    streams_max: AtomicUsize,
    ended: AtomicBool,
    /// The socket, to be looked at; a second descriptor, since the first belongs to the driver.
    socket: Option<OwnedFd>,
}

/// Counts a stream for as long as it is open.
#[derive(Debug)]
pub(super) struct Open(Arc<State>);

impl Open {
    fn of(state: &Arc<State>) -> Self {
        state.streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
        *self.0.last() = Instant::now();
    }
}

impl State {
    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().expect("nothing panics while it notes a time")
    }
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Speaks HTTP/2 on a new connection, with prior knowledge or after ALPN chose it.
    pub(super) async fn begin(made: Made) -> Result<Self, hyper::Error> {
        let mut protocol = http2::Builder::new(TokioExecutor::new());
        protocol
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_WITHIN)
            .initial_max_send_streams(STREAMS_AT_FIRST)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX));
        let socket = made.wire.descriptor();
        let (sender, connection) = protocol.handshake(TokioIo::new(made.wire)).await?;
        let state = Arc::new(State {
            streams: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
            streams_max: AtomicUsize::new(STREAMS_AT_FIRST),
            ended: AtomicBool::new(false),
            socket,
        });
        let driven = Arc::clone(&state);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                driven.streams_max.store(connection.current_max_send_streams(), Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(error = %chain(&error), "a connection to the upstream ended");
            }
            driven.ended.store(true, Ordering::Relaxed);
        });
        Ok(Self { sender, state })
    }

    /// Whether requests can be sent on it: not after its end, nor once GOAWAY has come.
    pub(super) fn is_open(&self) -> bool {
        !self.state.ended.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// Whether a request would wait for another to end.
    pub(super) fn is_full(&self) -> bool {
        self.state.streams.load(Ordering::Relaxed) >= self.state.streams_max.load(Ordering::Relaxed)
    }

    /// Whether it is in use, or was within `idle_max`.
    pub(super) fn is_wanted(&self, idle_max: Duration) -> bool {
        let used = self.state.streams.load(Ordering::Relaxed) > 0;
        self.is_open() && (used || self.state.last().elapsed() < idle_max)
    }

    /// Looks at the socket: whether something lies there that the driver has not read, which may be a
    /// GOAWAY or the end. Then it gets its turn first.
    pub(super) async fn is_open_now(&self) -> bool {
        for _ in 0..TURNS {
            let Some(socket) = &self.state.socket else { break };
            if !self.is_open() || !something_waits(socket) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.is_open() && !self.state.socket.as_ref().is_some_and(has_ended)
    }

    /// Sends a request and waits for the head of its reply. `again`: a second sending is of use.
    pub(super) async fn exchange(
        mut self,
        request: Request<Outgoing<B>>,
        scheme: Scheme,
        again: bool,
    ) -> Result<Response<FromUpstream>, Failed<B>> {
        let (mut parts, body) = request.into_parts();
        if let Err(error) = shape(&mut parts, scheme) {
            return Err(Failed::NotSent { reason: format!("HTTP/2 cannot say it: {error}") });
        }
        let head = again.then(|| parts.clone());
        let (body, held) = body.kept();
        let open = Open::of(&self.state);
        match self.sender.try_send_request(Request::from_parts(parts, body)).await {
            Ok(response) => Ok(response.map(|body| FromUpstream::shared(body, open))),
            Err(mut failed) => {
                let message = failed.take_message();
                let error = failed.into_error();
                let reason = chain(&error);
                if let Some(request) = message {
                    return Err(Failed::HandedBack { request: Box::new(request), reason });
                }
                if !refused(&error, &held) {
                    return Err(Failed::Unknown { reason });
                }
                Err(match head.zip(held.body()) {
                    Some((parts, body)) => {
                        let request = Box::new(Request::from_parts(parts, body));
                        Failed::HandedBack { request, reason }
                    }
                    None => Failed::NotSent { reason },
                })
            }
        }
    }
}

/// Turns that the driver gets to read what lies in its socket.
const TURNS: usize = 4;

fn peek(socket: &OwnedFd) -> rustix::io::Result<usize> {
    use rustix::net::RecvFlags;
    let mut byte = [0];
    rustix::net::recv(socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)
        .map(|(len, _)| len)
}

fn something_waits(socket: &OwnedFd) -> bool {
    !matches!(peek(socket), Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR))
}

fn has_ended(socket: &OwnedFd) -> bool {
    !matches!(peek(socket), Ok(1..) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR))
}

/// Whether the upstream has said that it did not act on the request. See the [module](self).
fn refused<B>(error: &hyper::Error, body: &Again<B>) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    let stream = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (stream || (error.is_go_away() && body.begun()))
}

/// RFC 9113 §8.3.1: `:authority` stands in place of `Host`; §8.2.2: what means one connection is left out.
fn shape(parts: &mut Parts, scheme: Scheme) -> Result<(), http::Error> {
    let host = parts.headers.remove(HOST);
    let authority = match host {
        Some(host) => Some(Authority::try_from(host.as_bytes())?),
        // A request that comes here for the second time has it in its target already.
        None => parts.uri.authority().cloned(),
    };
    parts.headers.remove(CONNECTION);
    parts.headers.remove(UPGRADE);
    let path = parts.uri.path_and_query().cloned();
    let mut uri = Uri::builder().scheme(scheme);
    if let Some(authority) = authority {
        uri = uri.authority(authority);
    }
    parts.uri =
        uri.path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/"))).build()?;
    parts.version = Version::HTTP_2;
    Ok(())
}
