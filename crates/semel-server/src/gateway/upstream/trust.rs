//! Whom the gateway trusts behind TLS, and what it offers to speak there.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The system names nobody to trust.
#[derive(Debug, thiserror::Error)]
#[error(
    "no root certificates could be read ({0}), so no https upstream could be trusted: install the system's (ca-certificates), or name a file by SSL_CERT_FILE"
)]
pub(crate) struct NoRoots(String);

/// How TLS is spoken to upstreams.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// HTTP/2, else HTTP/1.1, as the upstream chooses.
    pub(super) any: Arc<ClientConfig>,
    /// HTTP/1.1 only: for requests to change the protocol, which HTTP/2 does not know.
    pub(super) http1: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts whom the system trusts.
    ///
    /// # Errors
    /// When it trusts nobody.
    pub(super) fn of_system() -> Result<Self, NoRoots> {
        let read = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(read.certs);
        if roots.is_empty() {
            let why = read.errors.first().map_or("none are there".to_owned(), ToString::to_string);
            return Err(NoRoots(why));
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self::offering(config))
    }

    fn offering(config: ClientConfig) -> Self {
        let (mut any, mut http1) = (config.clone(), config);
        any.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        http1.alpn_protocols = vec![HTTP_1.to_vec()];
        Self { any: Arc::new(any), http1: Arc::new(http1) }
    }
}

/// RFC 7301 §6, RFC 9113 §3.2.
pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";
