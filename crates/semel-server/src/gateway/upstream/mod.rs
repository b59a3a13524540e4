//! The client side: sends one request once, and says what is certain when no answer came.
//!
//! Whether an operation may run again is the engine's to decide. *Not sent* is said only with proof that
//! nothing of the request was acted on: no connection was obtained (DNS, TCP, TLS), the protocol's own
//! library gave the request back before writing it, or HTTP/2 said so. All else is *unknown*, a reset on a
//! reused connection too. A request that is proved not to have been sent on a connection that was reused is
//! sent once more on a new one ([`pool`]); no other is ever sent twice.
//!
//! The path: [`pool`] finds or makes a connection ([`connect`], [`trust`]), [`h1`] or [`h2`] sends the
//! request on it ([`outgoing`]), [`incoming`] is the body that comes back, [`wire`] watches the socket.

mod connect;
mod h1;
mod h2;
mod incoming;
mod outgoing;
mod pool;
mod trust;
mod wire;

use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;

pub(crate) use incoming::FromUpstream;
use outgoing::Outgoing;
pub(crate) use pool::Pool;
pub(crate) use trust::NoRoots;

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

/// The head of an answer; the body follows as it comes.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What came.
    pub response: Response<FromUpstream>,
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

/// Why there is no answer, with the request where it is here again.
#[derive(Debug)]
enum Failed<B> {
    /// Nothing of it was sent, or acted on.
    HandedBack { request: Box<Request<Outgoing<B>>>, reason: String },
    /// The same, and the request is gone.
    NotSent { reason: String },
    /// It may have been acted on.
    Unknown { reason: String },
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
