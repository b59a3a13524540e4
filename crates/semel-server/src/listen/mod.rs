//! Takes connections and serves HTTP on them until told to stop: HTTP/1.1 and HTTP/2, with TLS or without.
//!
//! Whoever is slow or floods is bounded here, before any other part sees it: the head of a request must
//! come in time and in bounds (431 beyond), a connection on which nothing goes on is closed, and so many
//! at most are open at once. The path: [`serve`] accepts, `connection` shakes hands and picks the protocol,
//! `stream` carries the bytes, `counted` and `activity` know what goes on.

mod activity;
mod bounds;
mod connection;
mod counted;
mod sniff;
mod stream;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::peer::Peer;
use crate::telemetry::OpenConnection;
use crate::tls::Certificates;

pub(crate) use bounds::Bounds;

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

/// How callers come in.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// HTTP/1.1 without TLS.
    Plain,
    /// Without TLS HTTP/1.1, and HTTP/2 for those who know beforehand (RFC 9113 §3.3).
    PlainOrHttp2,
    /// TLS, and within it what both sides agree on (ALPN).
    Tls(Certificates),
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
/// A service is made for each connection, for whoever is at its other end. The last request of each has
/// been answered when this returns; tunnels may still be open.
pub(crate) async fn serve<M, S, R>(
    listener: TcpListener,
    door: Door,
    bounds: Bounds,
    make: M,
    stop: impl Future<Output = ()>,
) where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>
        + Send
        + Sync
        + 'static,
    S::Future: Send + Unpin + 'static,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (stopping, stopped) = watch::channel(false);
    let (serving, mut all_ended) = mpsc::channel::<Infallible>(1);
    let places = Arc::new(Semaphore::new(usize::try_from(bounds.connections_max).unwrap_or(1)));
    let make = Arc::new(make);
    let mut stop = std::pin::pin!(stop);
    loop {
        let place = tokio::select! {
            biased;
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let (stream, addr) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener) => accepted,
        };
        // A tunnel holds its place for as long as it is open.
        let place = (OpenConnection::new(), place);
        let connection = connection::Accepted { stream, addr, place, bounds };
        let served = connection.serve(door.clone(), Arc::clone(&make), told(stopped.clone()));
        let serving = serving.clone();
        tokio::spawn(async move {
            served.await;
            drop(serving);
        });
    }
    drop((listener, serving));
    stopping.send_replace(true);
    let None = all_ended.recv().await;
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
