//! From a request to its fingerprint.

use http::{HeaderMap, HeaderName};

use super::difference::Part;
use super::digest::BodyDigest;
use super::pointer::Pointer;
use super::{Fingerprint, PARTS, RULES_VERSION, body, target};
use crate::secret::{Framed, Secret, truncate16};

/// How JSON bodies (`application/json` and `*+json`) are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JsonBodies {
    /// By value: member order, white space, escapes and the spelling of numbers do not count.
    #[default]
    ByValue,
    /// By value, but `1` and `1.0` are two.
    ExactSpelling,
    /// Byte by byte.
    Bytes,
}

/// How forms (`application/x-www-form-urlencoded` and `multipart/*`) are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FormBodies {
    /// By their decoded pairs, or by their parts, in order.
    #[default]
    ByValue,
    /// Byte by byte.
    Bytes,
}

/// What of a request counts. The default: all but the headers, bodies by value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FingerprintRules {
    /// How JSON bodies are compared.
    pub json: JsonBodies,
    /// How forms are compared.
    pub forms: FormBodies,
    /// What is left out of a body compared by value: JSON members and elements, or, by a pointer
    /// of one name, fields of a URL-encoded form. A body compared by its bytes is compared whole.
    pub exclude: Vec<Pointer>,
    /// When not empty, all that counts of a body compared by value, less what is left out.
    pub include: Vec<Pointer>,
    /// Headers that count, with all their values in order.
    pub headers: Vec<HeaderName>,
}

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The method, case-sensitive.
    pub method: &'a str,
    /// The host that the request is for, with or without a port.
    pub host: &'a str,
    /// The path, as sent.
    pub path: &'a str,
    /// The query, as sent, without its question mark.
    pub query: Option<&'a str>,
    /// The value of `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The value of `Content-Encoding`; several lines joined by commas.
    pub content_encoding: Option<&'a [u8]>,
    /// All headers; only those that the rules choose are looked at.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// The fingerprint of a request, under the server secret.
#[must_use]
pub fn fingerprint(
    secret: &Secret,
    rules: &FingerprintRules,
    request: &RequestParts<'_>,
) -> Fingerprint {
    whole(secret, rules, request, None)
}

/// The fingerprint of a request whose body was too large to be held: `digest` stands for it, and
/// `request.body` is not looked at. Such a body compares by its bytes, whatever its media type, so
/// the same request held in memory has another fingerprint: on one route, which body is held must
/// depend on its length alone.
#[must_use]
pub fn fingerprint_of_digest(
    secret: &Secret,
    rules: &FingerprintRules,
    request: &RequestParts<'_>,
    digest: &BodyDigest,
) -> Fingerprint {
    whole(secret, rules, request, Some(digest))
}

fn whole(
    secret: &Secret,
    rules: &FingerprintRules,
    request: &RequestParts<'_>,
    spooled: Option<&BodyDigest>,
) -> Fingerprint {
    let key = secret.fingerprints();
    let mut digest = Framed::new(key);
    digest.part(b"request");
    digest.part(&RULES_VERSION.to_le_bytes());
    let mut parts = [0; PARTS];
    for (short, part) in parts.iter_mut().zip(Part::ALL) {
        let mut hasher = Framed::new(key);
        hasher.part(part.name().as_bytes());
        add(&mut hasher, part, rules, request, (spooled, key));
        let hash = hasher.finish();
        digest.part(&hash);
        let [a, b, c, d, ..] = hash;
        *short = u32::from_le_bytes([a, b, c, d]);
    }
    Fingerprint { rules: RULES_VERSION, digest: truncate16(digest.finish()), parts }
}

fn add(
    hasher: &mut Framed,
    part: Part,
    rules: &FingerprintRules,
    request: &RequestParts<'_>,
    (spooled, key): (Option<&BodyDigest>, &[u8; 32]),
) {
    match part {
        Part::Method => hasher.part(request.method.as_bytes()),
        Part::Host => hasher.part(target::host(request.host).as_bytes()),
        Part::Path => hasher.part(target::path(request.path).as_bytes()),
        Part::Query => {
            // `/a` and `/a?` are two resources (RFC 3986 §6.2.3 does not make them one).
            hasher.part(&[u8::from(request.query.is_some())]);
            hasher.part(target::query(request.query.unwrap_or_default()).as_bytes());
        }
        Part::Body => body::add(hasher, rules, request, spooled, key),
        Part::Headers => add_headers(hasher, &rules.headers, request.headers),
    }
}

/// Sorted, so that the order in a configuration file does not count.
fn add_headers(hasher: &mut Framed, chosen: &[HeaderName], headers: &HeaderMap) {
    let mut names: Vec<&HeaderName> = chosen.iter().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    names.dedup();
    for name in names {
        hasher.part(name.as_str().as_bytes());
        let values = headers.get_all(name);
        hasher.part(&(values.iter().count() as u64).to_le_bytes());
        for value in values {
            hasher.part(value.as_bytes());
        }
    }
}
