//! How a target is spoken to: which HTTP, whose certificates are believed, and which is shown.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pipe::Stream;
use super::request::quoted;
use super::{Http, unchecked};

/// Which HTTP is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// What a target with TLS picks; HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// This one, or none. HTTP/2 without TLS is spoken with no word before (RFC 9113 §3.3).
    Only(Http),
}

impl Wanted {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("1.1", Self::Only(Http::One)), ("2", Self::Only(Http::Two))];

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, wanted)| *wanted)
    }

    fn offers(self) -> Vec<Vec<u8>> {
        let all: &[&[u8]] = match self {
            Self::Auto => &[b"h2", b"http/1.1"],
            Self::Only(Http::One) => &[b"http/1.1"],
            Self::Only(Http::Two) => &[b"h2"],
        };
        all.iter().map(|name| name.to_vec()).collect()
    }
}

/// How a target is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Which HTTP.
    pub http: Wanted,
    /// Certificates in PEM of those who are believed, in place of those whom this machine believes.
    pub cacert: Option<PathBuf>,
    /// Whether anybody is believed.
    pub insecure: bool,
    /// The tester's own certificates and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why a target cannot be spoken to so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A file.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificates where there is no TLS.
    #[error(
        "the target is http://, where no certificate is shown or checked: write https://, or leave {what} out"
    )]
    NoTls {
        /// What was given.
        what: &'static str,
    },
    /// Believed and not.
    #[error("either whose certificates are believed is said, or that anybody is: not both")]
    Both,
}

impl Transport {
    pub(super) fn means(&self, tls: bool) -> Result<Means, TransportError> {
        if !tls {
            let given = [
                (self.cacert.is_some(), "the certificates to believe"),
                (self.insecure, "the word to believe anybody"),
                (self.identity.is_some(), "the tester's certificate"),
            ];
            if let Some((_, what)) = given.into_iter().find(|(given, _)| *given) {
                return Err(TransportError::NoTls { what });
            }
            return Ok(Means { transport: self.clone(), ..Means::of(false) });
        }
        let mut config = self.config()?;
        config.alpn_protocols = self.http.offers();
        let config = OnceLock::from(Arc::new(config));
        Ok(Means { transport: self.clone(), config, ..Means::of(true) })
    }

    fn config(&self) -> Result<ClientConfig, TransportError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions of TLS");
        let builder = match (&self.cacert, self.insecure) {
            (Some(_), true) => return Err(TransportError::Both),
            (Some(path), false) => builder.with_root_certificates(believed(path)?),
            (None, true) => unchecked::with(builder, provider),
            (None, false) => builder.with_root_certificates(machines_own()),
        };
        let Some((chain, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let held = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error))?;
        let chain_of = certificates(chain)?;
        builder.with_client_auth_cert(chain_of, held).map_err(|error| file(chain, error))
    }
}

fn file(path: &Path, why: impl std::fmt::Display) -> TransportError {
    TransportError::File { path: path.to_owned(), why: why.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read.map_err(|error| file(path, error))? {
        none if none.is_empty() => Err(file(path, "there is no certificate in it")),
        some => Ok(some),
    }
}

fn believed(path: &Path) -> Result<RootCertStore, TransportError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| file(path, error))?;
    }
    Ok(roots)
}

/// The machine's own trust: `SSL_CERT_FILE` is in its place, where it is set.
fn machines_own() -> RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    };
    ROOTS.get_or_init(load).clone()
}

/// A [`Transport`] at work: with its files read, and what the first connection agreed on.
#[derive(Debug)]
pub(super) struct Means {
    transport: Transport,
    config: OnceLock<Arc<ClientConfig>>,
    settled: OnceLock<Http>,
}

impl Means {
    /// Without a word on it: HTTP/1.1, and what this machine believes.
    pub(super) fn of(tls: bool) -> Self {
        let http = if tls { Wanted::Only(Http::One) } else { Wanted::Auto };
        let transport = Transport { http, ..Transport::default() };
        Self { transport, config: OnceLock::new(), settled: OnceLock::new() }
    }

    pub(super) fn http(&self) -> Http {
        match (self.settled.get(), self.transport.http) {
            (Some(http), _) => *http,
            (None, Wanted::Only(http)) => http,
            (None, Wanted::Auto) => Http::One,
        }
    }

    /// The stream within TLS, where there is TLS, with the protocol that was agreed on.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        tls: bool,
        host: &str,
    ) -> io::Result<(Box<dyn Stream>, Option<Vec<u8>>)> {
        if !tls {
            return Ok((Box::new(stream), None));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = self.config.get_or_init(|| {
            let config = Transport::default().config();
            Arc::new(
                config.expect("what this machine believes is read from no file of the caller's"),
            )
        });
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        Ok((Box::new(stream), agreed))
    }

    /// What is spoken on a connection that agreed on that: the same on each.
    pub(super) fn settle(&self, agreed: Option<Vec<u8>>) -> io::Result<Http> {
        let http = match (self.transport.http, agreed.as_deref()) {
            (_, Some(b"h2")) => Http::Two,
            (Wanted::Only(Http::Two), None) if self.config.get().is_none() => Http::Two,
            (Wanted::Only(Http::Two), _) => {
                return Err(io::Error::other("it agrees on no HTTP/2 within TLS (ALPN)"));
            }
            (Wanted::Auto | Wanted::Only(Http::One), _) => Http::One,
        };
        let settled = *self.settled.get_or_init(|| http);
        if settled == http {
            return Ok(http);
        }
        let why =
            format!("it spoke {settled} before, and now would speak {http}: it is no one target");
        Err(io::Error::other(why))
    }

    pub(super) fn spoken(&self, tls: bool) -> String {
        let mut out = self.http().to_string();
        if tls {
            out.push_str(" over TLS");
        }
        if self.transport.identity.is_some() {
            out.push_str(", the tester showing a certificate");
        }
        if self.transport.insecure {
            out.push_str(", the target's certificate not checked");
        }
        out
    }

    pub(super) fn curl(&self, tls: bool) -> String {
        let mut out = String::new();
        out.push_str(match (self.http(), tls) {
            (Http::One, false) => "",
            (Http::One, true) => " --http1.1",
            (Http::Two, false) => " --http2-prior-knowledge",
            (Http::Two, true) => " --http2",
        });
        let shown = |path: &PathBuf| quoted(&path.display().to_string());
        if let Some(path) = &self.transport.cacert {
            out.push_str(&format!(" --cacert {}", shown(path)));
        }
        if self.transport.insecure {
            out.push_str(" --insecure");
        }
        if let Some((chain, key)) = &self.transport.identity {
            out.push_str(&format!(" --cert {} --key {}", shown(chain), shown(key)));
        }
        out
    }
}
