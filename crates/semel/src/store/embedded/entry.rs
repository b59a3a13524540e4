//! What bookkeeping needs to know of a frame without reading it again.

use std::collections::BTreeMap;

use semel_core::{Record, Span, State, StoredReply, Timestamp};

/// What a frame means for room and for the end of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// In flight.
    Flight,
    /// In doubt: whoever knows better may still settle it.
    Doubt,
    /// Resolved by somebody who did not know the reply: it may still come.
    Unanswered,
    /// At an end.
    Ended,
    /// Forgotten.
    Deleted,
}

impl Class {
    pub(super) fn of(record: &Record) -> Self {
        match (record.state, record.outcome.as_ref().map(|outcome| &outcome.reply)) {
            (State::InFlight, _) => Self::Flight,
            (State::InDoubt(_), _) => Self::Doubt,
            (State::Completed, Some(StoredReply::Unknown)) => Self::Unanswered,
            (State::Completed | State::Released | State::Spent | State::Voided, _) => Self::Ended,
        }
    }

    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Flight => 0,
            Self::Doubt => 1,
            Self::Unanswered => 2,
            Self::Ended => 3,
            Self::Deleted => 4,
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Flight),
            1 => Some(Self::Doubt),
            2 => Some(Self::Unanswered),
            3 => Some(Self::Ended),
            4 => Some(Self::Deleted),
            _ => None,
        }
    }

    /// Whether room is set aside for a settle that may come.
    pub(super) const fn reserves(self) -> bool {
        matches!(self, Self::Flight | Self::Doubt | Self::Unanswered)
    }
}

/// One frame that is the present one of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tag: u64,
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) class: Class,
    /// When its whole record need not be kept any more; never, while its end is open.
    pub(super) end: Timestamp,
}

/// When a record may leave the log: at the end of its retention, for then no reply is replayed.
pub(super) fn record_end(record: &Record) -> Timestamp {
    match record.state {
        State::InFlight | State::InDoubt(_) => Timestamp::NEVER,
        State::Completed | State::Released | State::Spent | State::Voided => {
            record.since().plus(record.retention)
        }
    }
}

/// How many bytes of a segment are still the present record of some key, by when they may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) used: u64,
    live: BTreeMap<u64, u64>,
}

impl Tally {
    fn bucket(end: Timestamp, width: Span) -> u64 {
        match end {
            Timestamp::NEVER => u64::MAX,
            end => end.as_unix_ms().div_ceil(width.as_ms()),
        }
    }

    pub(super) fn add(&mut self, len: u32, end: Timestamp, width: Span) {
        *self.live.entry(Self::bucket(end, width)).or_default() += u64::from(len);
    }

    pub(super) fn take(&mut self, len: u32, end: Timestamp, width: Span) {
        let bucket = Self::bucket(end, width);
        let left = self.live.get(&bucket).map(|bytes| bytes.saturating_sub(u64::from(len)));
        match left {
            Some(0) | None => self.live.remove(&bucket),
            Some(left) => self.live.insert(bucket, left),
        };
    }

    /// Bytes that may not go before `time`.
    pub(super) fn live_after(&self, time: Timestamp, width: Span) -> u64 {
        self.live.range(time.as_unix_ms() / width.as_ms() + 1..).map(|(_, bytes)| bytes).sum()
    }

    /// Bytes of present records that may go at `time`.
    pub(super) fn ended(&self, time: Timestamp, width: Span) -> u64 {
        self.live.range(..=time.as_unix_ms() / width.as_ms()).map(|(_, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_tells_what_may_go_and_when() {
        let width = Span::from_ms(10);
        let at = Timestamp::from_unix_ms;
        let mut tally = Tally::default();
        tally.add(5, at(20), width);
        tally.add(7, at(21), width);
        tally.add(9, Timestamp::NEVER, width);
        assert_eq!((tally.ended(at(19), width), tally.live_after(at(19), width)), (0, 21));
        assert_eq!((tally.ended(at(20), width), tally.live_after(at(20), width)), (5, 16));
        assert_eq!(tally.ended(at(29), width), 5, "a bucket goes as a whole, and never early");
        assert_eq!(tally.ended(at(30), width), 12);
        tally.take(9, Timestamp::NEVER, width);
        assert_eq!(tally.live_after(at(30), width), 0);
    }
}
