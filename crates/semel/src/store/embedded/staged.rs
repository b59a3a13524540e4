//! The writes of one batch while they are not durable yet: seen by the writes that follow in the
//! same batch, and by nobody else.

use std::collections::HashMap;

use semel_core::store::Put;
use semel_core::{Record, RecordId, StoreError, Timestamp, Version};

use super::entry::{Class, record_end};
use super::read::Found;
use super::shared::{At, Shared, held};

/// The frame that a write replaces once it is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Old {
    pub(super) at: At,
    pub(super) class: Class,
    pub(super) end: Timestamp,
}

impl Old {
    pub(super) fn of(record: &Record, at: At) -> Self {
        Self { at, class: Class::of(record), end: record_end(record) }
    }
}

/// What stands under an id as the next write in the batch sees it.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) version: Option<Version>,
    /// Left out where the version was all that was asked for.
    pub(super) record: Option<Record>,
    /// The class of the record, durable or not.
    pub(super) class: Option<Class>,
    /// The durable frame.
    pub(super) old: Option<Old>,
}

/// The last write to one id in the batch.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) old: Option<Old>,
    /// Why it cannot be read, where a record is carried over that nobody here can read: whoever asks
    /// for it is told so, for it is not absent.
    pub(super) new: Result<Put, StoreError>,
    pub(super) class: Class,
    pub(super) end: Timestamp,
    /// Of the frame, from the start of the batch.
    pub(super) offset: u32,
    pub(super) len: u32,
}

#[derive(Debug, Default)]
pub(super) struct Staged {
    order: Vec<RecordId>,
    by_id: HashMap<RecordId, Change>,
    /// By how many the records that reserve room will grow.
    pub(super) reserving: i64,
}

impl Staged {
    pub(super) fn has(&self, id: &RecordId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn add(&mut self, id: RecordId, was: Option<Class>, change: Change) {
        let reserves = |class: Class| i64::from(class.reserves());
        self.reserving += reserves(change.class) - was.map_or(0, reserves);
        if self.by_id.insert(id, change).is_none() {
            self.order.push(id);
        }
    }

    /// The last write to each id, in the order in which the ids came first.
    pub(super) fn drain(&mut self) -> Vec<(RecordId, Change)> {
        self.reserving = 0;
        let order = std::mem::take(&mut self.order);
        let changes = order.into_iter().filter_map(|id| Some((id, self.by_id.remove(&id)?)));
        changes.collect()
    }

    /// What stands under `id`, in the batch or on disk. A record in flight of the expected version
    /// is not read again: that is every settle.
    pub(super) fn current(
        &self,
        shared: &Shared,
        id: &RecordId,
        expected: Option<Version>,
    ) -> Result<Current, StoreError> {
        if let Some(change) = self.by_id.get(id) {
            let record = match &change.new {
                Ok(Put::Record(record)) => Some(record.clone()),
                Ok(Put::Delete) => None,
                Err(unread) => return Err(unread.clone()),
            };
            return Ok(Current {
                version: record.as_ref().map(Record::version),
                record,
                class: Some(change.class),
                old: change.old,
            });
        }
        if let Some(flight) = held(&shared.flights).get(id)
            && Some(flight.version) == expected
        {
            let old = Old { at: flight.at, class: Class::Flight, end: Timestamp::NEVER };
            return Ok(Current {
                version: expected,
                record: None,
                class: Some(Class::Flight),
                old: Some(old),
            });
        }
        Ok(match shared.find(id)? {
            Found::Absent => Current { version: None, record: None, class: None, old: None },
            Found::Deleted(at) => {
                let old = Old { at, class: Class::Deleted, end: Timestamp::ZERO };
                Current { version: None, record: None, class: Some(Class::Deleted), old: Some(old) }
            }
            Found::Here(record, at) => Current {
                version: Some(record.version()),
                class: Some(Class::of(&record)),
                old: at.map(|at| Old::of(&record, at)),
                record: Some(record),
            },
        })
    }
}
