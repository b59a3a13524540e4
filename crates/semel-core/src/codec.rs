//! A record as bytes: versioned, checked, strict.
//!
//! Layout of version 2, all integers little-endian:
//!
//! ```text
//! 1  version (2)
//! 1  state (0 in flight, 1 in doubt/lapsed, 2 in doubt/declared, 3 completed, 4 released, 5 spent, 6 void)
//! 1  flags (1 fingerprint, 2 executed fence, 4 earlier doubt, 8 rerun, 16 began, 32 since, 64 outcome,
//!    128 route)
//! 8  stamp, 8 fence, 4 revision, 16 owner, 4 attempt
//! 8  lease, 8 ceiling, 8 lapsed at, 8 retention, 8 memory, 8 grace, 8 keep until
//! …  what the flags announce, in their order: fingerprint (2 rules, 16 digest, 6 × 4 parts),
//!    8 executed fence, 8 began, 8 since, 8 route, outcome (1 has digest, 16 digest, 2 status or 0,
//!    1 effect, 1 reply kind, 4 length, bytes)
//! 4  CRC-32 of all that stands before
//! ```
//!
//! Version 1 is the same without the route.
//!
//! An unknown version or a failed checksum is an error that stops the request. It is never "new":
//! whoever cannot read what happened must not let it happen again. Old versions stay readable, with
//! a fixture each.

use bytes::Bytes;

use crate::fingerprint::{Fingerprint, PARTS};
use crate::id::{Digest, Fence, Owner, RouteTag};
use crate::policy::OnLapse;
use crate::record::{Doubt, Effect, Record, Sealed, SealedUnder, Settled, State, StoredReply};
use crate::time::{Span, Timestamp};

/// The version that [`encode`] writes.
pub const VERSION: u8 = 2;

/// Bytes of the longest record of this version beside its sealed reply: what a claim must reserve
/// for its settle, on top of the reply.
pub const OVERHEAD_MAX: usize = 1 + 1 + 1 + 8 + 8 + 4 + 16 + 4 + 7 * 8 + 42 + 4 * 8 + 25 + 4;

const FINGERPRINT: u8 = 1;
const EXECUTED: u8 = 2;
const EARLIER_DOUBT: u8 = 4;
const RERUN: u8 = 8;
const BEGAN: u8 = 16;
const SINCE: u8 = 32;
const OUTCOME: u8 = 64;
const ROUTE: u8 = 128;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a later Semel.
    #[error(
        "record version {found} is unknown here (this Semel reads up to {VERSION}): run the version that wrote it, or a later one"
    )]
    UnknownVersion {
        /// The version found.
        found: u8,
    },
    /// The bytes changed after they were written.
    #[error(
        "record checksum does not match (stored {stored:08x}, computed {computed:08x}): the record was damaged after it was written"
    )]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// Fewer or more bytes than the record says.
    #[error("record length is wrong at byte {at}")]
    Length {
        /// Where reading stopped.
        at: usize,
    },
    /// A field holds a value that this version never writes.
    #[error("record field `{field}` holds {value}, which no version up to {VERSION} writes")]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u8,
    },
}

/// The record as bytes of the present version.
#[must_use]
pub fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(OVERHEAD_MAX + reply_len(record));
    let mut flags = 0;
    for (bit, on) in [
        (FINGERPRINT, record.fingerprint.is_some()),
        (EXECUTED, record.executed_fence.is_some()),
        (EARLIER_DOUBT, record.earlier_doubt),
        (RERUN, record.on_lapse == OnLapse::Rerun),
        (BEGAN, record.began.is_some()),
        (SINCE, record.since.is_some()),
        (OUTCOME, record.outcome.is_some()),
        (ROUTE, record.route.is_some()),
    ] {
        if on {
            flags |= bit;
        }
    }
    out.extend_from_slice(&[VERSION, state_byte(record.state), flags]);
    out.extend_from_slice(&record.stamp.as_unix_ms().to_le_bytes());
    out.extend_from_slice(&record.fence.0.to_le_bytes());
    out.extend_from_slice(&record.revision.to_le_bytes());
    out.extend_from_slice(&record.owner.0);
    out.extend_from_slice(&record.attempt.to_le_bytes());
    for ms in [
        record.lease.as_ms(),
        record.ceiling.as_ms(),
        record.lapsed_at.as_unix_ms(),
        record.retention.as_ms(),
        record.memory.as_ms(),
        record.grace.as_ms(),
        record.keep_until.as_unix_ms(),
    ] {
        out.extend_from_slice(&ms.to_le_bytes());
    }
    if let Some(fingerprint) = &record.fingerprint {
        out.extend_from_slice(&fingerprint.rules.to_le_bytes());
        out.extend_from_slice(&fingerprint.digest);
        for part in fingerprint.parts {
            out.extend_from_slice(&part.to_le_bytes());
        }
    }
    for time in [
        record.executed_fence.map(|f| f.0),
        record.began.map(Timestamp::as_unix_ms),
        record.since.map(Timestamp::as_unix_ms),
    ]
    .into_iter()
    .flatten()
    {
        out.extend_from_slice(&time.to_le_bytes());
    }
    if let Some(route) = &record.route {
        out.extend_from_slice(&route.0);
    }
    if let Some(outcome) = &record.outcome {
        encode_outcome(outcome, &mut out);
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn reply_len(record: &Record) -> usize {
    match record.outcome.as_ref().map(|o| &o.reply) {
        Some(StoredReply::Sealed(sealed)) => sealed.bytes.len(),
        Some(StoredReply::NotKept | StoredReply::Unknown | StoredReply::Gone) | None => 0,
    }
}

fn encode_outcome(outcome: &Settled, out: &mut Vec<u8>) {
    out.push(u8::from(outcome.digest.is_some()));
    out.extend_from_slice(&outcome.digest.map_or([0; 16], |d| d.0));
    out.extend_from_slice(&outcome.status.unwrap_or(0).to_le_bytes());
    out.push(match outcome.effect {
        Effect::None => 0,
        Effect::Done => 1,
        Effect::Unknown => 2,
    });
    let (kind, bytes): (u8, &[u8]) = match &outcome.reply {
        StoredReply::NotKept => (0, &[]),
        StoredReply::Unknown => (1, &[]),
        StoredReply::Gone => (2, &[]),
        StoredReply::Sealed(Sealed { under: SealedUnder::Caller, bytes }) => (3, bytes),
        StoredReply::Sealed(Sealed { under: SealedUnder::Server, bytes }) => (4, bytes),
    };
    let len = u32::try_from(bytes.len());
    assert!(len.is_ok(), "a stored reply is capped far below 4 GiB");
    out.push(kind);
    out.extend_from_slice(&len.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(bytes);
}

const fn state_byte(state: State) -> u8 {
    match state {
        State::InFlight => 0,
        State::InDoubt(Doubt::Lapsed) => 1,
        State::InDoubt(Doubt::Declared) => 2,
        State::Completed => 3,
        State::Released => 4,
        State::Spent => 5,
        State::Voided => 6,
    }
}

/// Reads a record of any version that was ever written. The sealed reply shares the input's memory.
///
/// # Errors
/// [`DecodeError`]; the caller must then refuse the request.
pub fn decode(bytes: &Bytes) -> Result<Record, DecodeError> {
    let found = *bytes.first().ok_or(DecodeError::Length { at: 0 })?;
    if !(1..=VERSION).contains(&found) {
        return Err(DecodeError::UnknownVersion { found });
    }
    let end = bytes.len().checked_sub(4).ok_or(DecodeError::Length { at: bytes.len() })?;
    let mut tail = Reader { bytes, at: end };
    let stored = u32::from_le_bytes(tail.array()?);
    let computed = crc32fast::hash(bytes.get(..end).unwrap_or_default());
    if stored != computed {
        return Err(DecodeError::Checksum { stored, computed });
    }
    let body = bytes.slice(..end);
    let mut reader = Reader { bytes: &body, at: 1 };
    let record = decode_body(&mut reader, found)?;
    if reader.at != end {
        return Err(DecodeError::Length { at: reader.at });
    }
    Ok(record)
}

/// What stands between the version and the checksum.
fn decode_body(r: &mut Reader<'_>, version: u8) -> Result<Record, DecodeError> {
    let state = match r.u8()? {
        0 => State::InFlight,
        1 => State::InDoubt(Doubt::Lapsed),
        2 => State::InDoubt(Doubt::Declared),
        3 => State::Completed,
        4 => State::Released,
        5 => State::Spent,
        6 => State::Voided,
        value => return Err(DecodeError::Value { field: "state", value }),
    };
    let flags = r.u8()?;
    let on = |bit| flags & bit != 0;
    if version == 1 && on(ROUTE) {
        return Err(DecodeError::Value { field: "flags", value: flags });
    }
    Ok(Record {
        state,
        stamp: r.timestamp()?,
        fence: r.fence()?,
        revision: r.revision()?,
        owner: Owner(r.array()?),
        attempt: r.u32()?,
        lease: r.span()?,
        ceiling: r.span()?,
        lapsed_at: r.timestamp()?,
        retention: r.span()?,
        memory: r.span()?,
        grace: r.span()?,
        keep_until: r.timestamp()?,
        earlier_doubt: on(EARLIER_DOUBT),
        on_lapse: if on(RERUN) { OnLapse::Rerun } else { OnLapse::Hold },
        fingerprint: if on(FINGERPRINT) { Some(r.fingerprint()?) } else { None },
        executed_fence: if on(EXECUTED) { Some(Fence(r.u64()?)) } else { None },
        began: if on(BEGAN) { Some(r.timestamp()?) } else { None },
        since: if on(SINCE) { Some(r.timestamp()?) } else { None },
        route: if on(ROUTE) { Some(RouteTag(r.array()?)) } else { None },
        outcome: if on(OUTCOME) { Some(r.outcome()?) } else { None },
    })
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let end = self.at + N;
        let slice = self.bytes.get(self.at..end).ok_or(DecodeError::Length { at: self.at })?;
        self.at = end;
        slice.try_into().map_err(|_| DecodeError::Length { at: self.at })
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn timestamp(&mut self) -> Result<Timestamp, DecodeError> {
        Ok(Timestamp::from_unix_ms(self.u64()?))
    }

    fn span(&mut self) -> Result<Span, DecodeError> {
        Ok(Span::from_ms(self.u64()?))
    }

    /// The machine must have a number left for the next execution, and for the next write.
    fn fence(&mut self) -> Result<Fence, DecodeError> {
        match self.u64()? {
            u64::MAX => Err(DecodeError::Value { field: "fence", value: u8::MAX }),
            fence => Ok(Fence(fence)),
        }
    }

    fn revision(&mut self) -> Result<u32, DecodeError> {
        match self.u32()? {
            u32::MAX => Err(DecodeError::Value { field: "revision", value: u8::MAX }),
            revision => Ok(revision),
        }
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, DecodeError> {
        let (rules, digest) = (self.u16()?, self.array()?);
        let mut parts = [0; PARTS];
        for part in &mut parts {
            *part = self.u32()?;
        }
        Ok(Fingerprint { rules, digest, parts })
    }

    fn outcome(&mut self) -> Result<Settled, DecodeError> {
        let has_digest = self.u8()?;
        let digest = Digest(self.array()?);
        let status = self.u16()?;
        let effect = match self.u8()? {
            0 => Effect::None,
            1 => Effect::Done,
            2 => Effect::Unknown,
            value => return Err(DecodeError::Value { field: "effect", value }),
        };
        let kind = self.u8()?;
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let end = self.at.saturating_add(len);
        if end > self.bytes.len() {
            return Err(DecodeError::Length { at: self.at });
        }
        let bytes = self.bytes.slice(self.at..end);
        self.at = end;
        if kind < 3 && len != 0 {
            // Only a sealed reply has bytes.
            return Err(DecodeError::Value { field: "reply", value: kind });
        }
        let sealed = |under| StoredReply::Sealed(Sealed { under, bytes: bytes.clone() });
        let reply = match kind {
            0 => StoredReply::NotKept,
            1 => StoredReply::Unknown,
            2 => StoredReply::Gone,
            3 => sealed(SealedUnder::Caller),
            4 => sealed(SealedUnder::Server),
            value => return Err(DecodeError::Value { field: "reply", value }),
        };
        let digest = match has_digest {
            0 if digest.0 == [0; 16] => None,
            1 => Some(digest),
            value => return Err(DecodeError::Value { field: "digest", value }),
        };
        let status = (status != 0).then_some(status);
        Ok(Settled { digest, status, effect, reply })
    }
}
