//! `scope = "client-certificate"`: the principal is whom the certificate names that a caller proved to hold.
//!
//! Chain and possession were verified by the TLS handshake; what is read here no header can say. A renewed
//! certificate with the same name is the same principal.

use bytes::Bytes;
use http::request::Parts;
use semel::core::Timestamp;
use semel::http::verify::{Unverified, Verifier};

use super::joined;
use crate::peer::{ClientCertificate, Peer, SubjectName};

/// Which name of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CertificateName {
    /// Issuer and subject.
    #[default]
    Subject,
    /// The one URI among its alternative names, such as a SPIFFE id.
    Uri,
    /// The one DNS name among them.
    Dns,
}

impl CertificateName {
    /// As `scope` writes it.
    pub(crate) const fn written(self) -> &'static str {
        match self {
            Self::Subject => "client-certificate",
            Self::Uri => "client-certificate:uri",
            Self::Dns => "client-certificate:dns",
        }
    }

    /// What stands for the principal; `None` where the certificate has no such name, or more than one.
    fn of(self, certificate: &ClientCertificate) -> Option<Bytes> {
        let mut named = certificate.names.iter().filter_map(|name| match (self, name) {
            (Self::Uri, SubjectName::Uri(uri)) => Some(uri.as_bytes()),
            (Self::Dns, SubjectName::Dns(dns)) => Some(dns.as_bytes()),
            _ => None,
        });
        match self {
            Self::Subject if certificate.subject == EMPTY_NAME => None,
            Self::Subject => {
                let name = self.written().as_bytes();
                Some(joined([name, &certificate.issuer, &certificate.subject]))
            }
            Self::Uri | Self::Dns => {
                let only = named.next().filter(|name| !name.is_empty())?;
                named.next().is_none().then(|| self.only(only))
            }
        }
    }

    /// What stands for the one name of its kind.
    fn only(self, name: &[u8]) -> Bytes {
        joined([self.written().as_bytes(), name])
    }
}

/// The DER of a name that says nothing.
const EMPTY_NAME: [u8; 2] = [0x30, 0];

/// Reads the principal from the connection.
#[derive(Debug)]
pub(super) struct CertificateHolder(pub(super) CertificateName);

impl Verifier for CertificateHolder {
    fn name(&self) -> &str {
        self.0.written()
    }

    fn verify(&self, request: &Parts, _: Timestamp) -> Result<Bytes, Unverified> {
        let peer = request.extensions.get::<Peer>();
        let shown = peer.and_then(|peer| peer.certificate.as_deref());
        let shown = shown.ok_or_else(|| missing("The connection shows no client certificate."))?;
        self.0.of(shown).ok_or_else(|| {
            missing(match self.0 {
                CertificateName::Subject => "The client certificate has no subject.",
                CertificateName::Uri => "The client certificate names not exactly one URI.",
                CertificateName::Dns => "The client certificate names not exactly one DNS name.",
            })
        })
    }

    /// An issuer and a subject have no text that would be one and the same.
    fn named(&self, principal: &str) -> Option<Bytes> {
        match self.0 {
            CertificateName::Subject => None,
            CertificateName::Uri | CertificateName::Dns => Some(self.0.only(principal.as_bytes())),
        }
    }
}

fn missing(why: &str) -> Unverified {
    Unverified::Missing(why.to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(subject: Option<&str>, dns: &[&str], uris: &[&str]) -> ClientCertificate {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = subject {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        ClientCertificate::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn a_renewed_certificate_is_the_same_principal_and_another_name_is_not() {
        let of = |name: CertificateName, subject, dns: &[&str], uris: &[&str]| {
            name.of(&certificate(Some(subject), dns, uris))
        };
        use CertificateName::{Dns, Subject, Uri};
        assert_eq!(of(Subject, "a", &["x"], &[]), of(Subject, "a", &["y"], &[]));
        assert_ne!(of(Subject, "a", &[], &[]), of(Subject, "b", &[], &[]));
        assert_eq!(of(Uri, "a", &[], &["spiffe://x/y"]), of(Uri, "b", &[], &["spiffe://x/y"]));
        assert_ne!(of(Uri, "a", &[], &["spiffe://x/y"]), of(Uri, "a", &[], &["spiffe://x/z"]));
        assert_ne!(of(Dns, "a", &["x"], &[]), of(Uri, "a", &[], &["x"]), "kinds are apart");
    }

    #[test]
    fn a_name_that_is_missing_or_not_the_only_one_names_nobody() {
        assert_eq!(CertificateName::Subject.of(&certificate(None, &["x"], &[])), None);
        let two = certificate(Some("a"), &["x", "y"], &[]);
        assert_eq!(CertificateName::Dns.of(&two), None);
        assert_eq!(CertificateName::Uri.of(&two), None);
    }
}
