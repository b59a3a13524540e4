//! `scope = "jwt:CLAIM"`: the principal is a claim of a verified token (RFC 7519).
//!
//! Verified are, in this order: one Bearer token; an algorithm that is allowed; the key that the token
//! names, which must fit the algorithm; the signature; issuer; audience; time. Whatever fails ends in a
//! refusal. The order of the cheap and the dear parts matters to nobody but the log: nothing of a token
//! is believed before its signature.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use semel::core::Timestamp;
use semel::http::verify::{Unverified, Verifier, bearer};
use serde_json::Value;

use super::claim::Claim;
use super::joined;
use super::key_set::KeySetFile;

/// Which tokens hold.
#[derive(Debug)]
pub(crate) struct TokenRules {
    /// Who must have made them.
    pub issuer: String,
    /// For whom: one of these must be named.
    pub audiences: Vec<String>,
    /// How far the clocks of their makers may be off.
    pub leeway: Duration,
    /// By whose keys.
    pub keys: Arc<KeySetFile>,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Malformed,
    Algorithm,
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    Endless,
    Ended,
    Early,
}

impl Flaw {
    /// For counting.
    const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Endless => "no-end",
            Self::Ended => "expired",
            Self::Early => "not-yet-valid",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "The token cannot be read.",
            Self::Algorithm => "The token is not signed by an algorithm that is taken here.",
            Self::UnknownKey => "The token names no key that is known here for its algorithm.",
            Self::Signature => "The signature of the token does not hold.",
            Self::Issuer => "The token comes from another issuer.",
            Self::Audience => "The token is meant for another audience.",
            Self::Endless => "The token does not say when it ends.",
            Self::Ended => "The token has expired.",
            Self::Early => "The token is not valid yet.",
        }
    }
}

impl TokenRules {
    /// The claims of a token that holds at `now`.
    fn claims(&self, token: &[u8], now: Timestamp) -> Result<Value, Flaw> {
        let claims = self.signed(token)?;
        if claims.get("iss").and_then(Value::as_str) != Some(&*self.issuer) {
            return Err(Flaw::Issuer);
        }
        let ours = |named: &Value| self.audiences.iter().any(|one| named.as_str() == Some(one));
        let meant = match claims.get("aud") {
            Some(Value::Array(list)) => list.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        };
        if !meant {
            return Err(Flaw::Audience);
        }
        let now = now.as_unix_ms() as f64 / 1000.0;
        let leeway = self.leeway.as_secs_f64();
        match (time(&claims, "exp")?, time(&claims, "nbf")?) {
            (None, _) => Err(Flaw::Endless),
            (Some(end), _) if now >= end + leeway => Err(Flaw::Ended),
            (_, Some(begin)) if now + leeway < begin => Err(Flaw::Early),
            (_, _) => Ok(claims),
        }
    }

    /// The claims of a token whose signature holds. What else they say is not looked at.
    fn signed(&self, token: &[u8]) -> Result<Value, Flaw> {
        // An algorithm that is not known, `none` among them, is an error already here.
        let head = decode_header(token).map_err(|error| flaw(&error))?;
        // What is critical must be understood (RFC 7515 §4.1.11), and no extension is.
        if head.crit.is_some() {
            return Err(Flaw::Malformed);
        }
        let keys = self.keys.keys();
        let key = keys.find(head.kid.as_deref(), head.alg).ok_or_else(|| {
            if keys.serves(head.alg) { Flaw::UnknownKey } else { Flaw::Algorithm }
        })?;
        decode::<Value>(token, key, &signature_only(head.alg))
            .map(|token| token.claims)
            .map_err(|error| flaw(&error))
    }
}

/// The claims are judged here, by the store's clock and not by the machine's.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn flaw(error: &jsonwebtoken::errors::Error) -> Flaw {
    use jsonwebtoken::errors::ErrorKind as E;
    match error.kind() {
        E::InvalidSignature => Flaw::Signature,
        E::InvalidAlgorithm | E::InvalidAlgorithmName | E::MissingAlgorithm => Flaw::Algorithm,
        _ => Flaw::Malformed,
    }
}

/// A time in seconds, which may have a fraction (RFC 7519 §2, NumericDate).
fn time(claims: &Value, name: &str) -> Result<Option<f64>, Flaw> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds.is_finite() => Ok(Some(seconds)),
            _ => Err(Flaw::Malformed),
        },
    }
}

/// A claim as a principal.
#[derive(Debug)]
pub(crate) struct TokenClaim {
    name: String,
    claim: Claim,
    rules: Arc<TokenRules>,
}

impl TokenClaim {
    /// `claim` of the tokens that hold by `rules`.
    pub(crate) fn new(claim: Claim, rules: Arc<TokenRules>) -> Self {
        Self { name: format!("jwt:{claim}"), claim, rules }
    }

    /// Issuer, claim and value: the same subject of two issuers, or the same text in two claims, is not the
    /// same principal.
    fn bytes(&self, value: &str) -> Bytes {
        joined(["jwt", &self.rules.issuer, self.claim.pointer(), value].map(str::as_bytes))
    }
}

impl Verifier for TokenClaim {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, request: &Parts, now: Timestamp) -> Result<Bytes, Unverified> {
        let token = bearer(&request.headers)?;
        let claims = self.rules.claims(token, now).map_err(|flaw| {
            metrics::counter!("semel_unverified_total", "why" => flaw.name()).increment(1);
            // RFC 6750 §3.1.
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            Unverified::Refused { why: flaw.sentence().to_owned(), challenge }
        })?;
        match self.claim.of(&claims) {
            Some(value) => Ok(self.bytes(value)),
            None => Err(Unverified::Missing(format!(
                "The token holds, and its claim `{}` is no text that names anybody.",
                self.claim
            ))),
        }
    }

    fn header(&self) -> Option<HeaderName> {
        Some(header::AUTHORIZATION)
    }

    fn named(&self, principal: &str) -> Option<Bytes> {
        (!principal.is_empty()).then(|| self.bytes(principal))
    }
}
