//! The connections: what a client sees when a reply is lost, cut short, or its service dies.
//!
//! A server that only runs handlers cannot lose a reply: it always sends one. So the service
//! drives its connections itself, and a handler can mark its response as lost ([`Lost`]); the mark
//! becomes an error of the connection, which closes the socket with nothing written.
//!
//! The work of a request runs in a task of its own and goes on when the client leaves: a payment
//! service does not stop half way because somebody hung up.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::api::{App, router};
use crate::ledger::Ledger;
use crate::trouble::Troubles;

/// A pause after a failed accept, for it mostly means that no file descriptor is free.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Why [`serve`] came to its end.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The `shutdown` future ended: every request in hand was answered first.
    Asked,
    /// [`crate::Kind::Die`] struck: connections were closed and work in hand dropped.
    Died,
}

/// Marks a response as never to be sent.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum Lost {
    #[error("the reply was dropped, as trouble had it")]
    Reply,
    #[error("the service died, as trouble had it")]
    Process,
    #[error("the work of the request came to no end")]
    Work,
}

impl IntoResponse for Lost {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Leaving,
    Dead,
}

/// Serves HTTP/1.1 until `shutdown` ends, or until the service dies of [`crate::Kind::Die`].
///
/// No TLS and no limits: for loopback, in demonstrations and tests.
pub async fn serve(
    listener: TcpListener,
    ledger: Ledger,
    troubles: Troubles,
    shutdown: impl Future<Output = ()> + Send,
) -> Stopped {
    let app = router(App { ledger, troubles: troubles.clone() });
    let phase = watch::Sender::new(Phase::Running);
    let mut now = phase.subscribe();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! { biased;
            () = dead(&mut now) => return Stopped::Died,
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Subscribed here, not in the task: a task that has not run yet would miss the end.
                    let (app, troubles) = (app.clone(), troubles.clone());
                    tokio::spawn(connection(stream, app, troubles, phase.clone(), phase.subscribe()));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
    drop((listener, now));
    phase.send_if_modified(|phase| {
        let running = *phase == Phase::Running;
        if running {
            *phase = Phase::Leaving;
        }
        running
    });
    // Every connection and every piece of work holds a receiver until it has ended.
    phase.closed().await;
    if *phase.borrow() == Phase::Dead { Stopped::Died } else { Stopped::Asked }
}

async fn connection(
    stream: TcpStream,
    app: Router,
    troubles: Troubles,
    phase: watch::Sender<Phase>,
    mut now: watch::Receiver<Phase>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small replies may wait");
    }
    let app = TowerToHyperService::new(app);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (app, troubles, phase) = (app.clone(), troubles.clone(), phase.clone());
        async move {
            let response = work(app, request, phase.subscribe()).await?;
            match response.extensions().get::<Lost>() {
                None => Ok(response),
                Some(lost) => {
                    if matches!(lost, Lost::Process) {
                        troubles.die();
                        phase.send_replace(Phase::Dead);
                    }
                    Err(*lost)
                }
            }
        }
    });
    let mut serving = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! { biased;
        phase = next(&mut now) => match phase {
            Phase::Leaving => {
                serving.as_mut().graceful_shutdown();
                tokio::select! { biased;
                    _ = next(&mut now) => return,
                    ended = serving => ended,
                }
            }
            Phase::Running | Phase::Dead => return,
        },
        ended = &mut serving => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Runs the request in a task that outlives its connection, though not the process.
async fn work(
    app: TowerToHyperService<Router>,
    request: Request<Incoming>,
    mut now: watch::Receiver<Phase>,
) -> Result<Response, Lost> {
    let task = tokio::spawn(async move {
        tokio::select! { biased;
            () = dead(&mut now) => Err(Lost::Process),
            response = app.call(request) => response.map_err(|never: Infallible| match never {}),
        }
    });
    task.await.unwrap_or(Err(Lost::Work))
}

async fn dead(now: &mut watch::Receiver<Phase>) {
    // Without a sender there is no service left: that is dead, too.
    let _ = now.wait_for(|phase| *phase == Phase::Dead).await;
}

/// The next phase after the present one.
async fn next(now: &mut watch::Receiver<Phase>) -> Phase {
    match now.changed().await {
        Ok(()) => *now.borrow_and_update(),
        Err(_) => Phase::Dead,
    }
}

/// A reply that promises its whole length and breaks off half way.
pub(crate) fn truncated(status: StatusCode, body: String) -> Response {
    let length = HeaderValue::from(body.len());
    let media_type = HeaderValue::from_static("application/json");
    let mut half = Bytes::from(body);
    half.truncate(half.len() / 2);
    let body = Body::new(Broken { half: Some(half), flushed: false });
    (status, [(CONTENT_LENGTH, length), (CONTENT_TYPE, media_type)], body).into_response()
}

/// A body that ends in an error after its data.
struct Broken {
    half: Option<Bytes>,
    flushed: bool,
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.flushed {
            // A connection writes out what it has when its body is not ready; after an error it
            // would throw that away, and the client would see a dropped reply, not half of one.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())))
    }
}
