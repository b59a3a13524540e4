//! A store without threads on a simulated disk, driven by hand.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use semel::entropy::Entropy;
use semel::store::embedded::faults::FaultDisk;
use semel::store::embedded::{
    Driver, EmbeddedOptions, EmbeddedStore, Ground, Maintained, OpenError,
};
use semel::time::ManualClock;
use semel_core::machine::{Answer, Claim, Event, Outcome, Resolution, Write, step};
use semel_core::store::{Put, Swap, Swapped};
use semel_core::{
    Digest, Effect, Fence, Fingerprint, Owner, Policy, Record, RecordId, Sealed, SealedUnder,
    Settled, Span, Store, StoreError, StoredReply, Timestamp, Version,
};

pub(super) const START: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);
pub(super) const HOUR: Span = Span::from_secs(3600);
pub(super) const DAY: Span = Span::from_secs(86_400);

/// Not random at all.
#[derive(Debug)]
pub(super) struct Counting;

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = n as u8 + 1;
        }
    }
}

pub(super) fn small() -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 64 << 10,
        bucket_width: HOUR,
        reply_cap: 2 << 10,
        batch_bytes: 16 << 10,
        pool: 1,
        margin_bytes: 64 << 10,
        ..EmbeddedOptions::default()
    }
}

/// An id as it would be: a hash.
pub(super) fn id(n: u64) -> RecordId {
    let mut x = n;
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    RecordId(bytes)
}

pub(super) fn claim(owner: u8) -> Event {
    Event::Claim(Claim {
        owner: Owner([owner; 16]),
        fingerprint: Fingerprint::default(),
        key_time: None,
    })
}

pub(super) fn reply(len: usize) -> Settled {
    Settled {
        digest: Some(Digest([7; 16])),
        status: Some(201),
        effect: Effect::Done,
        reply: StoredReply::Sealed(Sealed {
            under: SealedUnder::Caller,
            bytes: Bytes::from(vec![0x5a; len]),
        }),
    }
}

pub(super) fn resolved() -> Event {
    Event::Resolve(Resolution::Done(reply(100)))
}

pub(super) struct Rig {
    pub(super) disk: FaultDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) options: EmbeddedOptions,
    pub(super) policy: Policy,
    pub(super) store: EmbeddedStore,
    pub(super) driver: Driver,
}

fn ground(disk: &FaultDisk, clock: &Arc<ManualClock>) -> Ground {
    Ground { disk: disk.process(), clock: clock.clone(), entropy: Arc::new(Counting) }
}

/// Polls once; the future is of the kind that waits for nothing but the driver.
pub(super) fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(small(), 64 << 20)
    }

    pub(super) fn with(options: EmbeddedOptions, capacity: u64) -> Self {
        let disk = FaultDisk::new(capacity);
        let clock = Arc::new(ManualClock::at(START));
        let made = EmbeddedStore::create_driven(&ground(&disk, &clock), &options, Timestamp::ZERO);
        let (store, driver) = made.expect("it is made");
        Self { disk, clock, options, policy: Policy::default(), store, driver }
    }

    pub(super) fn try_open(&self) -> Result<(EmbeddedStore, Driver), OpenError> {
        EmbeddedStore::open_driven(&ground(&self.disk, &self.clock), &self.options)
    }

    fn install(&mut self) {
        let (store, driver) = self.try_open().expect("it opens");
        (self.store, self.driver) = (store, driver);
    }

    /// The process dies and another one opens the store.
    pub(super) fn kill(&mut self) {
        self.disk.kill();
        self.install();
    }

    /// The process ends in good order and another one opens the store.
    pub(super) fn close_and_open(&mut self) {
        let (dead, driver) = {
            let spare = FaultDisk::new(64 << 20);
            let other = ground(&spare, &self.clock);
            let fresh = EmbeddedOptions { known: None, ..self.options.clone() };
            let (store, driver) =
                EmbeddedStore::create_driven(&other, &fresh, Timestamp::ZERO).expect("it is made");
            (std::mem::replace(&mut self.store, store), std::mem::replace(&mut self.driver, driver))
        };
        driver.close();
        drop(dead);
        self.install();
    }

    /// The power fails with the losses of `seed`, and the store opens again.
    pub(super) fn power_loss(&mut self, seed: u64) {
        self.disk.power_loss_by_seed(seed);
        self.install();
    }

    pub(super) fn now(&self) -> Timestamp {
        poll(pin!(self.store.status())).expect("at once").expect("it is open").at
    }

    pub(super) fn request(&self, id: RecordId, expected: Option<Version>, write: Put) -> Swap {
        let status = poll(pin!(self.store.status())).expect("at once").expect("it is open");
        let deadline = status.at.plus(Span::from_secs(5));
        Swap { id, incarnation: status.incarnation, expected, write, deadline }
    }

    pub(super) fn swap(&mut self, swap: Swap) -> Result<Swapped, StoreError> {
        let mut asked = pin!(self.store.swap(swap));
        if let Some(answer) = poll(asked.as_mut()) {
            return answer;
        }
        self.driver.step();
        poll(asked).expect("the driver answered")
    }

    pub(super) fn load(&self, id: RecordId) -> Option<Record> {
        self.try_load(id).expect("it reads")
    }

    pub(super) fn try_load(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        poll(pin!(self.store.load(id))).expect("at once").map(|loaded| loaded.record)
    }

    /// One event through the machine and the store.
    pub(super) fn act(&mut self, id: RecordId, event: &Event) -> Result<Answer, StoreError> {
        let record = self.try_load(id)?;
        let decided = step(record.as_ref(), event, self.now(), &self.policy);
        let write = match decided.write {
            Write::Keep => return Ok(decided.answer),
            Write::Put(record) => Put::Record(record),
            Write::Delete => Put::Delete,
        };
        let expected = record.as_ref().map(Record::version);
        let swap = self.request(id, expected, write);
        match self.swap(swap)? {
            Swapped::Done { .. } => Ok(decided.answer),
            Swapped::Conflict { .. } => panic!("nobody else writes"),
        }
    }

    pub(super) fn fence(&self, id: RecordId) -> Fence {
        self.load(id).expect("it is there").fence
    }

    pub(super) fn settle(&mut self, id: RecordId, len: usize) -> Result<Answer, StoreError> {
        let fence = self.fence(id);
        self.act(id, &Event::Settle(fence, Outcome::Done(reply(len))))
    }

    pub(super) fn complete(&mut self, id: RecordId, len: usize) {
        assert_eq!(self.act(id, &claim(1)), Ok(Answer::Execute));
        assert_eq!(self.settle(id, len), Ok(Answer::Settled { contradiction: false }));
    }

    pub(super) fn maintain(&mut self) -> Maintained {
        self.driver.maintain().expect("maintenance ends")
    }
}
