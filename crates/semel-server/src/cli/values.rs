//! What flags hold, read strictly: a wrong value is named with the nearest right one.

use std::path::PathBuf;

use http::HeaderName;
use semel_core::Span;

use super::suggest::nearest;
use crate::gateway::Target;
use crate::principals::{ALGORITHMS, CertificateName, Claim, algorithm_name};

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreSpec {
    /// In a directory, durably.
    Embedded(PathBuf),
    /// In this process, until it ends.
    Memory,
}

impl std::fmt::Display for StoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// `embedded:PATH` or `memory:`.
pub(crate) fn store(given: &str) -> Result<StoreSpec, String> {
    match given.split_once(':') {
        Some(("embedded", "")) => {
            Err("the embedded store needs a directory: write embedded:PATH".to_owned())
        }
        Some(("embedded", path)) => Ok(StoreSpec::Embedded(PathBuf::from(path))),
        Some(("memory", "")) => Ok(StoreSpec::Memory),
        Some(("memory", more)) => {
            Err(format!("the memory store takes no value, and was given `{more}`: write memory:"))
        }
        Some((kind, rest)) => Err(match nearest(kind, ["embedded", "memory"]) {
            Some("memory") => format!("`{kind}` is no store; did you mean `memory:`?"),
            Some(near) => format!("`{kind}` is no store; did you mean `{near}:{rest}`?"),
            None => format!("`{kind}` is no store; use embedded:PATH or memory:"),
        }),
        None => Err(match nearest(given, ["embedded", "memory"]) {
            Some("memory") => "did you mean `memory:`?".to_owned(),
            Some(_) => "did you mean `embedded:PATH`?".to_owned(),
            None => format!("it names no kind of store; did you mean `embedded:{given}`?"),
        }),
    }
}

/// Whose keys they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Whoever shows this `Authorization`.
    #[default]
    Authorization,
    /// Whoever this header names.
    Header(HeaderName),
    /// Whoever this claim of a verified token names.
    Jwt(Claim),
    /// Whoever the certificate names that the caller proved to hold.
    Certificate(CertificateName),
    /// Everybody's.
    None,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authorization => f.write_str("authorization"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Jwt(claim) => write!(f, "jwt:{claim}"),
            Self::Certificate(name) => f.write_str(name.written()),
            Self::None => f.write_str("none"),
        }
    }
}

/// `authorization`, `header:NAME`, `jwt:CLAIM`, `client-certificate` or `none`.
pub(crate) fn scope(given: &str) -> Result<Scope, String> {
    use CertificateName::{Dns, Subject, Uri};
    if let Some(name) = [Subject, Uri, Dns].into_iter().find(|name| name.written() == given) {
        return Ok(Scope::Certificate(name));
    }
    match given.split_once(':') {
        Some(("jwt", claim)) => Claim::parse(claim).map(Scope::Jwt),
        None if given == "jwt" => Claim::parse("").map(Scope::Jwt),
        Some(("header", name)) => HeaderName::try_from(name.trim())
            .map(Scope::Header)
            .map_err(|_| format!("`{name}` is no header's name")),
        None if given == "authorization" => Ok(Scope::Authorization),
        None if given == "none" => Ok(Scope::None),
        Some(("client-certificate", name)) => Err(format!(
            "`{name}` is no name of a certificate; write client-certificate, client-certificate:uri or client-certificate:dns"
        )),
        Some((kind, name)) => Err(match nearest(kind, ["header", "jwt", "client-certificate"]) {
            Some(near) => format!("did you mean `{near}:{name}`?"),
            None => format!("did you mean `header:{given}`?"),
        }),
        None => Err(match nearest(given, ["authorization", "none", "client-certificate"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "did you mean `header:{given}`? Else: authorization, client-certificate, none"
            ),
        }),
    }
}

/// An algorithm that tokens may be signed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signing(pub jsonwebtoken::Algorithm);

impl std::fmt::Display for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(algorithm_name(self.0))
    }
}

/// The name of one, as a token writes it.
pub(crate) fn signing(given: &str) -> Result<Signing, String> {
    let names = || ALGORITHMS.iter().map(|(name, _)| *name);
    match ALGORITHMS.iter().find(|(name, _)| *name == given) {
        Some((_, algorithm)) => Ok(Signing(*algorithm)),
        None if given.eq_ignore_ascii_case("none") => {
            Err("whoever likes could make such a token; name an algorithm that signs".to_owned())
        }
        None => Err(match nearest(given, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", names().collect::<Vec<_>>().join(", ")),
        }),
    }
}

/// A length of time: `250ms`, `10s`, `5m`, `24h`, `30d`, and `forever`.
pub(crate) fn span(given: &str) -> Result<Span, String> {
    if given == "forever" {
        return Ok(Span::FOREVER);
    }
    let digits = given.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = given.split_at(digits);
    let number: u64 = number.parse().map_err(|_| match nearest(given, ["forever"]) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a length of time as 250ms, 10s, 5m, 24h, 30d or forever".to_owned(),
    })?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(format!("it has no unit; did you mean `{number}s`?")),
        other => {
            return Err(format!("`{other}` is no unit of time; use ms, s, m, h or d"));
        }
    };
    Ok(Span::from_ms(number.saturating_mul(ms)))
}

/// A length of time that ends.
pub(crate) fn duration(given: &str) -> Result<std::time::Duration, String> {
    let span = span(given)?;
    if span.is_forever() {
        return Err("it must end; write a length such as 60s".to_owned());
    }
    Ok(span.to_duration())
}

/// A number of bytes: `4096`, `64KiB`, `1MiB`, `2GiB`.
pub(crate) fn bytes(given: &str) -> Result<u64, String> {
    let digits = given.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = given.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "write a number of bytes as 4096, 64KiB, 1MiB or 2GiB".to_owned())?;
    let scale: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => {
            return Err(match nearest(other, ["KiB", "MiB", "GiB"]) {
                Some(near) => format!("did you mean `{number}{near}`?"),
                None => format!("`{other}` is no unit of size; use KiB, MiB or GiB"),
            });
        }
    };
    number.checked_mul(scale).ok_or_else(|| "that is more than 2^64 bytes".to_owned())
}

/// The largest size of a request's head.
pub(crate) fn head_size(given: &str) -> Result<u64, String> {
    head_bounds(bytes(given)?)
}

/// Below the least, an ordinary request would not do; beyond the greatest, HTTP/1.1 takes none at all.
pub(crate) fn head_bounds(size: u64) -> Result<u64, String> {
    let right = (1 << 10..=256 << 10).contains(&size);
    right.then_some(size).ok_or_else(|| format!("{size} is not between 1KiB and 256KiB"))
}

/// The upstream.
pub(crate) fn upstream(given: &str) -> Result<Target, String> {
    Target::parse(given).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_read_and_misspellings_named() {
        assert_eq!(store("embedded:./d"), Ok(StoreSpec::Embedded("./d".into())));
        assert_eq!(store("memory:"), Ok(StoreSpec::Memory));
        for (given, hint) in [
            ("embeded:x", "did you mean `embedded:x`?"),
            ("memmory:", "did you mean `memory:`?"),
            ("memory", "did you mean `memory:`?"),
            ("./data", "did you mean `embedded:./data`?"),
            ("memory:big", "write memory:"),
            ("embedded:", "write embedded:PATH"),
            ("postgres://x", "use embedded:PATH or memory:"),
        ] {
            let said = store(given).unwrap_err();
            assert!(said.contains(hint), "{given}: {said}");
        }
    }

    #[test]
    fn scopes_are_read_and_misspellings_named() {
        assert_eq!(scope("none"), Ok(Scope::None));
        assert_eq!(scope("authorization"), Ok(Scope::Authorization));
        let header = HeaderName::from_static("x-customer");
        assert_eq!(scope("header:X-Customer"), Ok(Scope::Header(header)));
        for (given, hint) in [
            ("non", "did you mean `none`?"),
            ("heder:X-Customer", "did you mean `header:X-Customer`?"),
            ("X-Customer", "did you mean `header:X-Customer`?"),
            ("jwt", "like `jwt:sub`"),
            ("jwt:", "like `jwt:sub`"),
            ("jwr:sub", "did you mean `jwt:sub`?"),
            ("header:a b", "no header's name"),
        ] {
            let said = scope(given).unwrap_err();
            assert!(said.contains(hint), "{given}: {said}");
        }
    }

    #[test]
    fn lengths_need_their_unit() {
        assert_eq!(span("250ms"), Ok(Span::from_ms(250)));
        assert_eq!(span("30d"), Ok(Span::from_secs(30 * 86_400)));
        assert_eq!(span("forever"), Ok(Span::FOREVER));
        assert!(span("10").unwrap_err().contains("did you mean `10s`?"));
        assert!(span("10y").unwrap_err().contains("no unit of time"));
        assert!(span("forevr").unwrap_err().contains("did you mean `forever`?"));
        assert!(duration("forever").is_err());
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("2MiB"), Ok(2 << 20));
        assert!(bytes("2MB").unwrap_err().contains("did you mean `2MiB`?"));
        assert!(bytes("99999999999GiB").is_err());
    }
}
