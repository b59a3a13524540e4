//! Who may use the admin listener.
//!
//! A page in an operator's browser can send requests to loopback, and by a name that it controls
//! can even read the answers (DNS rebinding). So `Host` must be a loopback name or a literal
//! address, an `Origin` must be this listener itself, and whatever changes something must be JSON,
//! which a page cannot send elsewhere without being asked first (Fetch §4.8, CORS preflight).

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method, StatusCode};

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
}

/// Shorter tokens could be guessed.
const TOKEN_MIN: usize = 16;

/// The rule of one admin listener.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    token: Option<Token>,
}

#[derive(Clone)]
struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The token in a file, without the white space around it.
///
/// # Errors
/// When the file cannot be read or holds too short a token.
pub(crate) fn token(path: &Path) -> Result<Vec<u8>, AccessError> {
    let text =
        fs::read(path).map_err(|source| AccessError::File { path: path.to_owned(), source })?;
    let token = text.trim_ascii().to_vec();
    if token.len() < TOKEN_MIN {
        return Err(AccessError::Short { path: path.to_owned(), least: TOKEN_MIN });
    }
    Ok(token)
}

impl Access {
    /// For a listener on `addr`.
    ///
    /// # Errors
    /// When others than this machine could reach it without a token.
    pub(crate) fn new(addr: SocketAddr, file: Option<&Path>) -> Result<Self, AccessError> {
        match file {
            Some(file) => Ok(Self { token: Some(Token(token(file)?)) }),
            None if addr.ip().is_loopback() => Ok(Self { token: None }),
            None => Err(AccessError::Open { addr }),
        }
    }

    /// Refuses a request that nobody here has sent. `open` needs no token (health).
    pub(crate) fn check(
        &self,
        parts: &Parts,
        open: bool,
    ) -> Result<(), (StatusCode, &'static str)> {
        if !of_this_place(parts) {
            return Err((
                StatusCode::FORBIDDEN,
                "The request comes from a web page, or by a name that is not this machine's.",
            ));
        }
        let json = parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
            value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"application/json")
        });
        if parts.method != Method::GET && parts.method != Method::HEAD && !json {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send it as application/json."));
        }
        match &self.token {
            Some(token) if !open && !shown(parts).is_some_and(|shown| same(shown, &token.0)) => {
                Err((
                    StatusCode::UNAUTHORIZED,
                    "Show the admin token: Authorization: Bearer TOKEN.",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn shown(parts: &Parts) -> Option<&[u8]> {
    parts.headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")
}

/// Takes the same time wherever the first difference lies.
fn same(shown: &[u8], token: &[u8]) -> bool {
    let differing = shown.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b));
    shown.len() == token.len() && differing == 0
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
    use http::Request;

    use super::*;

    const LOCAL: SocketAddr =
        SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1)), 8081);

    fn status(access: &Access, request: http::request::Builder) -> u16 {
        let parts = request.body(()).unwrap().into_parts().0;
        access.check(&parts, false).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn pages_and_foreign_names_are_refused() {
        let access = Access::new(LOCAL, None).unwrap();
        let get = |host: &str| Request::get("/v1/keys").header("host", host);
        assert_eq!(status(&access, get("127.0.0.1:8081")), 200);
        assert_eq!(status(&access, get("[::1]:8081")), 200);
        assert_eq!(status(&access, get("localhost:8081")), 200);
        assert_eq!(status(&access, get("evil.test:8081")), 403);
        let origin = |origin: &str| get("localhost:8081").header("origin", origin);
        assert_eq!(status(&access, origin("http://localhost:8081")), 200);
        assert_eq!(status(&access, origin("https://evil.test")), 403);
        assert_eq!(status(&access, origin("null")), 403);
        assert_eq!(status(&access, get("localhost").header("sec-fetch-site", "cross-site")), 403);
    }

    #[test]
    fn a_form_changes_nothing() {
        let access = Access::new(LOCAL, None).unwrap();
        let post = |media: &str| {
            Request::post("/v1/keys/a/void")
                .header("host", "localhost")
                .header("content-type", media)
        };
        assert_eq!(status(&access, post("application/json")), 200);
        assert_eq!(status(&access, post("application/x-www-form-urlencoded")), 415);
        assert_eq!(status(&access, post("text/plain")), 415);
    }

    #[test]
    fn an_address_of_others_needs_a_token_and_a_token_must_be_shown() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8081));
        assert!(matches!(Access::new(everywhere, None), Err(AccessError::Open { .. })));
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "short").unwrap();
        assert!(matches!(
            Access::new(everywhere, Some(file.path())),
            Err(AccessError::Short { .. })
        ));
        fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let access = Access::new(everywhere, Some(file.path())).unwrap();
        let get = |token: &str| {
            Request::get("/v1/keys").header("host", "10.0.0.7").header("authorization", token)
        };
        assert_eq!(status(&access, get("Bearer 0123456789abcdef")), 200);
        assert_eq!(status(&access, get("Bearer 0123456789abcdeX")), 401);
        assert_eq!(status(&access, get("Bearer 0123456789abcde")), 401);
        let open = get("").body(()).unwrap().into_parts().0;
        assert!(access.check(&open, true).is_ok(), "health is open");
    }
}
