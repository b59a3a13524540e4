//! Makes connections: name look-up, TCP, TLS. All of it before any byte of a request.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::trust::{HTTP_2, NoRoots, Tls};
use super::wire::{Meter, Socket, Wire};
use crate::gateway::target::{Spoken, Target};

/// A new connection and what is spoken on it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) wire: Wire,
    pub(super) meter: Arc<Meter>,
    pub(super) http2: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum NoConnection {
    #[error("the name {host} was not found: {source}")]
    Name { host: String, source: io::Error },
    #[error("the name {host} has no address")]
    NoAddress { host: String },
    #[error("no connection to {to}: {source}")]
    Tcp { to: String, source: io::Error },
    #[error("no connection to {to} in time")]
    InTime { to: String },
    #[error("no TLS with {to}: {source}")]
    Tls { to: String, source: io::Error },
    #[error("{to} does not begin the protocol: {source}")]
    Protocol { to: String, source: hyper::Error },
}

/// Makes connections to one address.
#[derive(Debug)]
pub(super) struct Dialer {
    host: String,
    port: u16,
    spoken: Spoken,
    /// Where it is `https`: how, and under which name.
    tls: Option<(Tls, ServerName<'static>)>,
}

impl Dialer {
    /// For `target`. The system's root certificates are read only where it is `https`.
    ///
    /// # Errors
    /// When they are needed and there are none.
    pub(super) fn new(target: &Target) -> Result<Self, NoRoots> {
        let (host, port) = target.address();
        let tls = match target.server_name() {
            Some(name) => Some((Tls::of_system()?, name)),
            None => None,
        };
        Ok(Self { host, port, spoken: target.spoken(), tls })
    }

    /// Whether what is spoken shows only once there is a connection.
    pub(super) const fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// A connection, by `deadline`. `http1`: HTTP/2 is of no use for what is to be sent.
    pub(super) async fn connect(
        &self,
        deadline: Instant,
        http1: bool,
    ) -> Result<Made, NoConnection> {
        match tokio::time::timeout_at(deadline, self.make(deadline, http1)).await {
            Ok(made) => made,
            Err(_) => Err(NoConnection::InTime { to: self.to() }),
        }
    }

    async fn make(&self, deadline: Instant, http1: bool) -> Result<Made, NoConnection> {
        let tcp = self.tcp(deadline).await?;
        // A request is written whole; waiting for more to send would only delay it.
        let _best_effort = tcp.set_nodelay(true);
        let socket = Socket::new(tcp);
        let meter = socket.meter();
        let Some((tls, name)) = &self.tls else {
            let http2 = self.spoken == Spoken::Http2;
            return Ok(Made { wire: Wire::Plain(socket), meter, http2 });
        };
        let config = if http1 { &tls.http1 } else { &tls.any };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name.clone(), socket).await;
        let stream = stream.map_err(|source| NoConnection::Tls { to: self.to(), source })?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        Ok(Made { wire: Wire::Tls(Box::new(stream)), meter, http2 })
    }

    /// To the first of the name's addresses that takes a connection; each gets its share of the time.
    async fn tcp(&self, deadline: Instant) -> Result<TcpStream, NoConnection> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found
            .map_err(|source| NoConnection::Name { host: self.host.clone(), source })?
            .collect::<Vec<_>>();
        let mut last = NoConnection::NoAddress { host: self.host.clone() };
        for (at, address) in found.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(found.len() - at).unwrap_or(u32::MAX);
            let to = address.to_string();
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(source)) => last = NoConnection::Tcp { to, source },
                Err(_) => last = NoConnection::InTime { to },
            }
        }
        Err(last)
    }

    pub(super) fn to(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}
