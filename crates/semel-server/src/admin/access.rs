//! Who may use the admin listener.
//!
//! A page in an operator's browser can send requests to loopback, and by a name that it controls
//! can even read the answers (DNS rebinding). So `Host` must be a loopback name or a literal
//! address, an `Origin` must be this listener itself, and whatever changes something must be JSON,
//! which a page cannot send elsewhere without being asked first (Fetch §4.8, CORS preflight).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method, StatusCode};
use tokio::time::Instant;

use super::guesses::{FAILURES_MAX, Guesses};
use super::tokens::{Role, Tokens};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why the admin listener does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AccessError {
    /// Open to others without a token.
    #[error(
        "--admin {addr} can be reached by others than this machine, and whoever reaches it can erase and resolve keys: use a loopback address, or set --admin-token-file"
    )]
    Open {
        /// The address.
        addr: SocketAddr,
    },
    /// The token's file.
    #[error("the admin token file {} could not be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A token that can be guessed.
    #[error(
        "the admin token in {} is shorter than {least} characters: it could be guessed; write a random one",
        path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// The least length.
        least: usize,
    },
    /// A line that names no operator.
    #[error("line {line} of the admin token file {}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which.
        line: usize,
        /// Why.
        why: String,
    },
    /// A client shows one token, and cannot choose.
    #[error(
        "the admin token file {} holds more than one word: give this command a file with its token alone",
        path.display()
    )]
    Several {
        /// The file.
        path: PathBuf,
    },
}

/// The rule of one admin listener; clones share its count of wrong tokens.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    tokens: Option<Tokens>,
    guesses: Arc<Guesses>,
}

/// Who asks: as the audit log names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// The name that the token has in the file; `local` where no token is needed.
    pub(crate) name: String,
    /// Where they come from.
    pub(crate) peer: IpAddr,
}

/// Why somebody is not served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: String,
    /// Seconds to wait.
    pub(super) after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, counted: &'static str, why: impl Into<String>) -> Self {
        metrics::counter!("semel_admin_refused_total", "why" => counted).increment(1);
        Self { status, why: why.into(), after: None }
    }
}

impl Access {
    /// For a listener on `addr`.
    ///
    /// # Errors
    /// When others than this machine could reach it without a token.
    pub(crate) fn new(addr: SocketAddr, file: Option<&Path>) -> Result<Self, AccessError> {
        let guesses = Arc::new(Guesses::default());
        match file {
            Some(file) => Ok(Self { tokens: Some(Tokens::read(file)?), guesses }),
            None if addr.ip().is_loopback() => Ok(Self { tokens: None, guesses }),
            None => Err(AccessError::Open { addr }),
        }
    }

    /// Who asks, where they may do what needs `role`; what needs none is open to all.
    pub(super) fn who(
        &self,
        parts: &Parts,
        peer: IpAddr,
        role: Option<Role>,
    ) -> Result<Who, Refusal> {
        let named = |name: &str| Who { name: name.to_owned(), peer };
        let Some(role) = role else { return Ok(named("anybody")) };
        let Some(tokens) = &self.tokens else { return Ok(named("local")) };
        if let Some(left) = self.guesses.wait(peer, Instant::now()) {
            let why =
                "Too many wrong tokens came from this address: none is looked at for a while.";
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "guessing", why);
            return Err(Refusal { after: Some(left.as_secs() + 1), ..refusal });
        }
        let Some(shown) = shown(parts) else {
            let why = "Show the admin token: Authorization: Bearer TOKEN.";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "no-token", why));
        };
        let Some((name, roles)) = tokens.find(shown) else {
            let failures = self.guesses.failed(peer, Instant::now());
            // A line for every one would let a guesser fill the log.
            if failures == 1 || failures == FAILURES_MAX {
                tracing::warn!(%peer, failures, "a wrong admin token was shown");
            }
            let why = "The admin token is wrong.";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "wrong-token", why));
        };
        if !roles.has(role) {
            let why = format!("It takes the role `{}`, which {name} does not have.", role.name());
            return Err(Refusal::new(StatusCode::FORBIDDEN, "role", why));
        }
        Ok(named(name))
    }
}

/// Refuses what a web page could have sent.
pub(super) fn of_no_page(parts: &Parts) -> Result<(), Refusal> {
    if !of_this_place(parts) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "page",
            "The request comes from a web page, or by a name that is not this machine's.",
        ));
    }
    let json = parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if parts.method != Method::GET && parts.method != Method::HEAD && !json {
        let why = "Send it as application/json.";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", why));
    }
    Ok(())
}

fn shown(parts: &Parts) -> Option<&[u8]> {
    parts.headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")
}

fn of_this_place(parts: &Parts) -> bool {
    let Some(host) = parts.headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    let here = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    let from_here = match parts.headers.get(ORIGIN) {
        None => true,
        Some(origin) => {
            let origin = origin.to_str().unwrap_or_default();
            origin.strip_prefix("http://").is_some_and(|origin| origin == host)
        }
    };
    let site = parts.headers.get(SEC_FETCH_SITE).map(http::HeaderValue::as_bytes);
    let sent_by_page = site.is_some_and(|site| site != b"same-origin" && site != b"none");
    here && from_here && !sent_by_page
}

#[cfg(test)]
mod tests {
    use std::fs;

    use http::Request;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const LOCAL: SocketAddr = SocketAddr::new(PEER, 8081);

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn paged(request: http::request::Builder) -> u16 {
        of_no_page(&parts(request)).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn pages_and_foreign_names_are_refused() {
        let get = |host: &str| Request::get("/v1/keys").header("host", host);
        assert_eq!(paged(get("127.0.0.1:8081")), 200);
        assert_eq!(paged(get("[::1]:8081")), 200);
        assert_eq!(paged(get("localhost:8081")), 200);
        assert_eq!(paged(get("evil.test:8081")), 403);
        let origin = |origin: &str| get("localhost:8081").header("origin", origin);
        assert_eq!(paged(origin("http://localhost:8081")), 200);
        assert_eq!(paged(origin("https://evil.test")), 403);
        assert_eq!(paged(origin("null")), 403);
        assert_eq!(paged(get("localhost").header("sec-fetch-site", "cross-site")), 403);
    }

    #[test]
    fn a_form_changes_nothing() {
        let post = |media: &str| {
            Request::post("/v1/keys/a/void")
                .header("host", "localhost")
                .header("content-type", media)
        };
        assert_eq!(paged(post("application/json")), 200);
        assert_eq!(paged(post("application/x-www-form-urlencoded")), 415);
        assert_eq!(paged(post("text/plain")), 415);
    }

    fn access(tokens: &str) -> Access {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), tokens).unwrap();
        Access::new(SocketAddr::from(([0, 0, 0, 0], 8081)), Some(file.path())).unwrap()
    }

    fn who(access: &Access, token: &str, role: Role) -> Result<String, u16> {
        let request = Request::get("/v1/keys").header("authorization", format!("Bearer {token}"));
        let who = access.who(&parts(request), PEER, Some(role));
        who.map(|who| who.name).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn an_address_of_others_needs_a_token_and_a_token_must_be_shown() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8081));
        assert!(matches!(Access::new(everywhere, None), Err(AccessError::Open { .. })));
        let access = access("0123456789abcdef\n");
        assert_eq!(who(&access, "0123456789abcdef", Role::Purge), Ok("operator".to_owned()));
        assert_eq!(who(&access, "0123456789abcdeX", Role::Metadata), Err(401));
        assert_eq!(who(&access, "0123456789abcde", Role::Metadata), Err(401));
        let none = parts(Request::get("/metrics"));
        assert_eq!(access.who(&none, PEER, Some(Role::Metadata)).unwrap_err().status, 401);
        assert!(access.who(&none, PEER, None).is_ok(), "health is open");
        let open = Access::new(LOCAL, None).unwrap();
        assert_eq!(open.who(&none, PEER, Some(Role::Purge)).unwrap().name, "local");
    }

    #[test]
    fn a_token_does_what_its_roles_say() {
        let access = access("metadata watcher 0123456789abcdef\nresolve fixer fedcba9876543210\n");
        assert_eq!(who(&access, "0123456789abcdef", Role::Metadata), Ok("watcher".to_owned()));
        assert_eq!(who(&access, "0123456789abcdef", Role::Resolve), Err(403));
        assert_eq!(who(&access, "fedcba9876543210", Role::Resolve), Ok("fixer".to_owned()));
        assert_eq!(who(&access, "fedcba9876543210", Role::Purge), Err(403));
    }

    #[test]
    fn who_guesses_is_not_listened_to() {
        let access = access("0123456789abcdef\n");
        for _ in 0..FAILURES_MAX {
            assert_eq!(who(&access, "0123456789abcdeX", Role::Metadata), Err(401));
        }
        assert_eq!(who(&access, "0123456789abcdef", Role::Metadata), Err(429), "not even then");
        let request = parts(Request::get("/").header("authorization", "Bearer 0123456789abcdef"));
        let other = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));
        assert!(access.who(&request, other, Some(Role::Metadata)).is_ok(), "from elsewhere");
    }
}
