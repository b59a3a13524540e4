//! One spent key as 29 bytes, and the record that it stands for.

use semel_core::{
    Effect, Fence, Owner, Record, RecordId, Settled, Span, State, StoredReply, Timestamp,
};

pub(super) const ENTRY: usize = 29;
const HOUR_MS: u64 = 3_600_000;
pub(super) const FOREVER: u32 = 0xff_ffff;
/// Stands for every revision that a byte does not hold.
const MANY: u8 = u8::MAX;
const VOID: u8 = 1;
const OUTCOME: u8 = 2;

/// A spent or voided key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct SpentEntry(pub(super) [u8; ENTRY]);

/// The part of an id that a table keeps.
pub(super) fn short(id: &RecordId) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&id.0[..16]);
    short
}

/// A time in whole hours, rounded up. What three bytes do not hold is never: a key that is known too
/// long runs no second time.
pub(super) fn to_hours(time: Timestamp) -> u32 {
    u32::try_from(time.as_unix_ms().div_ceil(HOUR_MS)).map_or(FOREVER, |hours| hours.min(FOREVER))
}

/// A revision as it was, or one that no log reaches: it is later than each that the key had, so no
/// write that was decided on one of those is taken for a write to this one.
const fn revision(byte: u8) -> u32 {
    if byte == MANY { 1 << 31 } else { byte as u32 }
}

pub(super) const fn from_hours(hours: u32) -> Timestamp {
    if hours == FOREVER {
        return Timestamp::NEVER;
    }
    Timestamp::from_unix_ms(hours as u64 * HOUR_MS)
}

impl SpentEntry {
    /// The entry of a spent or voided record; `None` when the record has something that an entry
    /// cannot hold, and must stay a record.
    pub(in super::super) fn of(id: &RecordId, record: &Record) -> Option<Self> {
        let void = match record.state {
            State::Spent => 0,
            State::Voided => VOID,
            State::InFlight | State::InDoubt(_) | State::Completed | State::Released => {
                return None;
            }
        };
        let revision = u8::try_from(record.revision).unwrap_or(MANY);
        if record.fence.0 >= 1 << 48 {
            return None;
        }
        let (outcome, effect, status) = match &record.outcome {
            None => (0, 0, 0),
            Some(settled) if settled.reply == StoredReply::Gone => {
                let effect = match settled.effect {
                    Effect::None => 0,
                    Effect::Done => 1,
                    Effect::Unknown => 2,
                };
                (OUTCOME, effect, settled.status.unwrap_or(0))
            }
            Some(_) => return None,
        };
        let hours = to_hours(record.memory_end());
        let mut out = [0; ENTRY];
        out[..16].copy_from_slice(&short(id));
        out[16..22].copy_from_slice(&record.fence.0.to_le_bytes()[..6]);
        out[22] = revision;
        out[23] = void | outcome | effect << 2 | (record.attempt.min(15) as u8) << 4;
        out[24..26].copy_from_slice(&status.to_le_bytes());
        out[26..29].copy_from_slice(&hours.to_le_bytes()[..3]);
        Some(Self(out))
    }

    pub(super) fn key(&self) -> [u8; 16] {
        let mut key = [0; 16];
        key.copy_from_slice(&self.0[..16]);
        key
    }

    /// The id, filled up with zeros: it finds this entry again.
    pub(in super::super) fn id(&self) -> RecordId {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&self.0[..16]);
        RecordId(id)
    }

    /// When the key may be forgotten: up to an hour later than the record said.
    pub(in super::super) fn memory_end(&self) -> Timestamp {
        from_hours(u32::from_le_bytes([self.0[26], self.0[27], self.0[28], 0]))
    }

    /// What is still known. The moment of the settle is not: the fence, which is the time of the
    /// claim, stands in for it.
    pub(in super::super) fn record(&self) -> Record {
        let mut fence = [0; 8];
        fence[..6].copy_from_slice(&self.0[16..22]);
        let fence = Fence(u64::from_le_bytes(fence));
        let flags = self.0[23];
        let status = u16::from_le_bytes([self.0[24], self.0[25]]);
        let end = self.memory_end();
        let since = Timestamp::from_unix_ms(fence.0).min(end);
        let memory = if end == Timestamp::NEVER { Span::FOREVER } else { end.since(since) };
        let effect = match flags >> 2 & 3 {
            0 => Effect::None,
            1 => Effect::Done,
            _ => Effect::Unknown,
        };
        Record {
            state: if flags & VOID != 0 { State::Voided } else { State::Spent },
            fence,
            revision: revision(self.0[22]),
            stamp: since,
            fingerprint: None,
            owner: Owner([0; 16]),
            attempt: u32::from(flags >> 4),
            executed_fence: None,
            earlier_doubt: false,
            on_lapse: semel_core::OnLapse::Hold,
            lease: Span::ZERO,
            ceiling: Span::ZERO,
            began: None,
            lapsed_at: since,
            since: Some(since),
            retention: Span::ZERO,
            memory,
            grace: Span::ZERO,
            keep_until: Timestamp::ZERO,
            route: None,
            outcome: (flags & OUTCOME != 0).then_some(Settled {
                digest: None,
                status: (status != 0).then_some(status),
                effect,
                reply: StoredReply::Gone,
            }),
        }
    }
}
