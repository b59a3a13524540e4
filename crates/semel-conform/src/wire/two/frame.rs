//! Frames (RFC 9113 §4.1).

use bytes::{Bytes, BytesMut};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// Bytes of a frame's own head.
pub(crate) const HEAD: usize = 9;
/// Bytes of a payload that every peer takes (RFC 9113 §4.2).
pub(super) const PAYLOAD_MAX: usize = 16_384;

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    /// What the bytes begin with, if they are enough.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, id @ ..] = *bytes.first_chunk::<HEAD>()?;
        let length = u32::from_be_bytes([0, a, b, c]);
        let length = usize::try_from(length).expect("24 bits are a size");
        Some(Self { length, kind, flags, stream: u32::from_be_bytes(id) & 0x7fff_ffff })
    }

    pub(crate) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A whole frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) head: Head,
    pub(super) payload: Bytes,
}

impl Frame {
    /// Takes the next one, if it is whole.
    pub(super) fn take(buffer: &mut BytesMut) -> Option<Self> {
        let head = Head::read(buffer)?;
        if buffer.len() < HEAD + head.length {
            return None;
        }
        let mut frame = buffer.split_to(HEAD + head.length).freeze();
        Some(Self { head, payload: frame.split_off(HEAD) })
    }

    /// Its content, without padding and without a word on priority; `None` where its padding is longer than it.
    pub(super) fn content(&self) -> Option<&[u8]> {
        let mut content = &*self.payload;
        if self.head.has(PADDED) {
            let (padding, rest) = content.split_first()?;
            content = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        if self.head.kind == HEADERS && self.head.has(PRIORITY) {
            content = content.get(5..)?;
        }
        Some(content)
    }

    /// The number of 32 bits that its payload holds there.
    pub(super) fn number(&self, at: usize) -> Option<u32> {
        self.payload.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// Writes a frame.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a payload is bounded");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The name of an error (RFC 9113 §7).
pub(super) fn error(code: u32) -> String {
    let names = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let named = usize::try_from(code).ok().and_then(|code| names.get(code));
    named.map_or_else(|| format!("error {code}"), |name| (*name).to_owned())
}
