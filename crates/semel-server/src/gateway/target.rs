//! Where requests go: one upstream, fixed at start. No request chooses its own (that would make the
//! gateway a way into the network behind it).

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

/// The upstream's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: Scheme,
    authority: Authority,
    /// Put before each request's path; no trailing slash, empty for none.
    base: String,
}

/// Why an address is no upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TargetError {
    /// Not a URL at all.
    #[error("`{given}` is not a URL; write the upstream as http://HOST:PORT")]
    NotUrl {
        /// As given.
        given: String,
    },
    /// No `http://` before it.
    #[error("`{given}` names no protocol; did you mean `http://{given}`?")]
    NoScheme {
        /// As given.
        given: String,
    },
    /// A protocol that is not spoken here.
    #[error("`{scheme}` is not spoken to upstreams; use http:// or https://")]
    Scheme {
        /// As given.
        scheme: String,
    },
    /// A name and password in the URL.
    #[error(
        "the upstream's URL holds credentials; they would show in process lists, so they are not taken from there"
    )]
    Credentials,
    /// A query or fragment.
    #[error("the upstream's URL ends in a query; each request brings its own, so leave it out")]
    Query,
}

impl Target {
    /// Reads `http://host[:port][/base]` or the same with `https`.
    pub(crate) fn parse(given: &str) -> Result<Self, TargetError> {
        let not_url = || TargetError::NotUrl { given: given.to_owned() };
        if !given.contains("://") {
            let scheme_less = format!("http://{given}").parse::<Uri>();
            return Err(if scheme_less.is_ok() {
                TargetError::NoScheme { given: given.to_owned() }
            } else {
                not_url()
            });
        }
        let uri: Uri = given.parse().map_err(|_| not_url())?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(not_url());
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(TargetError::Scheme { scheme: scheme.to_string() });
        }
        if authority.as_str().contains('@') {
            return Err(TargetError::Credentials);
        }
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path.query().is_some() || given.contains('#') {
            return Err(TargetError::Query);
        }
        let base = path.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, authority, base })
    }

    /// The address of one request, whatever authority the request itself named.
    pub(crate) fn uri(&self, asked: &Uri) -> Result<Uri, http::Error> {
        let asked = asked.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = match (self.base.is_empty(), asked) {
            (true, asked) => PathAndQuery::try_from(asked)?,
            (false, "*") => PathAndQuery::try_from(self.base.as_str())?,
            (false, asked) => PathAndQuery::try_from(format!("{}{asked}", self.base))?,
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }

    /// Whether it is spoken to under TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// What `Host` says where the upstream wants its own name.
    pub(crate) fn host(&self) -> Result<HeaderValue, http::Error> {
        Ok(HeaderValue::from_str(self.authority.as_str())?)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_put_before_each_path_and_the_authority_is_fixed() {
        let plain = Target::parse("http://api:9000").unwrap();
        let based = Target::parse("https://api/v2/").unwrap();
        let asked: Uri = "http://elsewhere/charges?x=1".parse().unwrap();
        assert_eq!(plain.uri(&asked).unwrap(), "http://api:9000/charges?x=1");
        assert_eq!(based.uri(&asked).unwrap(), "https://api/v2/charges?x=1");
        assert_eq!(based.to_string(), "https://api/v2");
    }

    #[test]
    fn a_wrong_address_is_told_what_is_wrong() {
        let no_scheme = Target::parse("localhost:9000").unwrap_err();
        assert!(no_scheme.to_string().contains("did you mean `http://localhost:9000`?"));
        assert!(matches!(Target::parse("ftp://a"), Err(TargetError::Scheme { .. })));
        assert!(matches!(Target::parse("http://u:p@a"), Err(TargetError::Credentials)));
        assert!(matches!(Target::parse("http://a/?q"), Err(TargetError::Query)));
        assert!(matches!(Target::parse("no such thing"), Err(TargetError::NotUrl { .. })));
    }
}
