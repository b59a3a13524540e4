//! One connection: its handshake, its protocol, and its end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Door;
use super::activity::{Activity, Overdue};
use super::bounds::Bounds;
use super::counted::Counted;
use super::sniff::sniff;
use super::stream::{CallerStream, Transport};
use crate::peer::Peer;
use crate::tls;

/// How long a connection that was told to end has for its last words.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often a quiet HTTP/2 connection that owes an answer is asked for a sign of life, and for how long.
const PING: Duration = Duration::from_secs(20);
/// What a caller may send ahead on one HTTP/2 request, and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Requests that were taken back before they were looked at, or that were wrong, until the connection is
/// given up: whoever floods so is no caller (CVE-2023-44487, CVE-2025-8671).
const RESETS_MAX: usize = 20;
const FAULTS_MAX: usize = 128;

/// A connection that was accepted. `P` is what it holds for as long as it is open.
pub(super) struct Accepted<P> {
    pub stream: TcpStream,
    pub addr: SocketAddr,
    pub place: P,
    pub bounds: Bounds,
}

/// A connection ready for HTTP.
struct Opened {
    transport: Transport,
    peer: Peer,
    http_2: bool,
}

impl<P: Send + Unpin + 'static> Accepted<P> {
    /// Serves it to its end.
    pub(super) async fn serve<M, S, R>(
        self,
        door: Door,
        make: Arc<M>,
        stop: impl Future<Output = ()>,
    ) where
        M: Fn(Peer) -> S,
        S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
        S: Send + Sync + 'static,
        S::Future: Send + Unpin + 'static,
        R: Body<Data = Bytes> + Send + Unpin + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { stream, addr, place, bounds } = self;
        let accepted = Instant::now();
        let mut stop = std::pin::pin!(stop);
        let opened = tokio::select! {
            biased;
            () = &mut stop => return,
            opened = tokio::time::timeout_at(accepted + bounds.head_time, open(stream, addr, &door)) => opened,
        };
        let opened = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                tracing::debug!(%addr, %error, "a caller's connection was not opened");
                return;
            }
            Err(_) => {
                tracing::debug!(%addr, "a caller's handshake took too long");
                return;
            }
        };
        let http_2 = opened.http_2;
        let activity = Arc::new(Activity::new(accepted, http_2));
        let stream =
            CallerStream::new(opened.transport, Arc::clone(&activity), bounds.reply_pause, place);
        let service = Counted::new(make(opened.peer), Arc::clone(&activity));
        let io = TokioIo::new(stream);
        if http_2 {
            let connection = http_2_protocol(&bounds).serve_connection(io, service);
            let end = |connection: Pin<&mut _>| http2::Connection::graceful_shutdown(connection);
            drive(connection, end, &activity, &bounds, stop).await;
        } else {
            let connection = http_1_protocol(&bounds).serve_connection(io, service).with_upgrades();
            let end = |connection: Pin<&mut _>| {
                http1::UpgradeableConnection::graceful_shutdown(connection)
            };
            drive(connection, end, &activity, &bounds, stop).await;
        }
    }
}

async fn open(
    mut stream: TcpStream,
    addr: SocketAddr,
    door: &Door,
) -> Result<Opened, tls::Unshaken> {
    Ok(match door {
        Door::Plain => {
            Opened { transport: Transport::Plain(stream), peer: Peer::plain(addr), http_2: false }
        }
        Door::PlainOrHttp2 => {
            let (read, http_2) = sniff(&mut stream).await?;
            Opened { transport: Transport::Sniffed(read, stream), peer: Peer::plain(addr), http_2 }
        }
        Door::Tls(certificates) => {
            let shaken = tls::shake(certificates, stream).await?;
            if let Some(certificate) = &shaken.certificate {
                tracing::debug!(%addr, subject = certificate.shown, "a caller showed its certificate");
            }
            let peer = Peer { addr, secure: true, certificate: shaken.certificate };
            let transport = Transport::Tls(Box::new(shaken.stream));
            Opened { transport, peer, http_2: shaken.http_2 }
        }
    })
}

/// Polls a connection until it ends, is told to, or has gone on for too long.
async fn drive<C, E>(
    connection: C,
    graceful: impl Fn(Pin<&mut C>),
    activity: &Activity,
    bounds: &Bounds,
    stop: Pin<&mut impl Future<Output = ()>>,
) where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut connection = std::pin::pin!(connection);
    let overdue = tokio::select! {
        biased;
        ended = connection.as_mut() => return told(ended),
        overdue = activity.overdue(bounds) => overdue,
        () = stop => {
            graceful(connection.as_mut());
            // What it still does is bounded as ever.
            tokio::select! {
                biased;
                ended = connection.as_mut() => return told(ended),
                overdue = activity.overdue(bounds) => overdue,
            }
        }
    };
    tracing::debug!(?overdue, "a caller's connection is closed");
    if overdue == Overdue::Idle {
        graceful(connection.as_mut());
        if let Ok(ended) = tokio::time::timeout(LAST_WORDS, connection).await {
            told(ended);
        }
    }
}

fn told<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a caller's connection ended");
    }
}

fn http_1_protocol(bounds: &Bounds) -> http1::Builder {
    // Without `pipeline_flush`: with it, hyper does not write out its own answer to a malformed head.
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(None) // `Activity` has that clock, and that of idle connections.
        .max_headers(bounds.headers_max)
        .max_header_size(bounds.head_max);
    protocol
}

fn http_2_protocol(bounds: &Bounds) -> http2::Builder<TokioExecutor> {
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(bounds.head_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(bounds.streams_max)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(FAULTS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    protocol
}
