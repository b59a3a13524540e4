//! What one listener bears from those who are slow, or too many.

use std::time::Duration;

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections open at once; more wait to be accepted.
    pub connections_max: u32,
    /// How long the head of a request may take, and a TLS handshake.
    pub head_time: Duration,
    /// Headers of one request.
    pub headers_max: usize,
    /// Bytes of one request's head.
    pub head_max: usize,
    /// How long a connection stays open on which nothing is asked.
    pub keep_alive: Duration,
    /// How long a caller may take nothing of what is written to it.
    pub reply_pause: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
}
