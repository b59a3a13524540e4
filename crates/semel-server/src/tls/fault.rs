//! Why a certificate, a key or the authorities of callers cannot be used, and what to do about it.

use std::path::PathBuf;

/// What is wrong with the files of TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsError {
    /// It is not there, or not for us to read.
    #[error("{what} {} cannot be read: {source}", path.display())]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds nothing of the kind.
    #[error("{what} {} holds no {wanted} in PEM form (-----BEGIN …): {why}", path.display())]
    NotPem {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What should stand in it.
        wanted: &'static str,
        /// What was found.
        why: String,
    },
    /// It is PEM around something else.
    #[error("{what} {} is no certificate that can be used: {why}", path.display())]
    NoCertificate {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Its time is over.
    #[error(
        "the certificate {} ended on {not_after}: no caller would accept it; put a renewed one in its place",
        path.display()
    )]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        not_after: String,
    },
    /// Its time has not come.
    #[error(
        "the certificate {} is not valid before {not_before}: no caller would accept it; is this machine's clock right?",
        path.display()
    )]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// From when on it is.
        not_before: String,
    },
    /// They belong to different pairs.
    #[error(
        "the key {} is not that of the certificate {}: they must be renewed together",
        key.display(),
        certificate.display()
    )]
    OtherKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The key is of a kind that is not spoken, or broken.
    #[error("the key {} cannot be used: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// No caller could be checked by it.
    #[error("the authorities in {} cannot check any caller: {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}
