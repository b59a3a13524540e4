//! Who is at the other end of a connection, as far as the connection itself shows.
//!
//! It stands among the extensions of each request. Nothing of it comes from a header, so no caller can choose
//! it: the certificate is one whose chain and possession the TLS handshake has proven.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The other end of a caller's connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where it came from.
    pub addr: SocketAddr,
    /// Whether it came under TLS.
    pub secure: bool,
    /// What it proved to hold, under mutual TLS. `None`: it showed no certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// A caller without TLS.
    pub(crate) const fn plain(addr: SocketAddr) -> Self {
        Self { addr, secure: false, certificate: None }
    }
}

/// A certificate that a caller proved to hold, signed by somebody whom `tls_client_ca` trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The certificate itself (the end entity's, not its chain).
    pub der: CertificateDer<'static>,
    /// Whom it is for: the DER of the name, to compare by. Its text would not do: texts are not escaped, so
    /// that two names may read alike. An empty name (where only `names` say it) is `30 00`.
    pub subject: Vec<u8>,
    /// Who signed it, alike. Two authorities may both know a `CN=billing`.
    pub issuer: Vec<u8>,
    /// The subject, for people: `CN=billing, O=Example`.
    pub shown: String,
    /// Its subject's other names (RFC 5280 §4.2.1.6), in the certificate's order.
    pub names: Vec<SubjectName>,
}

/// One name of a certificate's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubjectName {
    /// `dNSName`.
    Dns(String),
    /// `rfc822Name`.
    Email(String),
    /// `uniformResourceIdentifier`, such as a SPIFFE id.
    Uri(String),
}

/// The certificate cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is no X.509 certificate: {0}")]
pub(crate) struct NoCertificate(String);

impl ClientCertificate {
    /// Reads what a handshake has verified.
    ///
    /// # Errors
    /// [`NoCertificate`].
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, NoCertificate> {
        let wrong = |error: &dyn std::fmt::Display| NoCertificate(error.to_string());
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| wrong(&error))?;
        if !rest.is_empty() {
            return Err(NoCertificate("there is more behind its end".to_owned()));
        }
        let names = parsed.subject_alternative_name().map_err(|error| wrong(&error))?;
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
        Ok(Self {
            der: der.clone().into_owned(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            shown: parsed.subject().to_string(),
            names: names.unwrap_or_default(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<SubjectName> {
    match name {
        GeneralName::DNSName(dns) => Some(SubjectName::Dns((*dns).to_owned())),
        GeneralName::RFC822Name(email) => Some(SubjectName::Email((*email).to_owned())),
        GeneralName::URI(uri) => Some(SubjectName::Uri((*uri).to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn signed(common_name: &str, organisation: Option<&str>) -> ClientCertificate {
        let mut params = CertificateParams::new(vec!["billing.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if let Some(name) = organisation {
            params.distinguished_name.push(DnType::OrganizationName, name);
        }
        let uri = "spiffe://example/billing".try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        let key = KeyPair::generate().unwrap();
        ClientCertificate::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn a_certificate_tells_whom_it_is_for() {
        let read = signed("billing", None);
        assert_eq!(read.shown, "CN=billing");
        assert_eq!(read.subject, read.issuer, "it is signed by itself");
        let names = [
            SubjectName::Dns("billing.example".to_owned()),
            SubjectName::Uri("spiffe://example/billing".to_owned()),
        ];
        assert_eq!(read.names, names);
    }

    #[test]
    fn names_that_read_alike_are_not_the_same() {
        let (one, other) = (signed("a, O=b", None), signed("a", Some("b")));
        assert_eq!(one.shown, other.shown);
        assert_ne!(one.subject, other.subject);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(ClientCertificate::read(&CertificateDer::from(vec![0x30, 0])).is_err());
        let mut longer = signed("a", None).der.to_vec();
        longer.push(0);
        assert!(ClientCertificate::read(&CertificateDer::from(longer)).is_err());
    }
}
