//! One HTTP/1.1 connection, driven by whoever waits for its answer.
//!
//! No task stands between a request and its connection: the caller's own task writes the request, reads
//! the reply and carries its body, so a request costs no hand-over between threads.
//!
//! What is proof that nothing was sent (hyper 1.12, `client/dispatch.rs` and `proto/h1/dispatch.rs`): a
//! request waits in a channel of one place until the connection takes it, just before it is encoded. Only
//! there can it still be given back: when the connection ends first, the envelope's drop or `recv_msg`
//! returns the message. Whatever fails once it was taken carries no message. `is_canceled` alone says the
//! same, but the message in the hand is what can be sent again. Beside that the socket counts what it took:
//! where it took nothing since, nothing was sent, whatever hyper had encoded.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connect::Made;
use super::incoming::{Carrier, FromUpstream};
use super::outgoing::Outgoing;
use super::pool::Home;
use super::wire::Meter;
use super::{BoxError, Failed, chain};

/// Header fields of one reply.
pub(super) const HEADERS_MAX: usize = 128;
/// Bytes of one reply's head.
pub(super) const HEAD_MAX: usize = 64 * 1024;
/// Bytes that may come before the head of a reply has ended: its own, and those of replies before it that
/// only inform (1xx). hyper counts neither of those.
const BEFORE_REPLY_MAX: u64 = 256 * 1024;
/// How long a connection may go on with what a request still has to send after its reply has ended.
const LINGER: Duration = Duration::from_secs(30);

type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// A connection.
pub(super) struct Connection<B> {
    sender: http1::SendRequest<Outgoing<B>>,
    /// Reads and writes; `None` once it has ended.
    driver: Option<Driver>,
    meter: Arc<Meter>,
}

impl<B> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("open", &self.driver.is_some()).finish_non_exhaustive()
    }
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Speaks HTTP/1.1 on a new connection; nothing is sent yet.
    pub(super) async fn begin(made: Made) -> Result<Self, hyper::Error> {
        let mut protocol = http1::Builder::new();
        protocol.max_headers(HEADERS_MAX).max_header_size(HEAD_MAX);
        let (sender, connection) = protocol.handshake(TokioIo::new(made.wire)).await?;
        let driver: Driver = Box::pin(connection.with_upgrades());
        Ok(Self { sender, driver: Some(driver), meter: made.meter })
    }

    /// Looks at the socket: whether the upstream has kept the connection open, and said nothing on it.
    pub(super) fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.meter.look();
        self.drive(cx);
        self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Reads and writes what can be. A connection that has ended gives back what it had not begun.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(driver) = &mut self.driver else { return };
        if let Poll::Ready(ended) = driver.as_mut().poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(error = %chain(&error), "a connection to the upstream ended");
            }
            self.driver = None;
        }
    }

    /// Sends a request and waits for the head of its reply. The connection goes `home` once the reply has
    /// been read to its end.
    pub(super) async fn exchange(
        mut self,
        request: Request<Outgoing<B>>,
        home: Home<B>,
    ) -> Result<Response<FromUpstream>, Failed<B>> {
        let request = shape(request);
        let (written, read) = (self.meter.written(), self.meter.read());
        let mut answer = pin!(self.sender.try_send_request(request));
        let answered = poll_fn(|cx| {
            // The connection first: it is what brings the answer.
            self.drive(cx);
            match answer.as_mut().poll(cx) {
                Poll::Ready(answered) => Poll::Ready(Some(answered)),
                Poll::Pending if self.meter.read() - read > BEFORE_REPLY_MAX => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match answered {
            Some(Ok(response)) => Ok(self.carry(response, home)),
            Some(Err(mut failed)) => Err(match failed.take_message() {
                Some(request) => {
                    let reason = chain(&failed.into_error());
                    Failed::HandedBack { request: Box::new(request), reason }
                }
                None if self.meter.written() == written => {
                    Failed::NotSent { reason: chain(&failed.into_error()) }
                }
                None => Failed::Unknown { reason: chain(&failed.into_error()) },
            }),
            None => {
                let reason = format!("{BEFORE_REPLY_MAX} bytes came and no head of a reply ended");
                Err(Failed::Unknown { reason })
            }
        }
    }

    /// Goes on with the connection as the reply needs it.
    fn carry(mut self, response: Response<Incoming>, home: Home<B>) -> Response<FromUpstream> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(driver) = self.driver.take() {
                // It hands its bytes to the tunnel, or ends.
                tokio::spawn(driver);
            }
            return response.map(FromUpstream::of);
        }
        if self.is_idle() {
            // A short reply has been read whole with its head: its body stands in memory.
            home.take_in(self);
            return response.map(FromUpstream::of);
        }
        response.map(|body| {
            if body.is_end_stream() {
                self.part(home);
                FromUpstream::of(body)
            } else {
                FromUpstream::carried(body, Box::new(Carrying { connection: self, home }))
            }
        })
    }

    /// The reply has ended.
    fn part(mut self, home: Home<B>) {
        if self.is_idle() {
            home.take_in(self);
        } else if let Some(driver) = self.driver.take() {
            // It closes; or the request is still on its way, and the upstream may yet want it.
            tokio::spawn(tokio::time::timeout(LINGER, driver));
        }
    }
}

/// RFC 9112 §3.2: the target is the path, and `Host` says whose it is.
fn shape<B>(mut request: Request<B>) -> Request<B> {
    if let Some(authority) = request.uri().authority()
        && !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    if request.uri().scheme().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    *request.version_mut() = Version::HTTP_11;
    request
}

/// A connection whose reply is being read.
struct Carrying<B> {
    connection: Connection<B>,
    home: Home<B>,
}

impl<B> Carrier for Carrying<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn drive(&mut self, cx: &mut Context<'_>) {
        self.connection.drive(cx);
    }

    fn part(mut self: Box<Self>, cx: &mut Context<'_>) {
        self.connection.drive(cx);
        self.connection.part(self.home);
    }
}
