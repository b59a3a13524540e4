//! Why no whole reply came.

use std::io;

use super::Http;

/// Why no whole reply came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// There was no connection, so nothing was sent.
    #[error("no connection to {to}: {error}")]
    Connect {
        /// Where to.
        to: String,
        /// Why.
        error: io::Error,
    },
    /// The connection ended before a byte of the reply.
    #[error("the connection ended before the reply began")]
    NoReply,
    /// The connection ended within the reply.
    #[error("the connection ended within the reply, {what}")]
    CutReply {
        /// How far it had come.
        what: String,
    },
    /// The stream ended, and its connection did not: HTTP/2 alone.
    #[error("the stream was reset with {code} {when}")]
    Reset {
        /// The error's name.
        code: String,
        /// How far the reply had come.
        when: String,
    },
    /// The connection was ended with a word on why: HTTP/2 alone.
    #[error("the connection was ended with {code}{said}, {when}")]
    GoneAway {
        /// The error's name.
        code: String,
        /// More of it, if the other side said more.
        said: String,
        /// How far the reply had come.
        when: String,
    },
    /// What came is not HTTP as it was agreed on.
    #[error("the reply is no {http}: {what}")]
    Garbage {
        /// What should have come.
        http: Http,
        /// What is wrong with it.
        what: String,
    },
    /// It broke.
    #[error("the connection broke: {0}")]
    Broke(io::Error),
    /// Nothing was sent: the case has sent enough.
    #[error("the case has sent its {most} requests, and sends no more")]
    TooMany {
        /// The bound.
        most: u64,
    },
    /// It took too long.
    #[error("no whole reply within {seconds:.1} s")]
    TimedOut {
        /// The bound.
        seconds: f64,
    },
}

impl WireError {
    /// Whether there was no connection because the target's certificate is not believed.
    #[must_use]
    pub fn disbelieved(&self) -> bool {
        let Self::Connect { error, .. } = self else { return false };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
    }

    /// Whether the other side refused the request, or broke off, in the way that HTTP/2 has for what is malformed
    /// (RFC 9113 §8.1.1): by an error of the stream or of the connection.
    #[must_use]
    pub const fn by_protocol(&self) -> bool {
        matches!(self, Self::Reset { .. } | Self::GoneAway { .. })
    }
}
