//! Where a target is, and how a connection to it is made.

use std::io::Error;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::transport::{Means, Transport, TransportError};
use super::{Connection, Http, WireError};

/// The scheme, host and port of a target, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Address {
    tls: bool,
    host: String,
    port: u16,
    means: Arc<Means>,
}

/// Why a URL names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Another scheme, or none.
    #[error("`{url}` is no URL of a target: write http://HOST:PORT or https://HOST")]
    Scheme {
        /// As given.
        url: String,
    },
    /// A path, a query or a user.
    #[error(
        "`{url}` says more than where the target is: paths belong to the operation; write {base}"
    )]
    More {
        /// As given.
        url: String,
        /// What would do.
        base: String,
    },
    /// No host or no port.
    #[error("`{url}` has no host, or a port that is none")]
    Host {
        /// As given.
        url: String,
    },
}

impl Address {
    /// From `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    ///
    /// # Errors
    /// Anything else, with what would do.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let scheme = || AddressError::Scheme { url: url.to_owned() };
        let (scheme_name, rest) = url.split_once("://").ok_or_else(scheme)?;
        let tls = match scheme_name.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(scheme()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(at) = rest.find(['/', '?', '#', '@']) {
            let base = format!("{scheme_name}://{}", rest.get(..at).unwrap_or_default());
            return Err(AddressError::More { url: url.to_owned(), base });
        }
        let host = || AddressError::Host { url: url.to_owned() };
        let authority: http::uri::Authority = rest.parse().map_err(|_| host())?;
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| host())?,
            // An empty or impossible port reads as none.
            None if authority.as_str() != authority.host() => return Err(host()),
            None if tls => 443,
            None => 80,
        };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if name.is_empty() {
            return Err(host());
        }
        Ok(Self { tls, host: name, port, means: Arc::new(Means::of(tls)) })
    }

    /// The URL without a path.
    #[must_use]
    pub fn base(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// As it stands in `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is this machine by its very name: no look-up is believed.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let by_address = self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        by_address || self.host.eq_ignore_ascii_case("localhost")
    }

    /// The same, spoken to in this way.
    ///
    /// # Errors
    /// When a file of it holds no certificate or no key, or it cannot be spoken to so.
    pub fn over(mut self, transport: &Transport) -> Result<Self, TransportError> {
        self.means = Arc::new(transport.means(self.tls)?);
        Ok(self)
    }

    /// What is spoken: what the first connection agreed on, or would before there was one.
    #[must_use]
    pub fn http(&self) -> Http {
        self.means.http()
    }

    /// The same in words, with what was not checked.
    #[must_use]
    pub fn spoken(&self) -> String {
        self.means.spoken(self.tls)
    }

    /// What a `curl` command says to speak so: nothing, or flags with a space before each.
    #[must_use]
    pub fn curl(&self) -> String {
        self.means.curl(self.tls)
    }

    async fn tcp(&self) -> Result<TcpStream, WireError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| WireError::Connect { to: self.base(), error })?;
        let failed = |error| WireError::Connect { to: self.base(), error };
        // On loopback, where nobody listens on a port of the range that connections take theirs from, a
        // connection may meet itself: it is no server's.
        if stream.local_addr().map_err(failed)? == stream.peer_addr().map_err(failed)? {
            stream.set_zero_linger().map_err(failed)?;
            return Err(failed(std::io::ErrorKind::ConnectionRefused.into()));
        }
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When none could be made, or it speaks no HTTP that is wanted.
    pub async fn connect(&self) -> Result<Connection, WireError> {
        let failed = |error| WireError::Connect { to: self.base(), error };
        let tcp = self.tcp().await?;
        let (stream, agreed) =
            self.means.secure(tcp, self.tls, &self.host).await.map_err(failed)?;
        match self.means.settle(agreed).map_err(failed)? {
            Http::One => Ok(Connection::one(stream)),
            Http::Two => {
                let scheme = if self.tls { "https" } else { "http" };
                Connection::two(stream, scheme).await.map_err(|error| match error {
                    WireError::Broke(error) => failed(error),
                    error => failed(Error::other(format!("HTTP/2 is not spoken there: {error}"))),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_targets() {
        for (url, base, loopback) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000", true),
            ("http://localhost/", "http://localhost", true),
            ("https://[::1]:8443", "https://[::1]:8443", true),
            ("HTTP://api.internal:80", "http://api.internal", false),
            ("https://api.internal", "https://api.internal", false),
            ("http://127.0.0.1.example:1", "http://127.0.0.1.example:1", false),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.base().as_str(), address.is_loopback()), (base, loopback), "{url}");
        }
        for url in ["127.0.0.1:9000", "ftp://a", "http://", "http://a:99999", "http://a:"] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
        let more = Address::parse("http://a:1/v1").unwrap_err().to_string();
        assert!(more.contains("http://a:1"), "{more}");
    }

    #[tokio::test]
    async fn a_connection_that_met_itself_is_none() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let address = Address::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        // The range has some 28,000 ports, and each is tried in turn or by chance.
        for _ in 0..60_000 {
            assert!(address.tcp().await.is_err(), "nobody listens on {port}");
        }
    }
}
