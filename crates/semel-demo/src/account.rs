//! Who calls: the credential names the account, and accounts never see each other's charges.

use std::fmt;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::error::ApiError;

/// The principal of a request: its `Authorization` value, with `Stripe-Account` beside it when a
/// platform acts for a connected account.
///
/// A sample has no sign-up: any `Bearer` or `Basic` credential (RFC 6750, RFC 7617) opens the
/// account of that name. One secret sent under both schemes opens two accounts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    credential: String,
    connected: Option<String>,
}

impl Account {
    /// The account that `Authorization: Bearer <secret>` opens.
    #[must_use]
    pub fn bearer(secret: &str) -> Self {
        Self { credential: format!("bearer {secret}"), connected: None }
    }

    fn read(parts: &Parts) -> Result<Self, ApiError> {
        let value = parts.headers.get(AUTHORIZATION).ok_or(ApiError::CredentialMissing)?;
        let value = value.to_str().map_err(|_| ApiError::CredentialInvalid)?;
        let (scheme, secret) = value.split_once(' ').ok_or(ApiError::CredentialInvalid)?;
        let (scheme, secret) = (scheme.to_ascii_lowercase(), secret.trim());
        if !matches!(scheme.as_str(), "bearer" | "basic") || secret.is_empty() {
            return Err(ApiError::CredentialInvalid);
        }
        let connected = parts.headers.get("stripe-account");
        let connected = connected.and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Self { credential: format!("{scheme} {secret}"), connected })
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The credential is a secret, also in a sample's logs.
        f.debug_struct("Account").field("connected", &self.connected).finish_non_exhaustive()
    }
}

/// The account of the request in hand.
pub(crate) struct Caller(pub(crate) Account);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Account::read(parts).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<Account, ApiError> {
        let mut request = http::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Account::read(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_credential_and_the_connected_account_separate_accounts() {
        let one = read(&[("authorization", "Bearer sk_1")]).unwrap();
        assert_eq!(one, Account::bearer("sk_1"));
        assert_eq!(one, read(&[("authorization", "bearer  sk_1 ")]).unwrap());
        assert_ne!(one, read(&[("authorization", "Bearer sk_2")]).unwrap());
        assert_ne!(one, read(&[("authorization", "Basic sk_1")]).unwrap());
        let platform = [("authorization", "Bearer sk_1"), ("stripe-account", "acct_7")];
        assert_ne!(one, read(&platform).unwrap());
    }

    #[test]
    fn no_credential_and_a_bad_one_are_told_apart() {
        assert!(matches!(read(&[]), Err(ApiError::CredentialMissing)));
        for bad in ["Bearer", "Bearer ", "Digest abc", "sk_1"] {
            let got = read(&[("authorization", bad)]);
            assert!(matches!(got, Err(ApiError::CredentialInvalid)), "{bad}: {got:?}");
        }
    }

    #[test]
    fn a_printed_account_shows_no_secret() {
        assert!(!format!("{:?}", Account::bearer("sk_live_secret")).contains("secret"));
    }
}
