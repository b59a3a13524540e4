//! Serves a stored reply to a retry that refuses its content coding.
//!
//! A retry need not come from the client, or by the proxy, that sent the first request. gzip and
//! deflate are taken off; other codings (br, zstd) stay as they are, and so does a body that is
//! damaged or would grow beyond [`DECODED_MAX`]: a reply in an unwelcome coding still says that the
//! operation happened, which a 406 would not.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue, header};

use super::Reply;

/// Bytes that a body may grow to. A megabyte of gzip can hold a gigabyte.
pub const DECODED_MAX: u64 = 16 << 20;

/// They speak of the encoded bytes (RFC 9530; `Content-MD5` and `Digest` of old).
const OF_ENCODED_BYTES: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// The reply in a coding that the request with these headers accepts, where that can be had.
#[must_use]
pub fn readable(reply: Reply, request: &HeaderMap) -> Reply {
    let codings = listed(&reply.headers, &header::CONTENT_ENCODING);
    if codings.is_empty() || codings.iter().all(|coding| accepts(request, coding)) {
        return reply;
    }
    // RFC 9110 §8.4: listed in the order in which they were applied.
    let mut body = reply.body.clone();
    for coding in codings.iter().rev() {
        match decode(coding, &body) {
            Some(decoded) => body = decoded,
            None => return reply,
        }
    }
    let mut headers = reply.headers;
    headers.remove(header::CONTENT_ENCODING);
    for name in OF_ENCODED_BYTES {
        headers.remove(name);
    }
    // RFC 9110 §8.8.3.3: a strong tag names one coding of the representation.
    if let Some(tag) = headers.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")) {
        let weak = [b"W/", tag.as_bytes()].concat();
        if let Ok(weak) = HeaderValue::from_bytes(&weak) {
            headers.insert(header::ETAG, weak);
        }
    }
    Reply { headers, body, ..reply }
}

/// The members of a comma-separated header, in lower case, without `identity`.
fn listed(headers: &HeaderMap, name: &header::HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let members = lines.flat_map(|line| line.split(',')).map(|m| m.trim().to_ascii_lowercase());
    members.filter(|m| !m.is_empty() && m != "identity").collect()
}

/// RFC 9110 §12.5.3: without the header anything goes; with it, what it names or `*` covers, unless
/// by the weight 0.
fn accepts(request: &HeaderMap, coding: &str) -> bool {
    if !request.contains_key(header::ACCEPT_ENCODING) {
        return true;
    }
    let (mut named, mut star) = (None, None);
    for member in listed(request, &header::ACCEPT_ENCODING) {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map(str::trim);
        let welcome = weight.is_none_or(|q| q.parse::<f32>() != Ok(0.0));
        if plain(name) == plain(coding) {
            named = named.or(Some(welcome));
        } else if name == "*" {
            star = star.or(Some(welcome));
        }
    }
    named.or(star).unwrap_or(false)
}

/// RFC 9110 §8.4.1.3: `x-gzip` means gzip.
fn plain(coding: &str) -> &str {
    if coding == "x-gzip" { "gzip" } else { coding }
}

fn decode(coding: &str, body: &[u8]) -> Option<Bytes> {
    match plain(coding) {
        "gzip" => read_all(MultiGzDecoder::new(body)),
        // RFC 9110 §8.4.1.2: in zlib's wrapping; some send it without.
        "deflate" => {
            read_all(ZlibDecoder::new(body)).or_else(|| read_all(DeflateDecoder::new(body)))
        }
        _ => None,
    }
}

fn read_all(decoder: impl Read) -> Option<Bytes> {
    let mut decoded = Vec::new();
    decoder.take(DECODED_MAX + 1).read_to_end(&mut decoded).ok()?;
    (decoded.len() as u64 <= DECODED_MAX).then(|| decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::StatusCode;

    const TEXT: &[u8] = b"{\"amount\":1000,\"currency\":\"eur\",\"paid\":true}";

    fn encode(coding: &str, body: &[u8]) -> Bytes {
        let (mut out, level) = (Vec::new(), Compression::fast());
        match coding {
            "gzip" => GzEncoder::new(body, level).read_to_end(&mut out),
            "raw" => DeflateEncoder::new(body, level).read_to_end(&mut out),
            _ => ZlibEncoder::new(body, level).read_to_end(&mut out),
        }
        .unwrap();
        out.into()
    }

    fn stored(coding: &'static str, body: Bytes) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        headers.insert(header::ETAG, HeaderValue::from_static("\"7\""));
        headers.insert("content-digest", HeaderValue::from_static("sha-256=:AA==:"));
        Reply { status: StatusCode::OK, headers, body, trailers: None }
    }

    fn asking(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accept))])
    }

    #[test]
    fn a_retry_that_refuses_the_coding_gets_it_taken_off() {
        for (coding, body) in [
            ("gzip", encode("gzip", TEXT)),
            ("X-Gzip", encode("gzip", TEXT)),
            ("deflate", encode("zlib", TEXT)),
            ("deflate", encode("raw", TEXT)),
            ("deflate, gzip", encode("gzip", &encode("zlib", TEXT))),
        ] {
            let reply = readable(stored(coding, body), &asking("identity"));
            assert_eq!(reply.body, TEXT, "{coding}");
            let headers: Vec<_> = reply.headers.iter().collect();
            assert_eq!(headers, [(&header::ETAG, &HeaderValue::from_static("W/\"7\""))]);
        }
    }

    #[test]
    fn a_retry_that_accepts_it_gets_the_stored_bytes() {
        let reply = stored("gzip", encode("gzip", TEXT));
        assert_eq!(readable(reply.clone(), &HeaderMap::new()), reply);
        for accept in ["gzip", "br, GZIP;q=0.1", "*", "x-gzip", "deflate, *;q=0.5"] {
            assert_eq!(readable(reply.clone(), &asking(accept)), reply, "{accept}");
        }
        for refuse in ["", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "identity"] {
            assert_eq!(readable(reply.clone(), &asking(refuse)).body, TEXT, "{refuse}");
        }
    }

    #[test]
    fn what_cannot_be_taken_off_stays() {
        let bomb = encode("gzip", &vec![0; usize::try_from(DECODED_MAX).unwrap() + 1]);
        let torn = encode("gzip", TEXT).slice(..20);
        for reply in [
            stored("br", Bytes::from_static(b"?")),
            stored("gzip, br", Bytes::from_static(b"?")),
            stored("gzip", bomb),
            stored("gzip", torn),
        ] {
            assert_eq!(readable(reply.clone(), &asking("identity")), reply);
        }
    }
}
