//! A reply as it came.

use bytes::Bytes;

/// A whole reply. Interim replies (1xx) are read past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values, in the order that they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body, its chunks put together, its coding as it was.
    pub body: Bytes,
}

impl Reply {
    /// The first value of that header, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// Every value of that header, as text.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Whether it tells to come again: the operation is in flight, or not possible now. A published
    /// library says it by 423.
    #[must_use]
    pub const fn says_later(&self) -> bool {
        matches!(self.status, 409 | 423 | 425 | 429 | 503)
    }

    /// Whether it says that the operation was done.
    #[must_use]
    pub const fn success(&self) -> bool {
        self.status >= 200 && self.status < 400
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, if it is any.
    #[must_use]
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Status and beginning of the body: what a report shows of it.
    #[must_use]
    pub fn brief(&self) -> String {
        let text = self.text();
        let mut shown: String = text.chars().take(120).collect();
        if text.chars().count() > 120 {
            shown.push('…');
        }
        if shown.is_empty() {
            return format!("{} with an empty body", self.status);
        }
        format!("{} {shown:?}", self.status)
    }
}
