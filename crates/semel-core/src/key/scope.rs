//! Whose key it is: service and principal.
//!
//! Two callers may choose the same key, by accident or on purpose; the scope keeps their
//! operations apart. So a scope cannot be made without a [`Principal`], and "none" is a principal
//! that somebody has to ask for by name.

use std::fmt;

use crate::secret::Secret;

/// Written before the principal's bytes, so that no kind can spell another.
const NONE: u8 = 0;
const NAMED: u8 = 1;
const CREDENTIAL: u8 = 2;

/// Who sends the request, as far as keys are told apart by it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal(Vec<u8>);

/// Why there is no principal, and so no scope. Answered with 400 `scope-missing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The name or credential is empty: all who send none would share their keys.
    #[error("the principal is empty: send the credential or header that says who you are")]
    Empty,
}

impl Principal {
    /// A stable name of the caller, such as an account or tenant: best of all kinds.
    ///
    /// # Errors
    /// [`ScopeError::Empty`] for an empty name.
    pub fn named(name: &[u8]) -> Result<Self, ScopeError> {
        Self::tagged(NAMED, name, name)
    }

    /// The keyed hash of a credential that stays the same from one attempt to the next.
    ///
    /// # Errors
    /// [`ScopeError::Empty`] for an empty credential.
    pub fn of_credential(secret: &Secret, credential: &[u8]) -> Result<Self, ScopeError> {
        Self::tagged(CREDENTIAL, credential, &secret.principal(credential))
    }

    /// For a route that says `none`: all its callers share their keys. Equal to no other principal.
    #[must_use]
    pub fn none() -> Self {
        Self(vec![NONE])
    }

    /// True for [`Principal::none`].
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.first() == Some(&NONE)
    }

    fn tagged(tag: u8, given: &[u8], bytes: &[u8]) -> Result<Self, ScopeError> {
        if given.is_empty() {
            return Err(ScopeError::Empty);
        }
        Ok(Self([&[tag], bytes].concat()))
    }
}

impl fmt::Debug for Principal {
    /// Does not print the bytes: they may be a name, and names are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "Principal(none)" } else { "Principal(..)" })
    }
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    service: String,
    principal: Principal,
}

impl Scope {
    /// The scope of one principal within one service.
    #[must_use]
    pub fn new(service: &str, principal: Principal) -> Self {
        Self { service: service.to_owned(), principal }
    }

    /// The same principal within another service.
    #[must_use]
    pub fn within(&self, service: &str) -> Self {
        Self::new(service, self.principal.clone())
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The principal's bytes, the first of which tells its kind.
    #[must_use]
    pub fn principal(&self) -> &[u8] {
        &self.principal.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    #[test]
    fn an_empty_principal_is_none_of_the_kinds() {
        assert_eq!(Principal::named(b""), Err(ScopeError::Empty));
        assert_eq!(Principal::of_credential(&Secret::new(&[7; 32]), b""), Err(ScopeError::Empty));
    }

    #[test]
    fn no_kind_of_principal_can_spell_another() {
        let secret = Secret::new(&[7; 32]);
        let credential = Principal::of_credential(&secret, b"Bearer x").unwrap();
        let spelled = Principal::named(&secret.principal(b"Bearer x")).unwrap();
        assert_ne!(credential, spelled);
        for bytes in [&[NONE][..], b"none", b"\0\0"] {
            assert_ne!(Principal::named(bytes).unwrap(), Principal::none());
        }
    }

    #[test]
    fn service_principal_and_key_cannot_run_into_each_other() {
        let secret = Secret::new(&[7; 32]);
        let id = |service, principal: &str, key| {
            let principal = Principal::named(principal.as_bytes()).unwrap();
            secret.record_id(&Scope::new(service, principal), &Key::from_text(key).unwrap())
        };
        let ids = [id("ab", "c", "d"), id("a", "bc", "d"), id("a", "b", "cd"), id("ab", "cd", "d")];
        for (n, one) in ids.iter().enumerate() {
            assert!(ids.iter().skip(n + 1).all(|other| other != one));
        }
    }
}
