//! A listener for the sample and for whatever stands before it.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::{AppBody, Broken};

/// Bytes of a request's body that are read.
const BODY_MAX: usize = 8 << 20;

/// A server. It ends, its connections with it, when it is dropped.
#[derive(Debug)]
pub struct Serving {
    /// Where it is.
    pub addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves `handle` there, each request with its whole body. Port 0 takes a free one.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve<H, F>(addr: SocketAddr, handle: H) -> io::Result<Serving>
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<AppBody>, Broken>> + Send + 'static,
{
    serve_on(TcpListener::bind(addr).await?, handle)
}

/// Serves `handle` on a listener that stands.
///
/// # Errors
/// When the listener has no address.
pub fn serve_on<H, F>(listener: TcpListener, handle: H) -> io::Result<Serving>
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<AppBody>, Broken>> + Send + 'static,
{
    let addr = listener.local_addr()?;
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let handle = handle.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| whole(request, handle.clone()));
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new());
                // A caller that leaves is no fault of the server's.
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Serving { addr, accepting })
}

async fn whole<H, F>(request: Request<Incoming>, handle: H) -> Result<Response<AppBody>, Broken>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<AppBody>, Broken>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    match Limited::new(body, BODY_MAX).collect().await {
        // In a task of its own, as an application's handler that its caller cannot stop.
        Ok(body) => tokio::spawn(handle(Request::from_parts(parts, body.to_bytes())))
            .await
            .unwrap_or(Err(Broken)),
        Err(_) => {
            let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed();
            let mut reply = Response::new(body);
            *reply.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Ok(reply)
        }
    }
}
