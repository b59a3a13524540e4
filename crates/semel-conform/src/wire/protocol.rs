//! Which HTTP is spoken.

use super::{Request, two};

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1 (RFC 9112).
    One,
    /// HTTP/2 (RFC 9113).
    Two,
}

impl std::fmt::Display for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One => "HTTP/1.1",
            Self::Two => "HTTP/2",
        })
    }
}

impl Http {
    /// How many bytes the first request on a connection takes.
    #[must_use]
    pub fn length(self, request: &Request, host: &str) -> usize {
        match self {
            Self::One => request.bytes(host).len(),
            Self::Two => two::length(request, host),
        }
    }

    /// How many of them are its head.
    #[must_use]
    pub fn head_length(self, request: &Request, host: &str) -> usize {
        match self {
            Self::One => request.head(host).len(),
            Self::Two => two::head_length(request, host),
        }
    }
}
