//! Principals that are verified here: a claim of a token, a client's certificate.
//!
//! A route of the configuration first names what it wants ([`named`]); once the whole file is known it
//! is bound to the keys that verify it ([`Principals::bind`]). What is not bound verifies nobody.

mod certificate;
mod claim;
mod key_set;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use semel::core::Timestamp;
use semel::http::route::PrincipalSource;
use semel::http::verify::{Unverified, Verified, Verifier};

use crate::cli::serve::JwtArgs;
use crate::cli::values::Scope;

use certificate::CertificateHolder;
pub(crate) use certificate::CertificateName;
pub(crate) use claim::Claim;
pub(crate) use key_set::{ALGORITHMS, KeySetFile, algorithm_name};
use token::{TokenClaim, TokenRules};

/// Parts as the bytes of a principal: each with its length before it, so that none runs into the next and no
/// two principals share their bytes.
fn joined<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

/// What a scope asks for that is not bound yet.
#[derive(Debug)]
struct Unbound(String);

impl Verifier for Unbound {
    fn name(&self) -> &str {
        &self.0
    }

    fn verify(&self, _: &Parts, _: Timestamp) -> Result<Bytes, Unverified> {
        Err(Unverified::Missing("No rules say what would verify a caller.".to_owned()))
    }

    fn named(&self, _: &str) -> Option<Bytes> {
        None
    }
}

/// The rule of a route by the scope that is configured.
pub(crate) fn named(scope: &Scope) -> PrincipalSource {
    match scope {
        Scope::Authorization => PrincipalSource::Authorization,
        Scope::Header(name) => PrincipalSource::Header(name.clone()),
        Scope::Jwt(_) | Scope::Certificate(_) => {
            PrincipalSource::Verified(Verified::by(Unbound(scope.to_string())))
        }
        Scope::None => PrincipalSource::None,
    }
}

/// Why a scope cannot be verified by what is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unbindable {
    /// The key at fault; `scope` where something is missing beside it.
    pub key: &'static str,
    /// Why, and what to write.
    pub why: String,
}

/// What verifies the principals of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Principals {
    tokens: Option<Arc<TokenRules>>,
    /// Whether callers show certificates that anybody has signed whom we know.
    certificates: bool,
}

impl Principals {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// [`Unbindable`].
    pub(crate) fn read(args: &JwtArgs) -> Result<Self, Unbindable> {
        let Some(path) = &args.jwks_file else { return Ok(Self::default()) };
        let needed = |key, why: &str| Err(Unbindable { key, why: why.to_owned() });
        let Some(issuer) = args.jwt_issuer.clone() else {
            return needed(
                "jwt_issuer",
                "with `jwks_file`, it must say who makes the tokens (their `iss`)",
            );
        };
        if args.jwt_audience.is_empty() {
            return needed(
                "jwt_audience",
                "with `jwks_file`, it must name this API as tokens do (their `aud`): one that was made for another API would be taken",
            );
        }
        if args.jwt_algorithms.is_empty() {
            return needed("jwt_algorithms", "it names none, so no token would ever hold");
        }
        let allowed = args.jwt_algorithms.iter().map(|one| one.0).collect();
        let keys = KeySetFile::open(path, allowed)
            .map_err(|error| Unbindable { key: "jwks_file", why: error.to_string() })?;
        let (audiences, leeway) = (args.jwt_audience.clone(), args.jwt_leeway);
        let rules = TokenRules { issuer, audiences, leeway, keys: Arc::new(keys) };
        Ok(Self { tokens: Some(Arc::new(rules)), certificates: false })
    }

    /// Beside a listener that asks for certificates, or does not.
    pub(crate) fn with_certificates(self, certificates: bool) -> Self {
        Self { certificates, ..self }
    }

    /// What verifies `scope`.
    ///
    /// # Errors
    /// [`Unbindable`]: what it would be verified by is not configured.
    pub(crate) fn bind(&self, scope: &Scope) -> Result<PrincipalSource, Unbindable> {
        match (scope, &self.tokens) {
            (Scope::Jwt(claim), Some(rules)) => {
                let claim = TokenClaim::new(claim.clone(), Arc::clone(rules));
                Ok(PrincipalSource::Verified(Verified::by(claim)))
            }
            (Scope::Jwt(_), None) => Err(Unbindable {
                key: "scope",
                why: "no token can be verified without `jwks_file` under [server], which names the file with the issuer's public keys".to_owned(),
            }),
            (Scope::Certificate(name), _) if self.certificates => {
                Ok(PrincipalSource::Verified(Verified::by(CertificateHolder(*name))))
            }
            (Scope::Certificate(_), _) => Err(Unbindable {
                key: "scope",
                why: "no caller is asked for a certificate without `tls_client_ca` under [server], which names the file with the authorities that sign them".to_owned(),
            }),
            (other, _) => Ok(named(other)),
        }
    }

    /// Follows the files of keys as they change, for ever.
    pub(crate) async fn follow(&self) {
        let Some(rules) = &self.tokens else { return std::future::pending().await };
        let mut pace = tokio::time::interval(EVERY);
        loop {
            pace.tick().await;
            let keys = Arc::clone(&rules.keys);
            // A task that panicked has said so itself.
            let _ = tokio::task::spawn_blocking(move || keys.follow()).await;
        }
    }
}

/// How often files of keys are looked at.
const EVERY: Duration = Duration::from_secs(2);
