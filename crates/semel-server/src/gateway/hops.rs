//! Headers that mean one connection only, and those that a proxy adds.
//!
//! RFC 9110 §7.6.1 (what is removed), §7.6.3 (`Via`), RFC 7239 (`Forwarded`). What a caller names in
//! `Connection` is removed *before* Semel adds its own headers, so that no caller can have them
//! removed.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, Entry, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::peer::Peer;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is done with `X-Forwarded-*` and `Forwarded` of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Forwarding {
    /// Adds this hop to what stands there: for a gateway behind another proxy.
    #[default]
    Append,
    /// Drops what the caller says and begins anew: for a gateway that faces the open net.
    Replace,
    /// Adds nothing and drops nothing.
    Off,
}

/// Removes all that is meant for this connection only, and returns the protocol that the sender
/// wants to change to, if any.
pub(crate) fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    let upgrade = named.contains(&UPGRADE).then(|| headers.get(UPGRADE).cloned()).flatten();
    // Within HTTP/2 the caller could send further requests that nobody here would see.
    let upgrade = upgrade.filter(|to| !to.as_bytes().to_ascii_lowercase().starts_with(b"h2c"));
    for name in named {
        // Where a message goes and where it ends is no option of the connection: removed, the two
        // sides would disagree about it.
        if name != HOST && name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        // Mostly absent: a look at the few names there are is cheaper than hashing each of these.
        if headers.keys().any(|there| *there == name) {
            headers.remove(name);
        }
    }
    upgrade
}

/// Whether the sender of these headers reads trailers. Asked before [`strip`].
pub(crate) fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Says on the request that it came through here.
pub(crate) fn announce(
    headers: &mut HeaderMap,
    peer: Option<&Peer>,
    version: Version,
    forwarding: Forwarding,
) {
    let hop = match version {
        Version::HTTP_10 => "1.0 semel",
        Version::HTTP_2 => "2.0 semel",
        _ => "1.1 semel",
    };
    append(headers, VIA, hop);
    let Some(peer) = peer else { return };
    match forwarding {
        Forwarding::Off => return,
        Forwarding::Append => {}
        Forwarding::Replace => {
            for name in [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, FORWARDED] {
                headers.remove(name);
            }
        }
    }
    let (ip, proto) = (peer.addr.ip().to_canonical(), if peer.secure { "https" } else { "http" });
    let host = headers.get(HOST).cloned();
    if headers.contains_key(FORWARDED) {
        append(headers, FORWARDED, &forwarded_element(ip, host.as_ref(), proto));
    }
    append(headers, X_FORWARDED_FOR, &ip.to_string());
    if let Entry::Vacant(entry) = headers.entry(X_FORWARDED_PROTO) {
        entry.insert(HeaderValue::from_static(proto));
    }
    if let (Entry::Vacant(entry), Some(host)) = (headers.entry(X_FORWARDED_HOST), host) {
        entry.insert(host);
    }
}

/// RFC 7239 §4 and §6: an IPv6 address stands in brackets and quotes.
fn forwarded_element(ip: IpAddr, host: Option<&HeaderValue>, proto: &str) -> String {
    let mut element = match ip {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    };
    let quotable = |host: &&str| !host.contains(['"', '\\']);
    if let Some(host) = host.and_then(|host| host.to_str().ok()).filter(quotable) {
        let _ = write!(element, ";host=\"{host}\"");
    }
    let _ = write!(element, ";proto={proto}");
    element
}

/// Adds one member to a list-valued header, in the line that stands there.
fn append(headers: &mut HeaderMap, name: HeaderName, member: &str) {
    let mut all = String::new();
    for value in headers.get_all(&name) {
        let Ok(value) = value.to_str() else { continue };
        all.push_str(value);
        all.push_str(", ");
    }
    all.push_str(member);
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(field).collect()
    }

    fn caller() -> Peer {
        Peer::plain(SocketAddr::from(([192, 0, 2, 7], 4000)))
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_the_connection_header_names_goes_with_it() {
        let mut some = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "2"),
        ]);
        assert_eq!(strip(&mut some), None);
        assert_eq!(names(&some), ["x-kept"]);
    }

    #[test]
    fn where_a_message_goes_and_ends_cannot_be_removed() {
        let mut some = headers(&[
            ("connection", "host, content-length"),
            ("host", "a"),
            ("content-length", "3"),
        ]);
        strip(&mut some);
        assert_eq!(some["host"], "a");
        assert_eq!(some["content-length"], "3");
    }

    #[test]
    fn an_upgrade_counts_only_when_the_connection_names_it() {
        let mut asked = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(strip(&mut asked).unwrap(), "websocket");
        assert!(asked.is_empty());
        let mut unasked = headers(&[("upgrade", "h2c")]);
        assert_eq!(strip(&mut unasked), None);
        assert!(unasked.is_empty());
        let mut hidden = headers(&[("connection", "Upgrade"), ("upgrade", "h2c")]);
        assert_eq!(strip(&mut hidden), None);
    }

    #[test]
    fn this_hop_is_added_behind_the_others() {
        let mut some = headers(&[
            ("host", "shop.test"),
            ("via", "1.1 edge"),
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=198.51.100.1"),
        ]);
        announce(&mut some, Some(&caller()), Version::HTTP_11, Forwarding::Append);
        assert_eq!(some["via"], "1.1 edge, 1.1 semel");
        assert_eq!(some["x-forwarded-for"], "198.51.100.1, 192.0.2.7");
        assert_eq!(some["x-forwarded-proto"], "https");
        assert_eq!(some["x-forwarded-host"], "shop.test");
        assert_eq!(
            some["forwarded"],
            "for=198.51.100.1, for=192.0.2.7;host=\"shop.test\";proto=http"
        );
    }

    #[test]
    fn a_gateway_that_faces_the_net_believes_nobody() {
        let mut some = headers(&[("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1")]);
        announce(&mut some, Some(&caller()), Version::HTTP_11, Forwarding::Replace);
        assert_eq!(some["x-forwarded-for"], "192.0.2.7");
        assert!(!some.contains_key("forwarded"));
    }

    #[test]
    fn a_caller_under_tls_and_http_2_is_told_of_as_such() {
        let mut some = headers(&[("host", "shop.test"), ("forwarded", "for=198.51.100.1")]);
        let secure = Peer { secure: true, ..caller() };
        announce(&mut some, Some(&secure), Version::HTTP_2, Forwarding::Append);
        assert_eq!(some["via"], "2.0 semel");
        assert_eq!(some["x-forwarded-proto"], "https");
        let element = "for=198.51.100.1, for=192.0.2.7;host=\"shop.test\";proto=https";
        assert_eq!(some["forwarded"], element);
    }
}
