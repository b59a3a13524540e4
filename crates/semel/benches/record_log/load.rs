//! Callers that claim and settle fresh keys, and the store that they do it on.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use semel::entropy::SystemEntropy;
use semel::store::embedded::{EmbeddedOptions, EmbeddedStore, FsDisk, Ground};
use semel::time::{SystemClock, WallClock};
use semel_core::machine::{Claim, Event, Outcome, Write, step};
use semel_core::store::{Put, Swap, Swapped};
use semel_core::{
    Digest, Effect, Fingerprint, Owner, Policy, Record, RecordId, Sealed, SealedUnder, Settled,
    Span, Store, StoredReply, Timestamp,
};

/// The system's clock, moved ahead by hand.
#[derive(Debug, Default)]
pub(crate) struct Shifted(AtomicU64);

impl Shifted {
    pub(crate) fn shift(&self, span: Span) {
        self.0.fetch_add(span.as_ms(), Ordering::Relaxed);
    }
}

impl WallClock for Shifted {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Span::from_ms(self.0.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Span {
        SystemClock.monotonic().plus(Span::from_ms(self.0.load(Ordering::Relaxed)))
    }
}

pub(crate) fn open(path: &Path, clock: &Arc<Shifted>) -> (Arc<EmbeddedStore>, Arc<FsDisk>) {
    let made = path.join("STORE").exists();
    let disk = Arc::new(FsDisk::make(path).unwrap());
    let ground =
        Ground { disk: disk.clone(), clock: clock.clone(), entropy: Arc::new(SystemEntropy) };
    let options = EmbeddedOptions { pool: 4, ..EmbeddedOptions::default() };
    let store = if made {
        EmbeddedStore::open_on(ground, options)
    } else {
        EmbeddedStore::create_on(ground, options, Timestamp::ZERO)
    };
    (Arc::new(store.unwrap()), disk)
}

/// As an id is: a hash.
pub(crate) fn id(n: u64) -> RecordId {
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

/// Takes a write and answers once it is on disk.
pub(crate) trait Target: Send + Sync + 'static {
    fn write(&self, swap: Swap) -> impl Future<Output = Timestamp> + Send;
    fn status(&self) -> impl Future<Output = semel_core::store::Status> + Send;
}

impl Target for EmbeddedStore {
    async fn write(&self, swap: Swap) -> Timestamp {
        match self.swap(swap).await.unwrap() {
            Swapped::Done { at } => at,
            Swapped::Conflict { .. } => panic!("the keys are fresh"),
        }
    }

    async fn status(&self) -> semel_core::store::Status {
        Store::status(self).await.unwrap()
    }
}

fn claimed(now: Timestamp) -> Record {
    let claim =
        Claim { owner: Owner([1; 16]), fingerprint: Fingerprint::default(), key_time: None };
    put(step(None, &Event::Claim(claim), now, &Policy::default()).write)
}

fn put(write: Write) -> Record {
    match write {
        Write::Put(record) => record,
        other => panic!("it writes: {other:?}"),
    }
}

fn settled(record: &Record, now: Timestamp) -> Record {
    let bytes = Bytes::from_static(&[0x5a; 400]);
    let reply = StoredReply::Sealed(Sealed { under: SealedUnder::Caller, bytes });
    let settled =
        Settled { digest: Some(Digest([1; 16])), status: Some(201), effect: Effect::Done, reply };
    let event = Event::Settle(record.fence, Outcome::Done(settled));
    put(step(Some(record), &event, now, &Policy::default()).write)
}

/// Bytes of a claim and a settle as records.
fn key_bytes() -> u64 {
    let claim = claimed(Timestamp::from_unix_ms(1));
    let settle = settled(&claim, Timestamp::from_unix_ms(1));
    let len = |record| semel_core::codec::encode(record).len() as u64;
    // With the id of each.
    len(&claim) + len(&settle) + 64
}

async fn one(target: &impl Target, n: u64, times: &mut Vec<f64>) {
    let status = target.status().await;
    let swap = |expected, record| Swap {
        id: id(n),
        incarnation: status.incarnation,
        expected,
        write: Put::Record(record),
        deadline: status.at.plus(Span::from_secs(3600)),
    };
    let claim = claimed(status.at);
    let start = Instant::now();
    let at = target.write(swap(None, claim.clone())).await;
    times.push(start.elapsed().as_secs_f64() * 1e3);
    let settle = settled(&Record { stamp: at, ..claim.clone() }, at);
    let start = Instant::now();
    target.write(swap(Some(claim.version()), settle)).await;
    times.push(start.elapsed().as_secs_f64() * 1e3);
}

/// What a round came to.
pub(crate) struct Driven {
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
    took: Duration,
    times_ms: Vec<f64>,
}

impl Driven {
    /// Writes a second.
    pub(crate) fn rate(&self) -> f64 {
        2.0 * self.keys as f64 / self.took.as_secs_f64()
    }

    /// The time in ms below which that share of the writes stays.
    pub(crate) fn slowest(&self, share: f64) -> f64 {
        self.times_ms[((self.times_ms.len() - 1) as f64 * share) as usize]
    }
}

/// `callers` claim and settle fresh keys from `base` on for as long as `time`.
pub(crate) async fn drive<T: Target>(
    target: Arc<T>,
    callers: u64,
    time: Duration,
    base: u64,
) -> Driven {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let target = Arc::clone(&target);
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut n = base + caller;
                while start.elapsed() < time {
                    one(&*target, n, &mut times).await;
                    n += callers;
                }
                times
            })
        })
        .collect();
    let mut times_ms = Vec::new();
    for task in tasks {
        times_ms.append(&mut task.await.unwrap());
    }
    times_ms.sort_by(f64::total_cmp);
    let keys = times_ms.len() as u64 / 2;
    Driven { keys, bytes: keys * key_bytes(), took: start.elapsed(), times_ms }
}

/// Settles the keys `from..to`.
pub(crate) async fn prefill(store: &Arc<EmbeddedStore>, from: u64, to: u64) {
    let tasks: Vec<_> = (0..512)
        .map(|caller| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut times = Vec::new();
                for n in (from + caller..to).step_by(512) {
                    one(&*store, n, &mut times).await;
                    times.clear();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
