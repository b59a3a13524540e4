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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
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
    cut: Cut,
}

/// Ends the connections of a server, which goes on taking new ones.
#[derive(Clone, Debug)]
pub struct Cut(mpsc::Sender<oneshot::Sender<()>>);

impl Cut {
    /// Returns when no handler runs any more on what were its connections.
    pub async fn connections(&self) {
        let (tell, told) = oneshot::channel();
        if self.0.send(tell).await.is_ok() {
            let _ = told.await;
        }
    }
}

impl Serving {
    /// Ends its connections, as often as asked.
    #[must_use]
    pub fn cut(&self) -> Cut {
        self.cut.clone()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves `handle` there, each request with its whole body. Port 0 takes a free one. What `handle`
/// returns is dropped where its caller leaves: work that shall go on needs a task of its own.
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
    serve_streams(listener, move |stream| connection(stream, handle.clone()))
}

/// Serves each connection by `carry`.
///
/// # Errors
/// When the listener has no address.
pub(super) fn serve_streams<C, F>(listener: TcpListener, carry: C) -> io::Result<Serving>
where
    C: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let addr = listener.local_addr()?;
    let (cut, mut cuts) = mpsc::channel::<oneshot::Sender<()>>(1);
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                biased;
                Some(tell) = cuts.recv() => {
                    connections.shutdown().await;
                    let _ = tell.send(());
                    continue;
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => return,
                },
            };
            let _ = stream.set_nodelay(true);
            connections.spawn(carry(stream));
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Serving { addr, accepting, cut: Cut(cut) })
}

async fn connection<H, F>(stream: TcpStream, handle: H)
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<AppBody>, Broken>> + Send + 'static,
{
    let service = service_fn(move |request| whole(request, handle.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    // A caller that leaves is no fault of the server's.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn whole<H, F>(request: Request<Incoming>, handle: H) -> Result<Response<AppBody>, Broken>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<AppBody>, Broken>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => handle(Request::from_parts(parts, body.to_bytes())).await,
        Err(_) => {
            let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed();
            let mut reply = Response::new(body);
            *reply.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Ok(reply)
        }
    }
}
