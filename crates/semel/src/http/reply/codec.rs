//! A reply as bytes: versioned, compact, strict.
//!
//! Layout of version 1, all integers little-endian:
//!
//! ```text
//! 1  version (1)
//! 2  status
//! …  fields of the head: 4 count, then each: 2 length, name, 4 length, value
//! 1  trailers (0 none, 1 the fields follow, as above)
//! 4  length, body
//! ```
//!
//! Names stand in ascending order, values of one name in theirs, so equal replies have equal bytes:
//! the digest by which two settles are the same is taken over them. There is no checksum: the bytes
//! live inside an authenticated encryption. What is not exactly so is an error, and an error is
//! never "no reply": whoever cannot read it must say so.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Reply;

/// The version that [`Reply::encode`] writes.
pub const VERSION: u8 = 1;

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a later Semel.
    #[error(
        "reply version {found} is unknown here (this Semel reads up to {VERSION}): run the version that wrote it, or a later one"
    )]
    UnknownVersion {
        /// The version found.
        found: u8,
    },
    /// Fewer or more bytes than the reply says.
    #[error("reply length is wrong at byte {at}")]
    Length {
        /// Where reading stopped.
        at: usize,
    },
    /// A field holds what this version never writes.
    #[error("reply field `{field}` before byte {at} holds what version {VERSION} never writes")]
    Value {
        /// The field.
        field: &'static str,
        /// Where it ends.
        at: usize,
    },
}

impl Reply {
    /// The reply as bytes of the present version. Equal replies give equal bytes.
    ///
    /// # Panics
    /// When the body is over 4 GiB; a route's cap lies far below.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let fields: usize = self.headers.iter().map(|(n, v)| 6 + n.as_str().len() + v.len()).sum();
        let mut out = Vec::with_capacity(12 + fields + self.body.len());
        out.push(VERSION);
        out.extend_from_slice(&self.status.as_u16().to_le_bytes());
        put_fields(&self.headers, &mut out);
        out.push(u8::from(self.trailers.is_some()));
        if let Some(trailers) = &self.trailers {
            put_fields(trailers, &mut out);
        }
        put_u32(self.body.len(), &mut out);
        out.extend_from_slice(&self.body);
        out
    }

    /// Reads a reply of any version that was ever written. The body shares the input's memory.
    ///
    /// # Errors
    /// [`DecodeError`], at the first byte that is not as it should be.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader { bytes, at: 0 };
        let [found] = reader.array()?;
        if found != VERSION {
            return Err(DecodeError::UnknownVersion { found });
        }
        let status = u16::from_le_bytes(reader.array()?);
        let status = StatusCode::from_u16(status).map_err(|_| reader.wrong("status"))?;
        let headers = reader.fields()?;
        let trailers = match reader.array()? {
            [0] => None,
            [1] => Some(reader.fields()?),
            [_] => return Err(reader.wrong("trailers")),
        };
        let length = reader.length()?;
        let body = reader.slice(length)?;
        if reader.at != bytes.len() {
            return Err(DecodeError::Length { at: reader.at });
        }
        Ok(Self { status, headers, body, trailers })
    }
}

fn put_u32(n: usize, out: &mut Vec<u8>) {
    let n = u32::try_from(n).expect("replies and their fields are capped far below 4 GiB");
    out.extend_from_slice(&n.to_le_bytes());
}

fn put_fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    put_u32(fields.len(), out);
    let mut names: Vec<_> = fields.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    for name in names {
        for value in fields.get_all(name) {
            let text = name.as_str().as_bytes();
            let length =
                u16::try_from(text.len()).expect("the http crate caps names at 65,535 bytes");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(text);
            put_u32(value.len(), out);
            out.extend_from_slice(value.as_bytes());
        }
    }
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(DecodeError::Length { at: self.at })?;
        let slice = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        let end = at.checked_add(N).ok_or(DecodeError::Length { at })?;
        let slice = self.bytes.get(at..end).ok_or(DecodeError::Length { at })?;
        self.at = end;
        slice.try_into().map_err(|_| DecodeError::Length { at })
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        let at = self.at;
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| DecodeError::Length { at })
    }

    const fn wrong(&self, field: &'static str) -> DecodeError {
        DecodeError::Value { field, at: self.at }
    }

    fn fields(&mut self) -> Result<HeaderMap, DecodeError> {
        let count = self.length()?;
        let mut fields = HeaderMap::new();
        let mut last = Bytes::new();
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(self.array()?));
            let text = self.slice(length)?;
            // One spelling a reply: ascending, in lower case.
            let name = HeaderName::from_lowercase(&text).map_err(|_| self.wrong("name"))?;
            if text < last {
                return Err(self.wrong("order of names"));
            }
            last = text;
            let length = self.length()?;
            let value = HeaderValue::from_maybe_shared(self.slice(length)?);
            let value = value.map_err(|_| self.wrong("value"))?;
            fields.try_append(name, value).map_err(|_| self.wrong("count of fields"))?;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pairs = Vec<(String, Vec<u8>)>;

    fn pairs() -> impl Strategy<Value = Pairs> {
        // Few names, so that they repeat.
        let name = prop_oneof!["[a-c]", "[a-z][a-z0-9-]{0,12}"];
        let value = prop::collection::vec(prop_oneof![32_u8..127, 128_u8..=255], 0..20);
        prop::collection::vec((name, value), 0..8)
    }

    fn map(pairs: &Pairs) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    fn reply(status: u16, head: &Pairs, body: Vec<u8>, tail: Option<&Pairs>) -> Reply {
        let status = StatusCode::from_u16(status).unwrap();
        Reply { status, headers: map(head), body: body.into(), trailers: tail.map(map) }
    }

    proptest! {
        #[test]
        fn a_reply_reads_back_and_no_part_of_it_does(
            status in 100_u16..1000,
            head in pairs(),
            body in prop::collection::vec(any::<u8>(), 0..64),
            tail in prop::option::of(pairs()),
        ) {
            let reply = reply(status, &head, body, tail.as_ref());
            let bytes = Bytes::from(reply.encode());
            prop_assert_eq!(Reply::decode(&bytes), Ok(reply));
            for end in 0..bytes.len() {
                prop_assert!(Reply::decode(&bytes.slice(..end)).is_err(), "cut at {}", end);
            }
            let mut longer = bytes.to_vec();
            longer.push(0);
            prop_assert!(Reply::decode(&longer.into()).is_err());
        }

        #[test]
        fn equal_replies_have_equal_bytes(head in pairs(), tail in pairs()) {
            // Stable by name: the order of different names is no part of a reply.
            let mut sorted = head.clone();
            sorted.sort_by(|a, b| b.0.cmp(&a.0));
            let (a, b) = (reply(200, &head, vec![1], Some(&tail)), reply(200, &sorted, vec![1], Some(&tail)));
            prop_assert_eq!(&a, &b);
            prop_assert_eq!(a.encode(), b.encode());
        }

        #[test]
        fn bytes_that_read_are_the_only_bytes_of_their_reply(
            head in pairs(), at in any::<prop::sample::Index>(), byte in any::<u8>()
        ) {
            let mut bytes = reply(201, &head, vec![7; 5], None).encode();
            *at.get_mut(&mut bytes) = byte;
            if let Ok(read) = Reply::decode(&bytes.clone().into()) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }

    #[test]
    fn version_1_is_written_like_this() {
        let head = vec![("b".to_owned(), b"2".to_vec()), ("a".to_owned(), b"1".to_vec())];
        let bytes = reply(201, &head, b"hi".to_vec(), Some(&vec![])).encode();
        let expected = b"\x01\xc9\x00\x02\0\0\0\x01\0a\x01\0\0\x001\x01\0b\x01\0\0\x002\x01\0\0\0\0\x02\0\0\0hi";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_later_version_is_refused_by_its_number() {
        let error = Reply::decode(&Bytes::from_static(&[2, 0]));
        assert_eq!(error, Err(DecodeError::UnknownVersion { found: 2 }));
    }
}
