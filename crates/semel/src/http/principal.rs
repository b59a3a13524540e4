//! Whose key a request bears.
//!
//! A stable principal (an account, a tenant) is better than a credential: a rotated token is a new
//! scope, and under a new scope a retry runs again. It must never make a principal of a credential
//! that differs from one attempt to the next.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use semel_core::key::Principal;
use semel_core::{Secret, Timestamp};

use super::catalogue::Code;
use super::problem::Problem;
use super::route::PrincipalSource;

/// Who sends the request, as the application knows after it has authenticated: an account or tenant,
/// best one that outlives a credential. Put among the request's extensions before the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StablePrincipal(pub Bytes);

/// The principal of a request.
///
/// # Errors
/// `scope-missing` or `scope-unstable`.
pub(super) fn principal(
    parts: &Parts,
    source: &PrincipalSource,
    secret: &Secret,
    now: Timestamp,
) -> Result<Principal, Box<Problem>> {
    match source {
        PrincipalSource::Verified(verified) => verified.principal(parts, now),
        PrincipalSource::None => Ok(Principal::none()),
        PrincipalSource::Authorization => {
            let credential = credential(one(&parts.headers, &header::AUTHORIZATION)?)?;
            Principal::of_credential(secret, &credential).map_err(|_| empty("authorization"))
        }
        PrincipalSource::Header(name) => {
            let value = one(&parts.headers, name)?.trim_ascii();
            Principal::named(value).map_err(|_| empty(name.as_str()))
        }
        PrincipalSource::Extension => {
            let stable = parts.extensions.get::<StablePrincipal>();
            let stable = stable.ok_or_else(|| missing("The application named no principal."))?;
            Principal::named(&stable.0).map_err(|_| missing("The application named an empty one."))
        }
    }
}

pub(super) fn missing(detail: impl Into<String>) -> Box<Problem> {
    Problem::request(Code::ScopeMissing, detail).into()
}

pub(super) fn empty(name: &str) -> Box<Problem> {
    missing(format!("The header `{name}` is empty."))
}

/// Two lines would name two callers, and which of them counts differs from server to server.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a [u8], Box<Problem>> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        (None, _) => Err(missing(format!("There is no header `{name}`."))),
        (Some(_), Some(_)) => Err(missing(format!("There is more than one header `{name}`."))),
    }
}

/// The bytes that stand for the caller. Scheme names do not differ by case (RFC 9110 §11.1).
///
/// Only the two schemes whose value is the same at each attempt. All others are refused, known ones
/// (AWS4-HMAC-SHA256, Digest, Hawk, Signature, OAuth 1.0 sign each request anew) and unknown ones: a
/// value that changed would be a new caller, and a second run. The value is never repeated in the
/// answer: it may be a bare secret.
fn credential(value: &[u8]) -> Result<Vec<u8>, Box<Problem>> {
    let value = value.trim_ascii();
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    let scheme = scheme.to_ascii_lowercase();
    if scheme != b"bearer" && scheme != b"basic" {
        return Err(Problem::request(Code::ScopeUnstable, "").into());
    }
    match rest.trim_ascii() {
        b"" => Err(missing("The header `authorization` names a scheme and no credential.")),
        token => Ok([&scheme, &b" "[..], token].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn of(source: &PrincipalSource, headers: &[(&str, &str)]) -> Result<Principal, Box<Problem>> {
        let mut builder = Request::builder();
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let parts = builder.body(()).unwrap().into_parts().0;
        principal(&parts, source, &Secret::new(&[7; 32]), Timestamp::ZERO)
    }

    fn authorized(value: &str) -> Result<Principal, Box<Problem>> {
        of(&PrincipalSource::Authorization, &[("authorization", value)])
    }

    #[test]
    fn a_caller_is_its_credential_whatever_the_case_of_the_scheme() {
        let caller = authorized("Bearer sk_1").unwrap();
        assert_eq!(authorized("bearer  sk_1").unwrap(), caller);
        for other in ["Bearer sk_2", "Bearer SK_1", "Basic sk_1"] {
            assert_ne!(authorized(other).unwrap(), caller, "{other}");
        }
    }

    #[test]
    fn a_scheme_that_signs_each_attempt_anew_makes_no_principal() {
        for value in [
            "AWS4-HMAC-SHA256 Credential=a, Signature=b",
            "Digest username=\"a\"",
            "Hawk id=\"a\"",
            "Signature keyId=\"a\"",
            "OAuth oauth_nonce=\"a\"",
            "sk_live_bare_secret",
        ] {
            let problem = authorized(value).unwrap_err();
            assert_eq!(problem.code, Code::ScopeUnstable, "{value}");
            let body = String::from_utf8(problem.to_json().to_vec()).unwrap();
            assert!(!body.contains(value), "the credential must not come back");
        }
    }

    #[test]
    fn no_credential_two_or_an_empty_one_make_no_principal() {
        for headers in [
            &[][..],
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &[("authorization", "Bearer ")],
            &[("authorization", "basic")],
        ] {
            let problem = of(&PrincipalSource::Authorization, headers).unwrap_err();
            assert_eq!(problem.code, Code::ScopeMissing, "{headers:?}");
        }
    }

    #[test]
    fn a_named_header_is_taken_as_it_is() {
        let source = PrincipalSource::Header(HeaderName::from_static("x-tenant"));
        assert_eq!(of(&source, &[("x-tenant", " acme ")]), Ok(Principal::named(b"acme").unwrap()));
        assert_eq!(of(&source, &[("x-tenant", " ")]).unwrap_err().code, Code::ScopeMissing);
        assert_eq!(of(&source, &[]).unwrap_err().detail, "There is no header `x-tenant`.");
    }

    #[test]
    fn the_application_names_whom_it_has_authenticated() {
        let (mut parts, ()) = Request::new(()).into_parts();
        let secret = Secret::new(&[7; 32]);
        let none = principal(&parts, &PrincipalSource::Extension, &secret, Timestamp::ZERO);
        assert_eq!(none.unwrap_err().code, Code::ScopeMissing);
        parts.extensions.insert(StablePrincipal(Bytes::from_static(b"acct_1")));
        let named = principal(&parts, &PrincipalSource::Extension, &secret, Timestamp::ZERO);
        assert_eq!(named, Ok(Principal::named(b"acct_1").unwrap()));
    }
}
