//! A principal that something verifies: a token's claim, a certificate's name.
//!
//! The layer asks a [`Verifier`] at the same place where it would read a header, so that requests,
//! inquiries, voids, acknowledgements and observation all come to the same principal, and what is not
//! verified is refused before the store. It must never fall back to something weaker: a request whose
//! token does not hold has no principal at all.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use semel_core::Timestamp;
use semel_core::key::Principal;

use super::catalogue::Code;
use super::principal::{empty, missing, one};
use super::problem::Problem;

/// Reads whose key a request bears from what it can verify.
pub trait Verifier: fmt::Debug + Send + Sync {
    /// What it goes by, as it is configured and published: `jwt:sub`.
    fn name(&self) -> &str;

    /// The bytes that stand for the principal, the same for every credential of one principal. `now`:
    /// the present time, by the store.
    ///
    /// # Errors
    /// [`Unverified`]; nothing runs then.
    fn verify(&self, request: &Parts, now: Timestamp) -> Result<Bytes, Unverified>;

    /// The header that the credential travels in, where it is one: browsers must be allowed to send it.
    fn header(&self) -> Option<HeaderName> {
        None
    }

    /// The same bytes for a principal whom an operator names; `None` where the text names nobody.
    fn named(&self, principal: &str) -> Option<Bytes>;
}

/// Why there is no principal. The sentences go to the caller: never a credential, nor a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// Nothing was shown, or what holds names nobody: 400 `scope-missing`.
    Missing(String),
    /// What was shown does not hold: 401 `scope-unverified`.
    Refused {
        /// Why, in a sentence.
        why: String,
        /// What would be taken (`WWW-Authenticate`, RFC 9110 §11.6.1).
        challenge: HeaderValue,
    },
}

/// A [`Verifier`] as a route's rule. Two are equal when they go by the same.
#[derive(Clone, Debug)]
pub struct Verified(Arc<dyn Verifier>);

impl Verified {
    /// By this one.
    #[must_use]
    pub fn by(verifier: impl Verifier + 'static) -> Self {
        Self(Arc::new(verifier))
    }

    /// What it goes by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The header that the credential travels in, where it is one.
    #[must_use]
    pub fn header(&self) -> Option<HeaderName> {
        self.0.header()
    }

    /// The principal whom an operator names.
    pub(super) fn named(&self, principal: Option<&HeaderValue>) -> Result<Principal, Box<Problem>> {
        let text = principal.ok_or_else(|| missing("No principal was named."))?;
        let bytes = str::from_utf8(text.as_bytes()).ok().and_then(|text| self.0.named(text.trim()));
        let bytes = bytes.ok_or_else(|| missing("The name is no principal's here."))?;
        Principal::named(&bytes).map_err(|_| empty(self.name()))
    }

    pub(super) fn principal(
        &self,
        request: &Parts,
        now: Timestamp,
    ) -> Result<Principal, Box<Problem>> {
        let bytes = self.0.verify(request, now).map_err(|unverified| match unverified {
            Unverified::Missing(why) => missing(why),
            Unverified::Refused { why, challenge } => {
                let mut problem = Problem::request(Code::ScopeUnverified, why);
                problem.challenge = Some(challenge);
                problem.into()
            }
        })?;
        Principal::named(&bytes).map_err(|_| missing("What was verified names nobody."))
    }
}

impl PartialEq for Verified {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Verified {}

/// The one Bearer token of a request (RFC 6750 §2.1).
///
/// # Errors
/// [`Unverified::Missing`] where there is none, more than one, or another scheme.
pub fn bearer(headers: &HeaderMap) -> Result<&[u8], Unverified> {
    let value = one(headers, &header::AUTHORIZATION)
        .map_err(|problem| Unverified::Missing(problem.detail))?
        .trim_ascii();
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    let token = token.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"bearer") || token.is_empty() {
        let why = "The header `authorization` holds no Bearer token.";
        return Err(Unverified::Missing(why.to_owned()));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    /// Takes the token `good`, whose principal is `alice`.
    #[derive(Debug)]
    struct Good;

    impl Verifier for Good {
        fn name(&self) -> &'static str {
            "good"
        }

        fn verify(&self, request: &Parts, _: Timestamp) -> Result<Bytes, Unverified> {
            match bearer(&request.headers)? {
                b"good" => Ok(Bytes::from_static(b"alice")),
                b"nobody" => Ok(Bytes::new()),
                _ => Err(Unverified::Refused {
                    why: "The token does not hold.".to_owned(),
                    challenge: HeaderValue::from_static("Bearer"),
                }),
            }
        }

        fn named(&self, principal: &str) -> Option<Bytes> {
            (principal == "alice").then(|| Bytes::from_static(b"alice"))
        }
    }

    fn of(lines: &[&str]) -> Result<Principal, Box<Problem>> {
        let mut request = Request::builder();
        for line in lines {
            request = request.header("authorization", *line);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        Verified::by(Good).principal(&parts, Timestamp::ZERO)
    }

    #[test]
    fn who_is_verified_has_the_principal_that_an_operator_names() {
        let alice = of(&["Bearer good"]).unwrap();
        assert_eq!(of(&["bearer   good "]), Ok(alice.clone()));
        let verified = Verified::by(Good);
        let named = |name: &'static str| verified.named(Some(&HeaderValue::from_static(name)));
        assert_eq!(named("alice"), Ok(alice));
        assert_eq!(named("bob").unwrap_err().code, Code::ScopeMissing);
        assert_eq!(verified.named(None).unwrap_err().code, Code::ScopeMissing);
    }

    #[test]
    fn what_does_not_hold_is_refused_and_what_is_not_there_is_missing() {
        let forged = of(&["Bearer forged"]).unwrap_err();
        assert_eq!(forged.code, Code::ScopeUnverified);
        let response = forged.into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        for lines in [
            &[][..],
            &["Bearer good", "Bearer good"],
            &["Basic good"],
            &["good"],
            &["Bearer"],
            &["Bearer nobody"],
        ] {
            assert_eq!(of(lines).unwrap_err().code, Code::ScopeMissing, "{lines:?}");
        }
    }
}
