//! Framing: how records become bytes that can be told from torn and foreign ones.
//!
//! ```text
//! batch   4 magic · 4 CRC-32 of the next 40 bytes · 8 segment · 8 sequence · 8 high-water mark
//!         4 payload length · 4 frames · 4 CRC-32 of the payload · 4 zero · payload · zeros up to a sector
//! frame   4 length of all of it · 4 CRC-32 of all after these eight bytes · 1 kind · 32 id · body
//! ```
//!
//! All integers are little-endian. A batch begins on a sector, so no write touches a sector with
//! acknowledged bytes. It names its segment: what a recycled file held before is never taken for
//! something new. A frame has a checksum of its own, so that one read by position proves itself
//! whole, its id included, without its batch.

use semel_core::{RecordId, Timestamp};

/// The unit that a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
pub(super) const BATCH_HEADER: usize = 48;
pub(super) const FRAME_HEADER: usize = 41;
const MAGIC: u32 = u32::from_le_bytes(*b"SmlB");

/// What a frame says of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body is the record.
    Put,
    /// The key is forgotten; the body is empty.
    Delete,
    /// What stood here is lost; the body is the sequence of the next batch. Written by repair.
    Gap,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Put => 1,
            Self::Delete => 2,
            Self::Gap => 3,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Put),
            2 => Some(Self::Delete),
            3 => Some(Self::Gap),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) segment: u64,
    pub(super) sequence: u64,
    pub(super) high_water: Timestamp,
    pub(super) length: u32,
    pub(super) count: u32,
    pub(super) payload_crc: u32,
}

impl BatchHeader {
    /// Bytes of the whole batch, padding included.
    pub(super) const fn span(&self) -> usize {
        (BATCH_HEADER + self.length as usize).next_multiple_of(SECTOR)
    }

    fn encode(&self) -> [u8; BATCH_HEADER] {
        let mut out = [0; BATCH_HEADER];
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..16].copy_from_slice(&self.segment.to_le_bytes());
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..32].copy_from_slice(&self.high_water.as_unix_ms().to_le_bytes());
        out[32..36].copy_from_slice(&self.length.to_le_bytes());
        out[36..40].copy_from_slice(&self.count.to_le_bytes());
        out[40..44].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`, if it is whole and of `segment`.
    pub(super) fn parse(bytes: &[u8], segment: u64) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER)?;
        if u32_at(bytes, 0)? != MAGIC || u32_at(bytes, 4)? != crc32fast::hash(&bytes[8..]) {
            return None;
        }
        let header = Self {
            segment: u64_at(bytes, 8)?,
            sequence: u64_at(bytes, 16)?,
            high_water: Timestamp::from_unix_ms(u64_at(bytes, 24)?),
            length: u32_at(bytes, 32)?,
            count: u32_at(bytes, 36)?,
            payload_crc: u32_at(bytes, 40)?,
        };
        (header.segment == segment).then_some(header)
    }

    /// Whether `bytes` were meant as the header of this batch: at least two of its three names are
    /// there. Tells a torn or damaged batch from what a recycled file held before.
    pub(super) fn resembles(bytes: &[u8], segment: u64, sequence: u64) -> bool {
        let names = [
            u32_at(bytes, 0) == Some(MAGIC),
            u64_at(bytes, 8) == Some(segment),
            u64_at(bytes, 16) == Some(sequence),
        ];
        names.into_iter().filter(|name| *name).count() >= 2
    }

    /// The payload behind the header at the start of `bytes`, if it is whole.
    pub(super) fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let payload = bytes.get(BATCH_HEADER..)?.get(..self.length as usize)?;
        (crc32fast::hash(payload) == self.payload_crc).then_some(payload)
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Collects frames until they are sealed into one batch.
#[derive(Debug)]
pub(super) struct BatchWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl BatchWriter {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; BATCH_HEADER], count: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(BATCH_HEADER, 0);
        self.count = 0;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, without padding.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes on disk if it were sealed now.
    pub(super) fn span(&self) -> usize {
        self.bytes.len().next_multiple_of(SECTOR)
    }

    /// Bytes on disk if it were sealed with one more frame of `len` bytes.
    pub(super) fn span_with(&self, len: usize) -> usize {
        (self.bytes.len() + len).next_multiple_of(SECTOR)
    }

    /// Adds a frame; returns where it begins, from the start of the batch, and its length.
    pub(super) fn push(&mut self, kind: Kind, id: &RecordId, body: &[u8]) -> (u32, u32) {
        let at = self.bytes.len();
        let len = FRAME_HEADER + body.len();
        assert!(at + len < u32::MAX as usize, "a batch is bounded far below 4 GiB");
        self.bytes.extend_from_slice(&(len as u32).to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.push(kind.byte());
        self.bytes.extend_from_slice(&id.0);
        self.bytes.extend_from_slice(body);
        let crc = crc32fast::hash(&self.bytes[at + 8..]);
        self.bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        self.count += 1;
        (at as u32, len as u32)
    }

    /// The batch as it goes to disk.
    pub(super) fn seal(&mut self, segment: u64, sequence: u64, high_water: Timestamp) -> &[u8] {
        let payload = &self.bytes[BATCH_HEADER..];
        let header = BatchHeader {
            segment,
            sequence,
            high_water,
            length: payload.len() as u32,
            count: self.count,
            payload_crc: crc32fast::hash(payload),
        };
        self.bytes[..BATCH_HEADER].copy_from_slice(&header.encode());
        self.bytes.resize(self.span(), 0);
        &self.bytes
    }
}

/// A frame as it stands in `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) id: RecordId,
    pub(super) body: &'a [u8],
    pub(super) len: u32,
}

/// The length that the frame at the start of `bytes` claims.
pub(super) fn frame_len(bytes: &[u8]) -> Option<usize> {
    u32_at(bytes, 0).map(|len| len as usize).filter(|len| *len >= FRAME_HEADER)
}

/// The frame at the start of `bytes`, if it is whole.
pub(super) fn parse_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let len = frame_len(bytes)?;
    let frame = bytes.get(..len)?;
    if u32_at(frame, 4)? != crc32fast::hash(&frame[8..]) {
        return None;
    }
    let id = RecordId(frame.get(9..FRAME_HEADER)?.try_into().ok()?);
    Some(Frame { kind: Kind::of(frame[8])?, id, body: &frame[FRAME_HEADER..], len: len as u32 })
}

/// The frames of a payload with their offsets in it; `None` in place of the first that is not whole.
pub(super) fn frames(payload: &[u8]) -> impl Iterator<Item = Option<(u32, Frame<'_>)>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= payload.len() {
            return None;
        }
        let Some(frame) = parse_frame(&payload[at..]) else {
            at = payload.len();
            return Some(None);
        };
        let here = at as u32;
        at += frame.len as usize;
        Some(Some((here, frame)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Vec<u8> {
        let mut writer = BatchWriter::new();
        writer.push(Kind::Put, &RecordId([7; 32]), b"a record");
        writer.push(Kind::Delete, &RecordId([8; 32]), b"");
        writer.seal(3, 9, Timestamp::from_unix_ms(5)).to_vec()
    }

    #[test]
    fn a_batch_reads_back_what_was_pushed() {
        let bytes = batch();
        assert_eq!(bytes.len() % SECTOR, 0);
        let header = BatchHeader::parse(&bytes, 3).expect("it is whole");
        assert_eq!((header.sequence, header.count, header.span()), (9, 2, bytes.len()));
        let payload = header.payload(&bytes).expect("it is whole");
        let kinds: Vec<_> = frames(payload).flatten().map(|(_, f)| (f.kind, f.id.0[0])).collect();
        assert_eq!(kinds, [(Kind::Put, 7), (Kind::Delete, 8)]);
    }

    #[test]
    fn a_batch_of_another_segment_is_none() {
        assert_eq!(BatchHeader::parse(&batch(), 4), None);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let whole = batch();
        let used = BATCH_HEADER + BatchHeader::parse(&whole, 3).expect("whole").length as usize;
        for bit in 0..used * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = BatchHeader::parse(&bytes, 3).and_then(|h| h.payload(&bytes).map(|_| ()));
            assert_eq!(read, None, "bit {bit} was flipped unseen");
        }
    }
}
