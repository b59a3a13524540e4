//! One user of a store, as an engine is: reads, decides by the machine, writes.

use std::sync::Arc;

use crate::id::{Incarnation, RecordId, Version};
use crate::machine::{Answer, Event, Write, step};
use crate::policy::Policy;
use crate::record::Record;
use crate::store::{Put, Store, StoreError, Swap, Swapped};
use crate::time::{Span, Timestamp};

/// The time that each write is given.
pub(super) const DEADLINE: Span = Span::from_secs(5);

/// Far more conflicts than any case can cause: beyond it the store answers conflict for ever.
const CONFLICTS_MAX: usize = 10_000;

/// What became of an event.
#[derive(Clone, Debug)]
pub(super) struct Acted {
    pub(super) answer: Answer,
    /// The record after it.
    pub(super) record: Option<Record>,
    /// Whether this very event wrote it.
    pub(super) wrote: bool,
}

/// One user of a store.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) store: Arc<dyn Store>,
    pub(super) incarnation: Incarnation,
    pub(super) policy: Policy,
}

impl Client {
    pub(super) async fn new(store: Arc<dyn Store>) -> Self {
        let incarnation = store.status().await.expect("an open store has a status").incarnation;
        Self { store, incarnation, policy: Policy::default() }
    }

    pub(super) fn with_policy(&self, policy: Policy) -> Self {
        Self { policy, ..self.clone() }
    }

    pub(super) async fn now(&self) -> Timestamp {
        self.store.status().await.expect("an open store tells the time").at
    }

    pub(super) async fn load(&self, id: RecordId) -> Option<Record> {
        self.store.load(id).await.expect("an open store reads").record
    }

    /// A swap with a deadline that lies ahead.
    pub(super) async fn swap(
        &self,
        id: RecordId,
        expected: Option<Version>,
        write: Put,
    ) -> Result<Swapped, StoreError> {
        let deadline = self.now().await.plus(DEADLINE);
        let incarnation = self.incarnation;
        self.store.swap(Swap { id, incarnation, expected, write, deadline }).await
    }

    /// Writes what must be written without conflict, and returns it as the store stamped it.
    pub(super) async fn put(
        &self,
        id: RecordId,
        expected: Option<&Record>,
        record: &Record,
    ) -> Record {
        let expected = expected.map(Record::version);
        match self.swap(id, expected, Put::Record(record.clone())).await {
            Ok(Swapped::Done { at }) => Record { stamp: at, ..record.clone() },
            other => panic!("the version {expected:?} stands, so the write is due: {other:?}"),
        }
    }

    /// Lets `event` happen to the key. A claim believes at first that the key is new: that is the
    /// one round trip of an engine.
    pub(super) async fn try_act(&self, id: RecordId, event: &Event) -> Result<Acted, StoreError> {
        let (mut record, mut at) = match event {
            Event::Claim(_) => (None, self.store.status().await?.at),
            Event::Renew(_)
            | Event::Settle(..)
            | Event::Sweep
            | Event::Resolve(_)
            | Event::Void(_)
            | Event::Ack
            | Event::Erase => {
                let loaded = self.store.load(id).await?;
                (loaded.record, loaded.at)
            }
        };
        for _ in 0..CONFLICTS_MAX {
            let decided = step(record.as_ref(), event, at, &self.policy);
            let answer = decided.answer;
            let (write, after) = match decided.write {
                Write::Keep => return Ok(Acted { answer, record, wrote: false }),
                Write::Put(record) => (Put::Record(record.clone()), Some(record)),
                Write::Delete => (Put::Delete, None),
            };
            match self.swap(id, record.as_ref().map(Record::version), write).await? {
                Swapped::Done { at } => {
                    let record = after.map(|record| Record { stamp: at, ..record });
                    return Ok(Acted { answer, record, wrote: true });
                }
                Swapped::Conflict { current, at: now } => (record, at) = (current, now),
            }
        }
        panic!("{CONFLICTS_MAX} conflicts in a row: the store never lets {event:?} through");
    }

    /// [`Client::try_act`] on a store that must not fail.
    pub(super) async fn act(&self, id: RecordId, event: &Event) -> Acted {
        match self.try_act(id, event).await {
            Ok(acted) => acted,
            Err(error) => panic!("the store must carry out {event:?}: {error}"),
        }
    }

    /// A claim that must lead to an execution; returns the record it runs under.
    pub(super) async fn execute(&self, id: RecordId, claim: &Event) -> Record {
        let acted = self.act(id, claim).await;
        assert_eq!(acted.answer, Answer::Execute, "over {:?}", acted.record);
        acted.record.expect("a claim that executes has written its record")
    }

    /// What a sweep does: all that is due now, until nothing is.
    pub(super) async fn sweep(&self) {
        for _ in 0..CONFLICTS_MAX {
            let now = self.now().await;
            let due = self.store.due(now, 50).await.expect("an open store lists what is due");
            if due.is_empty() {
                return;
            }
            for (id, record) in due {
                let acted = self.act(id, &Event::Sweep).await;
                assert_eq!(acted.answer, Answer::Swept, "due, but not to be swept: {record:?}");
            }
        }
        panic!("the sweep finds no end");
    }
}
