//! What a request asks for, put into one form: the host in `Host`, the rest as path and query.
//!
//! HTTP/1.1 has three forms of a target and HTTP/2 has pseudo-headers. Two spellings of one target must be
//! one request to the fingerprint and to the upstream, and one that can be read in two ways is refused.

use http::header::{COOKIE, HOST};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Method, Request, Version};

/// Puts a request into that form.
///
/// # Errors
/// Why it cannot be read in one way only.
pub(super) fn settle<B>(request: &mut Request<B>) -> Result<(), &'static str> {
    let http_2 = request.version() == Version::HTTP_2;
    let uri = request.uri();
    if let Some(authority) = uri.authority() {
        let named = authority_of(uri, authority)?;
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let path = Uri::from(path);
        let said = request.headers().get(HOST);
        // RFC 9113 §8.3.1. In HTTP/1.1 the target counts, whatever `Host` says (RFC 9112 §3.2.2).
        if http_2
            && said.is_some_and(|said| !said.as_bytes().eq_ignore_ascii_case(named.as_bytes()))
        {
            return Err("The request names two hosts, one as :authority and another as Host.");
        }
        request.headers_mut().insert(HOST, named);
        *request.uri_mut() = path;
    } else if request.headers().get(HOST).is_some_and(|said| !is_host(said.as_bytes())) {
        return Err("The Host of the request is no host, or none with a port.");
    }
    // RFC 9112 §3.2.4.
    if request.uri().path() == "*" && *request.method() != Method::OPTIONS {
        return Err("Only OPTIONS asks about the server as a whole, by the target `*`.");
    }
    if http_2 {
        join_cookies(request.headers_mut());
    }
    Ok(())
}

/// The host that an absolute target names.
fn authority_of(uri: &Uri, authority: &Authority) -> Result<HeaderValue, &'static str> {
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err("The target of the request is of a scheme that is not served here."),
        // Only CONNECT has a host for a target (RFC 9112 §3.2.3).
        None => return Err("The target of the request is no path; it begins with a slash."),
    }
    if !is_host(authority.as_str().as_bytes()) {
        return Err("The target of the request names no host, or one with credentials.");
    }
    HeaderValue::from_str(authority.as_str())
        .map_err(|_| "The target of the request names no host.")
}

/// RFC 9110 §7.2 and RFC 3986 §3.2.2: a name or an address, and perhaps a port. An empty host is none of
/// `http` (RFC 9110 §4.2.1). A comma, which a name may have by the letter, is how two `Host` lines look that
/// somebody joined.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (address, rest) = rest.split_at(end);
            let right = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            if !address.iter().all(right) {
                return false;
            }
            (address, rest.get(1..).unwrap_or_default())
        }
        _ => {
            let end = value.iter().position(|byte| *byte == b':').unwrap_or(value.len());
            let (name, rest) = value.split_at(end);
            let right =
                |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte);
            if !name.iter().all(right) {
                return false;
            }
            (name, rest)
        }
    };
    let port = match port {
        [] => port,
        [b':', digits @ ..] => digits,
        _ => return false,
    };
    !host.is_empty() && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// HTTP/2 may split what is one line elsewhere (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (all.next(), all.next()) {
        let mut line = first.as_bytes().to_vec();
        for cookie in [second].into_iter().chain(all) {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(cookie.as_bytes());
        }
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            headers.insert(COOKIE, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(request: http::request::Builder) -> Result<Request<()>, &'static str> {
        let mut request = request.body(()).unwrap();
        settle(&mut request).map(|()| request)
    }

    #[test]
    fn every_spelling_of_a_target_comes_to_one() {
        let origin = Request::get("/a?b").header("host", "shop.test");
        let absolute = Request::get("http://shop.test/a?b").header("host", "other");
        let pseudo = Request::get("https://shop.test/a?b").version(Version::HTTP_2);
        for request in [origin, absolute, pseudo] {
            let request = settled(request).unwrap();
            assert_eq!(request.uri(), "/a?b");
            assert_eq!(request.headers()["host"], "shop.test");
        }
        let bare = settled(Request::get("http://shop.test")).unwrap();
        assert_eq!(bare.uri(), "/");
        assert!(settled(Request::options("*").header("host", "a")).is_ok());
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let http_2 = |target| Request::get(target).version(Version::HTTP_2);
        for request in [
            Request::get("shop.test:80").header("host", "shop.test"),
            Request::get("*").header("host", "shop.test"),
            Request::get("ftp://shop.test/").header("host", "shop.test"),
            Request::get("http://me@shop.test/").header("host", "shop.test"),
            http_2("https://me@shop.test/"),
            http_2("https://shop.test/").header("host", "other.test"),
        ] {
            let shown = format!("{request:?}");
            assert!(settled(request).is_err(), "{shown}");
        }
        assert!(settled(http_2("https://shop.test/").header("host", "SHOP.test")).is_ok());
    }

    #[test]
    fn hosts_are_told_from_what_is_none() {
        for right in ["a", "a.b:80", "[::1]", "[::1]:8080", "1.2.3.4:", "a_b", "xn--a"] {
            assert!(is_host(right.as_bytes()), "{right}");
        }
        let long = "a:123456";
        for wrong in
            ["", ":80", "a b", "a,b", "a/b", "me@a", "a:b", "a:1:2", "[::1", "[::1]x", "[]", long]
        {
            assert!(!is_host(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn cookies_are_one_line() {
        let split = Request::get("https://a/").version(Version::HTTP_2);
        let split = split.header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3");
        let request = settled(split).unwrap();
        let all: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
        assert_eq!(all, ["a=1; b=2; c=3"]);
    }
}
