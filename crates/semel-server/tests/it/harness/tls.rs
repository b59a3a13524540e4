//! Certificates for a test, and `curl` as a caller under TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use super::DEADLINE;

/// An authority with the files that it signed.
#[derive(Debug)]
pub(crate) struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// When a certificate holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holds {
    Now,
    NoMore,
    NotYet,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// Where its own certificate stands.
    pub(crate) fn path(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Signs a certificate of `localhost` under `name`, and writes `NAME.pem` and `NAME.key`. Each file takes
    /// the place of an earlier one at once.
    pub(crate) fn sign(&self, name: &str, holds: Holds) -> [PathBuf; 2] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        match holds {
            Holds::Now => {}
            Holds::NoMore => params.not_after = date_time_ymd(2020, 1, 1),
            Holds::NotYet => params.not_before = date_time_ymd(4000, 1, 1),
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths = [self.file(&format!("{name}.pem")), self.file(&format!("{name}.key"))];
        for (path, text) in paths.iter().zip([certificate.pem(), key.serialize_pem()]) {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, path).unwrap();
        }
        paths
    }
}

/// How `curl` ended.
#[derive(Debug)]
pub(crate) struct Curled {
    pub(crate) code: Option<i32>,
    /// With `-i`: heads, too.
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the real `curl`, trusting this authority.
pub(crate) async fn curl(authority: &Path, args: &[&str]) -> Curled {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time"]);
    command.arg(DEADLINE.as_secs().to_string()).arg("--cacert").arg(authority).args(args);
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output =
        output.unwrap_or_else(|error| panic!("curl is needed (scripts/setup.sh): {error}"));
    Curled {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
