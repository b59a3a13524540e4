//! Host, path and query in their normal form (RFC 3986 §6.2.2 and §6.2.3).

use std::borrow::Cow;

/// Lower-cased, without an empty port or the default one of `http` or `https`.
///
/// Which of the two schemes was used is not known behind a proxy that ends TLS, so both ports go.
pub(super) fn host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.rsplit_once(':') {
        Some((name, "" | "80" | "443")) if !name.is_empty() => name.to_owned(),
        _ => host,
    }
}

/// Escapes in upper case, unreserved characters unescaped, dot segments removed; `//` stays.
pub(super) fn path(path: &str) -> String {
    let escaped = escapes(path);
    if escaped.is_empty() {
        return "/".to_owned();
    }
    if escaped.split('/').any(|segment| matches!(segment, "." | "..")) {
        return remove_dot_segments(&escaped);
    }
    escaped.into_owned()
}

/// Escapes in upper case and unreserved characters unescaped; the order of parameters counts.
pub(super) fn query(query: &str) -> Cow<'_, str> {
    escapes(query)
}

fn escapes(text: &str) -> Cow<'_, str> {
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default();
    if first.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    out.push_str(first);
    for piece in pieces {
        match piece.split_at_checked(2).and_then(|(hex, rest)| Some((octet(hex)?, hex, rest))) {
            Some((octet, _, rest)) if unreserved(octet) => {
                out.push(char::from(octet));
                out.push_str(rest);
            }
            Some((_, hex, rest)) => {
                out.push('%');
                out.push_str(&hex.to_ascii_uppercase());
                out.push_str(rest);
            }
            None => {
                out.push('%');
                out.push_str(piece);
            }
        }
    }
    Cow::Owned(out)
}

fn octet(hex: &str) -> Option<u8> {
    let mut digits = hex.chars().map(|digit| digit.to_digit(16));
    let (high, low) = (digits.next()??, digits.next()??);
    u8::try_from(high << 4 | low).ok()
}

const fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §5.2.4, for a path that begins with a slash; any other is left as it is.
fn remove_dot_segments(path: &str) -> String {
    let Some(inner) = path.strip_prefix('/') else { return path.to_owned() };
    let mut kept: Vec<&str> = Vec::new();
    let mut open = false; // the path ends in a removed segment, so it ends with a slash
    for segment in inner.split('/') {
        open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    if open {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_case_and_default_port() {
        for (given, normal) in [
            ("API.Example", "api.example"),
            ("a:443", "a"),
            ("a:80", "a"),
            ("a:", "a"),
            ("a:8080", "a:8080"),
            ("[::1]:443", "[::1]"),
            ("[::80]", "[::80]"),
            ("", ""),
        ] {
            assert_eq!(host(given), normal, "{given}");
        }
    }

    #[test]
    fn paths_are_normal() {
        for (given, normal) in [
            ("", "/"),
            ("*", "*"),
            ("/a/%7euser", "/a/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("/%C3%a9", "/%C3%A9"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/../a", "/a"),
            ("//a//b/", "//a//b/"),
            ("/a//../b", "/a/b"),
            ("/%zz%", "/%zz%"),
            ("/%+1", "/%+1"),
            ("/100%é", "/100%é"),
        ] {
            assert_eq!(path(given), normal, "{given}");
        }
    }

    #[test]
    fn unescaping_happens_once() {
        assert_eq!(path("/%2541"), "/%2541");
        assert_eq!(query("a=%2bb%2D"), "a=%2Bb-");
    }
}
