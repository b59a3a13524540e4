//! A reply that is kept, and how it is given again.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use crate::sample::app::whole;
use crate::sample::{AppBody, Broken, Flaw};

/// Says of a reply that it was given before.
pub(super) const MARKER: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The date of an application whose clock stands.
const SOME_DATE: HeaderValue = HeaderValue::from_static("Tue, 24 Nov 2026 08:00:00 GMT");

/// Headers that belong to one exchange (RFC 9110 §7.6.1) or to one caller.
const NOT_KEPT: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "date",
    "set-cookie",
];

/// A whole reply.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether its length was not known beforehand.
    pub(super) streamed: bool,
}

impl Kept {
    /// A success that says nothing.
    pub(super) fn done() -> Self {
        let body = Bytes::from_static(b"{}");
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body, streamed: false }
    }

    /// Reads a reply to its end.
    ///
    /// # Errors
    /// What came of a reply that was cut.
    pub(super) async fn read(reply: Response<AppBody>) -> Result<Self, Self> {
        let (mut parts, mut body) = reply.into_parts();
        let streamed = body.size_hint().exact().is_none();
        parts.headers.remove(header::CONTENT_LENGTH);
        let mut kept =
            Self { status: parts.status, headers: parts.headers, body: Bytes::new(), streamed };
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame.map(|frame| frame.into_data().unwrap_or_default()) {
                Ok(data) => read.extend_from_slice(&data),
                Err(Broken) => {
                    kept.body = read.into();
                    return Err(kept);
                }
            }
        }
        kept.body = read.into();
        Ok(kept)
    }

    /// The reply to whoever asked first, with all that it came with.
    pub(super) fn first(&self, flaw: Option<Flaw>) -> Response<AppBody> {
        let mut reply = whole(self.status, "", self.body.clone());
        *reply.headers_mut() = self.headers.clone();
        if flaw == Some(Flaw::DateReplayed) {
            reply.headers_mut().insert(header::DATE, SOME_DATE);
        }
        reply
    }

    /// What is kept of it for others.
    pub(super) fn for_replay(mut self, flaw: Option<Flaw>) -> Self {
        for name in NOT_KEPT {
            if !(name == "set-cookie" && flaw == Some(Flaw::CookiesReplayed)) {
                self.headers.remove(name);
            }
        }
        match flaw {
            Some(Flaw::DateReplayed) => {
                self.headers.insert(header::DATE, SOME_DATE);
            }
            Some(Flaw::BinaryAsText) => {
                self.body = String::from_utf8_lossy(&self.body).into_owned().into();
            }
            Some(Flaw::StreamEmpty) if self.streamed => self.body = Bytes::new(),
            Some(Flaw::CodingLost) => {
                self.headers.remove(header::CONTENT_ENCODING);
            }
            Some(Flaw::HeadersMerged) => self.headers = last_lines(&self.headers),
            Some(Flaw::HeadersLost) => {
                let media = self.headers.remove(header::CONTENT_TYPE);
                self.headers =
                    media.map(|media| (header::CONTENT_TYPE, media)).into_iter().collect();
            }
            Some(Flaw::StatusLost) => self.status = StatusCode::OK,
            Some(Flaw::ErrorsChanged) if self.status.as_u16() >= 400 => {
                self.status = StatusCode::BAD_REQUEST;
                self.body = Bytes::from_static(b"{\"error\":\"already processed\"}");
            }
            _ => {}
        }
        self
    }

    /// The reply to a retry that sent these headers.
    pub(super) fn again(&self, asked: &HeaderMap, flaw: Option<Flaw>) -> Response<AppBody> {
        let mut body = self.body.clone();
        let mut headers = self.headers.clone();
        let coded = headers.get(header::CONTENT_ENCODING).is_some_and(|v| v == "gzip");
        if coded && !accepts_gzip(asked) {
            let mut plain = Vec::new();
            if GzDecoder::new(&body[..]).read_to_end(&mut plain).is_ok() {
                body = plain.into();
                headers.remove(header::CONTENT_ENCODING);
            }
        }
        // A stored reply is for whoever shows the key, and for nobody on the way.
        let no_store = HeaderValue::from_static("no-store");
        headers.entry(header::CACHE_CONTROL).or_insert(no_store);
        if let (Some(Flaw::CredentialsReplayed), Some(shown)) =
            (flaw, asked.get(header::AUTHORIZATION))
        {
            headers.insert(header::AUTHORIZATION, shown.clone());
        }
        if flaw != Some(Flaw::NoMarker) {
            headers.insert(MARKER, HeaderValue::from_static("true"));
        }
        let mut reply = whole(self.status, "", body);
        *reply.headers_mut() = headers;
        reply
    }
}

/// Shows the key in the reply's head as somebody who writes heads by hand would: decoded, its line
/// ends and all.
pub(super) fn echo(reply: &mut Response<AppBody>, key: &[u8]) {
    let text = String::from_utf8_lossy(key);
    let decoded = text.replace("%0d", "\r").replace("%0a", "\n").replace("%20", " ");
    for line in format!("idempotency-key: {decoded}").split("\r\n") {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) =
            (name.trim().parse::<HeaderName>(), HeaderValue::try_from(value.trim()));
        if let (Ok(name), Ok(value)) = (name, value) {
            reply.headers_mut().append(name, value);
        }
    }
}

fn accepts_gzip(asked: &HeaderMap) -> bool {
    let lines = asked.get_all(header::ACCEPT_ENCODING).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|coding| {
        let mut words = coding.split(';').map(str::trim);
        let named = words.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named && !words.any(|weight| weight == "q=0" || weight == "q=0.0")
    })
}

fn last_lines(headers: &HeaderMap) -> HeaderMap {
    let mut last = HeaderMap::new();
    for (name, value) in headers {
        last.insert(name, value.clone());
    }
    last
}
