//! Takes connections and serves HTTP/1.1 on them until told to stop.
//!
//! Whoever is slow or floods is bounded here, before any other part sees it: the head of a request
//! must come in time and in bounds (431 beyond), and so many connections at most are open at once.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::peer::Peer;
use crate::telemetry::OpenConnection;

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ListenError {
    /// The address is taken, not of this machine, or not allowed.
    #[error("cannot listen on {addr} (from {flag}): {source}; choose another address or free it")]
    Bind {
        /// The flag that it came from.
        flag: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections open at once; more wait to be accepted.
    pub connections_max: u32,
    /// How long the head of a request may take.
    pub head_time: Duration,
    /// Headers of one request.
    pub headers_max: usize,
    /// Bytes of one request's head.
    pub head_max: usize,
}

/// Binds `addr`, which came from `flag`.
///
/// # Errors
/// [`ListenError::Bind`].
pub(crate) async fn bind(
    flag: &'static str,
    addr: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |source| ListenError::Bind { flag, addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves connections until `stop` resolves, then lets those that are open finish what they do.
/// A service is made for each connection, for whoever is at its other end. The last request of
/// each has been answered when this returns.
pub(crate) async fn serve<M, S, R>(
    listener: TcpListener,
    bounds: Bounds,
    make: M,
    stop: impl Future<Output = ()>,
) where
    M: Fn(Peer) -> S,
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (stopping, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(usize::try_from(bounds.connections_max).unwrap_or(1)));
    // Without `pipeline_flush`: with it, hyper does not write out its own answer to a malformed head.
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time)
        .max_headers(bounds.headers_max)
        .max_header_size(bounds.head_max);
    let mut stop = std::pin::pin!(stop);
    loop {
        let place = tokio::select! {
            biased;
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener) => accepted,
        };
        let connection = protocol.serve_connection(TokioIo::new(stream), make(Peer::plain(peer)));
        let connection = connection.with_upgrades();
        let told_to_stop = told(stopped.clone());
        let open = OpenConnection::new();
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = told_to_stop => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a caller's connection ended");
            }
            drop((open, place));
        });
    }
    drop(listener);
    stopping.send_replace(true);
    // Each connection holds a place until it ends.
    let _all_ended = places.acquire_many(bounds.connections_max).await;
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone stops no less.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The next connection. Failures to accept pass: the caller has left, or descriptors ran out and
/// come back as connections end.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
