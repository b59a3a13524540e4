//! A listener for the sample and for whatever stands before it.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
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
    let (handlers, mut begun) = mpsc::unbounded_channel();
    let mut http = auto::Builder::new(Handlers(handlers));
    http.http1().timer(TokioTimer::new());
    http.http2().timer(TokioTimer::new());
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut handled = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            // A caller that leaves is no fault of the server's.
            _ = &mut served => return,
            Some(handler) = begun.recv() => handled.push(handler),
            Some(()) = handled.next() => {}
        }
    }
}

/// What an HTTP/2 connection runs for its streams: it ends with the connection, as in HTTP/1.1, so that nothing goes
/// on which was to be cut.
#[derive(Clone)]
struct Handlers(mpsc::UnboundedSender<Handler>);

type Handler = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Handlers {
    fn execute(&self, handler: F) {
        // A connection that is gone runs nothing more.
        let _ = self.0.send(Box::pin(handler));
    }
}

async fn whole<H, F>(request: Request<Incoming>, handle: H) -> Result<Response<AppBody>, Broken>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<AppBody>, Broken>> + Send + 'static,
{
    let (mut parts, body) = request.into_parts();
    // HTTP/2 says the host beside the path: from here on it stands where HTTP/1.1 has it.
    if let Some(authority) = parts.uri.authority().filter(|_| parts.version == Version::HTTP_2) {
        let host = HeaderValue::try_from(authority.as_str());
        let path = parts.uri.path_and_query().cloned().map(Uri::from);
        parts.headers.insert(header::HOST, host.expect("an authority is printable"));
        parts.uri = path.unwrap_or_default();
    }
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
