//! The client side: sends one request once, and says what is certain when no answer came.
//!
//! It never retries: whether a request may be sent again is the engine's to decide. *Not sent* is
//! said only with proof that no byte of the request left: no connection was obtained (DNS, TCP,
//! TLS), or the client library gave the request back before writing it. All else is *unknown*, a
//! reset on a reused connection too.

use std::error::Error as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use tower::Service;

use super::target::Target;

/// An error of any kind, as the client library and bodies bring them.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer, and what is certain about the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unanswered {
    /// No byte of the request was written.
    #[error("the request was not sent: {reason}")]
    NotSent {
        /// What failed.
        reason: String,
    },
    /// The request, or a part of it, may have been acted on.
    #[error("the upstream gave no answer: {reason}")]
    Unknown {
        /// What failed.
        reason: String,
    },
    /// The time for an answer was over. The request may have been acted on.
    #[error("the upstream gave no answer within {after:?}")]
    TooSlow {
        /// How long it was given.
        after: Duration,
    },
}

/// The system names nobody to trust.
#[derive(Debug, thiserror::Error)]
#[error(
    "no root certificates could be read ({0}), so no https upstream could be trusted: install the system's (ca-certificates), or name a file by SSL_CERT_FILE"
)]
pub(crate) struct NoRoots(#[source] std::io::Error);

/// The head of an answer; the body follows as it comes.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What came.
    pub response: Response<Incoming>,
    /// When there was a connection: from then on the time for the answer is counted, to its very end.
    pub connected: Instant,
}

/// Something that answers requests, once each.
pub(crate) trait Upstream<B>: Clone + Send + Sync + 'static {
    /// Sends it. Resolves at the head of the answer.
    fn send(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Answered, Unanswered>> + Send;
}

/// How long the client waits for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a connection: DNS, TCP and TLS together.
    pub connect: Duration,
    /// For an answer once there is a connection: its head, and for a keyed request its end.
    pub reply: Duration,
    /// How long an idle connection is kept. Below the upstream's own, or requests race its close.
    pub idle: Duration,
}

/// The pooled HTTP/1.1 client.
pub(crate) struct Pool<B> {
    client: Client<TimedConnector, B>,
    patience: Patience,
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), patience: self.patience }
    }
}

impl<B> std::fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("patience", &self.patience).finish_non_exhaustive()
    }
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
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new();
        let builder = if target.is_secure() {
            builder.with_native_roots().map_err(NoRoots)?
        } else {
            let trust_nobody = rustls::RootCertStore::empty();
            let config = rustls::ClientConfig::builder().with_root_certificates(trust_nobody);
            builder.with_tls_config(config.with_no_client_auth())
        };
        let https = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(patience.idle)
            .retry_canceled_requests(false)
            .set_host(false)
            .build(TimedConnector { inner: https, limit: patience.connect });
        Ok(Self { client, patience })
    }
}

impl<B> Upstream<B> for Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    async fn send(&self, mut request: Request<B>) -> Result<Answered, Unanswered> {
        // The time for an answer begins with a connection, for which there is a limit of its own: so it only
        // ever ends a request that may have been sent, and is never proof.
        let mut connection = capture_connection(&mut request);
        let connected = async {
            connection.wait_for_connection_metadata().await;
            Instant::now()
        };
        let mut answer = pin!(self.client.request(request));
        let (early, connected) = tokio::select! {
            biased;
            answer = &mut answer => (Some(answer), Instant::now()),
            connected = connected => (None, connected),
        };
        let answer = match early {
            Some(answer) => answer,
            None => tokio::time::timeout_at(connected + self.patience.reply, answer)
                .await
                .map_err(|_| Unanswered::TooSlow { after: self.patience.reply })?,
        };
        match answer {
            Ok(response) => Ok(Answered { response, connected }),
            Err(error) => Err(judge(&error)),
        }
    }
}

fn judge(error: &ClientError) -> Unanswered {
    let reason = chain(error);
    // hyper cancels a request only where it still holds the whole message, before the first byte
    // of it is encoded (`dispatch` of its HTTP/1 client); after that it reports something else.
    let handed_back = error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(hyper::Error::is_canceled);
    if error.is_connect() || handed_back {
        Unanswered::NotSent { reason }
    } else {
        Unanswered::Unknown { reason }
    }
}

/// An error with all that caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A connector whose every connection is made in time, name look-up and TLS handshake included.
#[derive(Clone, Debug)]
struct TimedConnector {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Service<Uri> for TimedConnector {
    type Response = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {limit:?}").into()),
            }
        })
    }
}
