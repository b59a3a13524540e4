//! Where requests go: one upstream, fixed at start. No request chooses its own (that would make the
//! gateway a way into the network behind it).

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// `http://`: HTTP/1.1.
    Http1,
    /// `h2c://`: HTTP/2 without TLS, by prior knowledge (RFC 9113 §3.3).
    Http2,
    /// `https://`: HTTP/2 or HTTP/1.1, as the upstream chooses by ALPN.
    Tls,
}

/// The upstream's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    spoken: Spoken,
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
    #[error(
        "`{scheme}` is not spoken to upstreams; use http://, https:// or h2c:// (HTTP/2 without TLS)"
    )]
    Scheme {
        /// As given.
        scheme: String,
    },
    /// A name and password in the URL.
    #[error(
        "the upstream's URL holds credentials; they would show in process lists, so they are not taken from there"
    )]
    Credentials,
    /// A name that no certificate can bear.
    #[error("`{host}` is no name that a certificate can bear, so nothing could be trusted there")]
    Name {
        /// As given.
        host: String,
    },
    /// A query or fragment.
    #[error("the upstream's URL ends in a query; each request brings its own, so leave it out")]
    Query,
}

impl Target {
    /// Reads `http://host[:port][/base]`, or the same with `https` or `h2c`.
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
        let spoken = match scheme.as_str() {
            "http" => Spoken::Http1,
            "https" => Spoken::Tls,
            "h2c" => Spoken::Http2,
            _ => return Err(TargetError::Scheme { scheme: scheme.to_string() }),
        };
        if authority.as_str().contains('@') {
            return Err(TargetError::Credentials);
        }
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path.query().is_some() || given.contains('#') {
            return Err(TargetError::Query);
        }
        if spoken == Spoken::Tls
            && ServerName::try_from(authority.host().trim_matches(['[', ']'])).is_err()
        {
            return Err(TargetError::Name { host: authority.host().to_owned() });
        }
        let base = path.path().trim_end_matches('/').to_owned();
        Ok(Self { spoken, authority, base })
    }

    /// The path of one request, behind the upstream's own.
    pub(crate) fn path(&self, asked: &Uri) -> Result<Uri, http::Error> {
        let asked = asked.path_and_query();
        if self.base.is_empty() {
            return Ok(asked.cloned().map_or_else(|| Uri::from_static("/"), Uri::from));
        }
        let path = match asked.map_or("/", PathAndQuery::as_str) {
            "*" => self.base.clone(),
            asked => format!("{}{asked}", self.base),
        };
        Ok(Uri::from(PathAndQuery::try_from(path)?))
    }

    /// What is spoken to it.
    pub(crate) const fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// The scheme that its requests have.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.spoken == Spoken::Tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The host to look up, and the port.
    pub(crate) fn address(&self) -> (String, u16) {
        let host = self.authority.host();
        // An IPv6 address stands in brackets in a URL, and nowhere else.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = if self.spoken == Spoken::Tls { 443 } else { 80 };
        (host.to_owned(), self.authority.port_u16().unwrap_or(port))
    }

    /// The name that its certificate must bear, where it has one.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        if self.spoken != Spoken::Tls {
            return None;
        }
        ServerName::try_from(self.address().0).ok()
    }

    /// What `Host` says where the upstream wants its own name.
    pub(crate) fn host(&self) -> Result<HeaderValue, http::Error> {
        Ok(HeaderValue::from_str(self.authority.as_str())?)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.spoken {
            Spoken::Http1 => "http",
            Spoken::Http2 => "h2c",
            Spoken::Tls => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority, self.base)
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
        assert_eq!(plain.path(&asked).unwrap(), "/charges?x=1");
        assert_eq!(based.path(&asked).unwrap(), "/v2/charges?x=1");
        assert_eq!(based.to_string(), "https://api/v2");
    }

    #[test]
    fn an_address_is_found_in_each_kind_of_url() {
        for (url, spoken, host, port) in [
            ("http://api", Spoken::Http1, "api", 80),
            ("https://api", Spoken::Tls, "api", 443),
            ("h2c://[::1]:50051", Spoken::Http2, "::1", 50051),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.spoken(), spoken);
            assert_eq!(target.address(), (host.to_owned(), port));
            assert_eq!(target.to_string(), url);
        }
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
