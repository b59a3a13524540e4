//! The body as its media type says that it is to be compared.

use std::borrow::Cow;

use super::digest::BodyDigest;
use super::json::{self, Numbers};
use super::pointer::{Node, View};
use super::request::{FingerprintRules, FormBodies, JsonBodies, RequestParts};
use super::{form, multipart};
use crate::secret::Framed;

/// How a body was compared. It goes into the hash, so that no two ways can spell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bytes = 0,
    Json = 1,
    JsonBySpelling = 2,
    Form = 3,
    Multipart = 4,
    Digest = 5,
}

/// Adds media type, content coding and body; of a body that was too large to be held, its digest.
pub(super) fn add(
    hasher: &mut Framed,
    rules: &FingerprintRules,
    request: &RequestParts<'_>,
    spooled: Option<&BodyDigest>,
    key: &[u8; 32],
) {
    let media_type = request.content_type.map(media_type);
    let coding = request.content_encoding.and_then(coding);
    for optional in [&media_type, &coding] {
        hasher.part(&[u8::from(optional.is_some())]);
        hasher.part(optional.as_deref().unwrap_or_default());
    }
    if let Some(digest) = spooled {
        hasher.part(&[Way::Digest as u8]);
        hasher.part(&digest.0);
        return;
    }
    let (way, form) = match media_type {
        // What an encoded body holds is not known before it is decoded.
        Some(media_type) if coding.is_none() => form_of(&media_type, rules, request, key),
        _ => (Way::Bytes, Cow::Borrowed(request.body)),
    };
    hasher.part(&[way as u8]);
    hasher.part(&form);
}

fn form_of<'a>(
    media_type: &[u8],
    rules: &FingerprintRules,
    request: &RequestParts<'a>,
    key: &[u8; 32],
) -> (Way, Cow<'a, [u8]>) {
    let include = (!rules.include.is_empty()).then(|| Node::tree(&rules.include));
    let exclude = (!rules.exclude.is_empty()).then(|| Node::tree(&rules.exclude));
    let view = View::new(include.as_ref(), exclude.as_ref());
    let json = |numbers| json::canonical(request.body, numbers, view, key);
    let by_value = rules.forms == FormBodies::ByValue;
    let (way, form) = if is_json(media_type) {
        match rules.json {
            JsonBodies::ByValue => (Way::Json, json(Numbers::ByValue)),
            JsonBodies::ExactSpelling => (Way::JsonBySpelling, json(Numbers::BySpelling)),
            JsonBodies::Bytes => (Way::Bytes, None),
        }
    } else if by_value && media_type == b"application/x-www-form-urlencoded" {
        (Way::Form, form::canonical(request.body, view))
    } else if by_value && media_type.starts_with(b"multipart/") {
        let content_type = request.content_type.unwrap_or_default();
        (Way::Multipart, multipart::canonical(request.body, content_type))
    } else {
        (Way::Bytes, None)
    };
    match form {
        Some(form) => (way, Cow::Owned(form)),
        None => (Way::Bytes, Cow::Borrowed(request.body)),
    }
}

fn is_json(media_type: &[u8]) -> bool {
    media_type == b"application/json" || media_type.ends_with(b"+json")
}

/// Lower-cased and without parameters (RFC 9110 §8.3.1).
fn media_type(content_type: &[u8]) -> Vec<u8> {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().to_ascii_lowercase()
}

/// The content coding, lower-cased, or `None` where the body is as it is.
fn coding(content_encoding: &[u8]) -> Option<Vec<u8>> {
    let coding = content_encoding.trim_ascii().to_ascii_lowercase();
    (!coding.is_empty() && coding != b"identity").then_some(coding)
}
