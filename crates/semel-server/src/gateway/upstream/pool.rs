//! The connections to one upstream: those that wait to be used again, and those that HTTP/2 shares.
//!
//! A connection is looked at just before it is used again. A request that a *reused* connection gives back
//! unsent (the upstream had closed it, or refused the stream) is sent once more, on a connection that is
//! made for it. One that a new connection gives back is not: there the upstream has said enough.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;

use bytes::Bytes;
use http::header::UPGRADE;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use super::connect::{Dialer, Made, NoConnection};
use super::incoming::FromUpstream;
use super::outgoing::Outgoing;
use super::{Answered, BoxError, Failed, NoRoots, Patience, Unanswered, Upstream, h1, h2};
use crate::gateway::target::{Spoken, Target};

/// The connections to one upstream. Clones share them.
pub(crate) struct Pool<B>(Arc<Inner<B>>);

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> std::fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("dialer", &self.0.dialer).finish_non_exhaustive()
    }
}

struct Inner<B> {
    dialer: Dialer,
    scheme: Scheme,
    patience: Patience,
    /// What the upstream speaks, as far as is known.
    speaks: AtomicU8,
    idle: Mutex<Vec<Idle<B>>>,
    shared: Mutex<Vec<h2::Connection<B>>>,
    /// Held by whoever makes a connection that others may come to share.
    making: tokio::sync::Mutex<()>,
    reaping: AtomicBool,
}

/// A connection that waits.
struct Idle<B> {
    connection: h1::Connection<B>,
    since: Instant,
}

/// Values of `speaks`.
const UNKNOWN: u8 = 0;
const HTTP_1: u8 = 1;
const HTTP_2: u8 = 2;

/// Where a connection goes when its reply has ended.
pub(super) struct Home<B>(Weak<Inner<B>>);

/// A connection found or made.
enum Line<B> {
    One(h1::Connection<B>),
    Shared(h2::Connection<B>),
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds connections")
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A pool for `target`. The system's root certificates are read only where it is `https`.
    ///
    /// # Errors
    /// When they are needed and there are none.
    pub(crate) fn new(patience: Patience, target: &Target) -> Result<Self, NoRoots> {
        let dialer = Dialer::new(target)?;
        let speaks = match dialer.spoken() {
            Spoken::Http1 => HTTP_1,
            Spoken::Http2 => HTTP_2,
            Spoken::Tls => UNKNOWN,
        };
        Ok(Self(Arc::new(Inner {
            dialer,
            scheme: target.scheme(),
            patience,
            speaks: AtomicU8::new(speaks),
            idle: Mutex::default(),
            shared: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            reaping: AtomicBool::new(false),
        })))
    }

    /// A connection that is there already.
    async fn find(&self, http1: bool) -> Option<Line<B>> {
        if !http1 && let Some(shared) = self.find_shared().await {
            return Some(Line::Shared(shared));
        }
        loop {
            let mut idle = held(&self.0.idle).pop()?;
            if idle.since.elapsed() >= self.0.patience.idle {
                // Those below it have waited longer still.
                held(&self.0.idle).clear();
                return None;
            }
            if poll_fn(|cx| Poll::Ready(idle.connection.is_open(cx))).await {
                return Some(Line::One(idle.connection));
            }
        }
    }

    async fn find_shared(&self) -> Option<h2::Connection<B>> {
        if self.0.speaks.load(Ordering::Relaxed) == HTTP_1 {
            return None;
        }
        loop {
            let found = {
                let mut shared = held(&self.0.shared);
                shared.retain(h2::Connection::is_open);
                shared.iter().rev().find(|connection| !connection.is_full()).cloned()
            };
            let found = found?;
            if found.is_open_now().await {
                return Some(found);
            }
        }
    }

    /// A new connection, or one that another request was just now making; `true`: that one. `fresh`: only a
    /// new one will do.
    async fn make(
        &self,
        deadline: Instant,
        http1: bool,
        fresh: bool,
    ) -> Result<(Line<B>, bool), NoConnection> {
        // Only where HTTP/2 is sure would others share it: else a slow handshake would hold up requests that
        // need connections of their own.
        if http1 || self.0.speaks.load(Ordering::Relaxed) != HTTP_2 {
            let made = self.0.dialer.connect(deadline, http1).await?;
            return Ok((self.begin(made, http1).await?, false));
        }
        // One at a time, so that a crowd of requests shares one connection.
        let Ok(_turn) = timeout_at(deadline, self.0.making.lock()).await else {
            return Err(NoConnection::InTime { to: self.0.dialer.to() });
        };
        if !fresh && let Some(shared) = self.find_shared().await {
            return Ok((Line::Shared(shared), true));
        }
        let made = self.0.dialer.connect(deadline, false).await?;
        Ok((self.begin(made, false).await?, false))
    }

    async fn begin(&self, made: Made, http1: bool) -> Result<Line<B>, NoConnection> {
        let unwilling = |source| NoConnection::Protocol { to: self.0.dialer.to(), source };
        if !made.http2 {
            if !http1 {
                // It had the choice. It has it again at each new connection.
                self.0.speaks.store(HTTP_1, Ordering::Relaxed);
            }
            return h1::Connection::begin(made).await.map(Line::One).map_err(unwilling);
        }
        self.0.speaks.store(HTTP_2, Ordering::Relaxed);
        let connection = h2::Connection::begin(made).await.map_err(unwilling)?;
        held(&self.0.shared).push(connection.clone());
        reap(&self.0);
        Ok(Line::Shared(connection))
    }

    /// Sends it on this connection.
    async fn exchange(
        &self,
        line: Line<B>,
        request: Request<Outgoing<B>>,
        reused: bool,
    ) -> Result<Answered, Sent<B>> {
        let connected = Instant::now();
        let limit = connected + self.0.patience.reply;
        let answer = async {
            match line {
                Line::One(connection) => {
                    connection.exchange(request, Home(Arc::downgrade(&self.0))).await
                }
                Line::Shared(connection) => {
                    connection.exchange(request, self.0.scheme.clone(), reused).await
                }
            }
        };
        let answered: Result<Response<FromUpstream>, _> = match timeout_at(limit, answer).await {
            Ok(answered) => answered,
            Err(_) => return Err(Sent::TooSlow),
        };
        answered.map(|response| Answered { response, connected }).map_err(Sent::Failed)
    }
}

/// Why there is no answer on a connection.
enum Sent<B> {
    Failed(Failed<B>),
    TooSlow,
}

impl<B> Upstream<B> for Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    async fn send(&self, request: Request<B>) -> Result<Answered, Unanswered> {
        let patience = self.0.patience;
        // All that comes before the last sending has this long: a key's lease was looked at before, and is
        // not looked at again.
        let deadline = Instant::now() + patience.connect;
        // HTTP/2 cannot change the protocol (RFC 9113 §8.6); an upstream that speaks nothing else is asked
        // without that wish.
        let upgrade = request.headers().contains_key(UPGRADE);
        let http1 = upgrade && self.0.dialer.spoken() != Spoken::Http2;
        let mut request = request.map(Outgoing::Once);
        let mut first = true;
        loop {
            let found = if first { self.find(http1).await } else { None };
            let (line, reused) = match found {
                Some(line) => (line, true),
                None => match self.make(deadline, http1, !first).await {
                    Ok(made) => made,
                    Err(error) => return Err(Unanswered::NotSent { reason: super::chain(&error) }),
                },
            };
            match self.exchange(line, request, reused).await {
                Ok(answered) => return Ok(answered),
                Err(Sent::Failed(Failed::HandedBack { request: again, reason })) => {
                    if !(first && reused) || Instant::now() >= deadline {
                        return Err(Unanswered::NotSent { reason });
                    }
                    tracing::debug!(
                        reason,
                        "sent again on another connection: nothing was acted on"
                    );
                    (request, first) = (*again, false);
                }
                Err(Sent::Failed(Failed::NotSent { reason })) => {
                    return Err(Unanswered::NotSent { reason });
                }
                Err(Sent::Failed(Failed::Unknown { reason })) => {
                    return Err(Unanswered::Unknown { reason });
                }
                Err(Sent::TooSlow) => return Err(Unanswered::TooSlow { after: patience.reply }),
            }
        }
    }
}

impl<B> Home<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Keeps it for the next request.
    pub(super) fn take_in(self, connection: h1::Connection<B>) {
        let Some(pool) = self.0.upgrade() else { return };
        held(&pool.idle).push(Idle { connection, since: Instant::now() });
        reap(&pool);
    }
}

/// Sees to it that no connection waits for too long. Ends when none is left, and is begun with the next.
fn reap<B>(pool: &Arc<Inner<B>>)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if pool.reaping.swap(true, Ordering::AcqRel) {
        return;
    }
    let (pool, idle_max) = (Arc::downgrade(pool), pool.patience.idle);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(idle_max).await;
            let Some(pool) = pool.upgrade() else { return };
            let mut shared = held(&pool.shared);
            shared.retain(|connection| connection.is_wanted(idle_max));
            let mut idle = held(&pool.idle);
            idle.retain(|idle| idle.since.elapsed() < idle_max);
            if idle.is_empty() && shared.is_empty() {
                pool.reaping.store(false, Ordering::Release);
                return;
            }
        }
    });
}
