//! The PEM files, read and checked whole: what they come to can shake hands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::fault::TlsError;
use super::validity::{Validity, When, now};

/// What is spoken within TLS, in the order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Whether callers must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ClientRule {
    /// Whoever shows none is turned away within the handshake.
    #[default]
    Required,
    /// Whoever shows none is served; a scope that wants one refuses the key.
    Optional,
}

/// Which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain that callers are shown, its own certificate first.
    pub certificate: PathBuf,
    /// The private key of the first.
    pub key: PathBuf,
    /// The authorities that sign callers' certificates, if those are to show any.
    pub client_ca: Option<PathBuf>,
    /// Whether they must.
    pub client: ClientRule,
}

/// What the files came to.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub config: Arc<ServerConfig>,
    pub validity: Validity,
}

impl TlsFiles {
    /// Reads them.
    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let chain = certificates("the certificate", &self.certificate)?;
        let validity = self.valid(&chain)?;
        let key = PrivateKeyDer::from_pem_slice(&read("the key", &self.key)?)
            .map_err(|error| not_pem("the key", &self.key, "private key", &error))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified =
            CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::OtherKey {
                    key: self.key.clone(),
                    certificate: self.certificate.clone(),
                },
                source => TlsError::Key { path: self.key.clone(), source },
            })?;
        let verifier = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(path) => {
                let wrong = |why: &dyn std::fmt::Display| TlsError::Authorities {
                    path: path.clone(),
                    why: why.to_string(),
                };
                let mut roots = RootCertStore::empty();
                for root in certificates("the file of callers' authorities", path)? {
                    roots.add(root).map_err(|error| wrong(&error))?;
                }
                let builder = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                );
                let builder = match self.client {
                    ClientRule::Required => builder,
                    ClientRule::Optional => builder.allow_unauthenticated(),
                };
                builder.build().map_err(|error| wrong(&error))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        if self.client_ca.is_some() {
            // A handshake that goes on from an earlier one does not look at the certificate again: it may
            // have ended meanwhile, or its authority may have gone.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = aws_lc_rs::Ticketer::new()?;
        }
        Ok(Loaded { config: Arc::new(config), validity })
    }

    fn valid(&self, chain: &[CertificateDer<'_>]) -> Result<Validity, TlsError> {
        let path = || self.certificate.clone();
        let first = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let validity = Validity::of(first).map_err(|why| TlsError::NoCertificate {
            what: "the certificate",
            path: path(),
            why,
        })?;
        let [not_before, not_after] = validity.shown.clone();
        match validity.at(now()) {
            When::Now => Ok(validity),
            When::Past => Err(TlsError::Expired { path: path(), not_after }),
            When::Future => Err(TlsError::NotYetValid { path: path(), not_before }),
        }
    }

    /// All of them.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    std::fs::read(path).map_err(failed)
}

/// At least one.
fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(what, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| not_pem(what, path, "certificate", &error))?;
    if all.is_empty() {
        return Err(not_pem(what, path, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(all)
}

fn not_pem(what: &'static str, path: &Path, wanted: &'static str, error: &pem::Error) -> TlsError {
    TlsError::NotPem { what, path: path.to_owned(), wanted, why: error.to_string() }
}
