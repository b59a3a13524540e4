//! Logs that are whole: made once, by the store itself, on a simulated disk.

use std::pin::pin;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use semel::entropy::Entropy;
use semel::store::embedded::faults::FaultDisk;
use semel::store::embedded::{Driver, EmbeddedOptions, EmbeddedStore, Ground, Mark};
use semel::time::ManualClock;
use semel_core::machine::{Claim, Event, Outcome, Write, step};
use semel_core::store::{Put, Swap, Swapped};
use semel_core::{
    Digest, Effect, Fingerprint, Owner, Policy, Record, RecordId, Sealed, SealedUnder, Settled,
    Span, Store, StoredReply, Timestamp,
};

use super::damage::Files;
use super::{DISK, load, poll};

const START: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);
const HOUR: Span = Span::from_secs(3600);
const DAY: Span = Span::from_secs(86_400);
/// Keys that are only known as spent by the end.
const SPENT: usize = 24;
/// Keys in all.
const KEYS: usize = 96;

/// A log, and what was acknowledged of it.
#[derive(Debug)]
pub(super) struct Sound {
    /// As they were a few writes before the end.
    pub(super) before: Files,
    /// As they are.
    pub(super) files: Files,
    /// For each key, by number: every state that its record was in.
    pub(super) histories: Vec<Vec<Record>>,
    /// How far the log had come.
    pub(super) mark: Mark,
}

/// Not random at all.
#[derive(Debug)]
struct Counting;

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for (byte, n) in bytes.iter_mut().zip(1..) {
            *byte = n;
        }
    }
}

/// As small as the store takes.
pub(super) fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 40 << 10,
        bucket_width: HOUR,
        reply_cap: 1 << 10,
        batch_bytes: 8 << 10,
        pool: 1,
        margin_bytes: 16 << 10,
        ..EmbeddedOptions::default()
    }
}

/// An id as it would be: a hash.
pub(super) fn id(n: usize) -> RecordId {
    let mut state = n as u64;
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        // SplitMix64 (Steele, Lea, Flood 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    RecordId(bytes)
}

/// On `disk`, at the time at which the logs ended.
pub(super) fn ground(disk: &FaultDisk) -> Ground {
    let clock = ManualClock::at(START.plus(DAY).plus(HOUR));
    Ground { disk: disk.process(), clock: Arc::new(clock), entropy: Arc::new(Counting) }
}

/// One event through the machine and the store: the record as it is then. `None` where the store refuses.
fn act(store: &EmbeddedStore, driver: &mut Driver, n: usize, event: &Event) -> Option<Record> {
    let status = poll(pin!(store.status())).expect("a status waits for nobody").ok()?;
    let found = load(store, id(n)).ok()?;
    let decided = step(found.as_ref(), event, status.at, &Policy::default());
    let Write::Put(record) = decided.write else { return None };
    let swap = Swap {
        id: id(n),
        incarnation: status.incarnation,
        expected: found.as_ref().map(Record::version),
        write: Put::Record(record),
        deadline: status.at.plus(Span::from_secs(5)),
    };
    let mut asked = pin!(store.swap(swap));
    let answer = match poll(asked.as_mut()) {
        Some(answer) => answer,
        None => {
            driver.step();
            poll(asked).expect("the driver answered")
        }
    };
    match answer.ok()? {
        Swapped::Done { .. } => load(store, id(n)).ok().flatten(),
        Swapped::Conflict { .. } => None,
    }
}

fn claim() -> Event {
    Event::Claim(Claim {
        owner: Owner([1; 16]),
        fingerprint: Fingerprint::default(),
        key_time: None,
    })
}

/// Claims a key and settles it with a reply of `len` bytes: its states. `None` where the store refuses.
pub(super) fn complete(
    store: &EmbeddedStore,
    driver: &mut Driver,
    n: usize,
    len: usize,
) -> Option<Vec<Record>> {
    let begun = act(store, driver, n, &claim())?;
    let reply = Sealed { under: SealedUnder::Caller, bytes: Bytes::from(vec![0x5a; len]) };
    let settled = Settled {
        digest: Some(Digest([7; 16])),
        status: Some(201),
        effect: Effect::Done,
        reply: StoredReply::Sealed(reply),
    };
    let ended = act(store, driver, n, &Event::Settle(begun.fence, Outcome::Done(settled)))?;
    Some(vec![begun, ended])
}

fn snapshot(disk: &FaultDisk) -> Files {
    let names = disk.names().into_iter();
    names.filter_map(|name| disk.bytes(&name).map(|bytes| (name, bytes))).collect()
}

/// One that was closed in good order, or one whose process was killed.
pub(super) fn sound(closed: bool) -> &'static Sound {
    static CLOSED: LazyLock<Sound> = LazyLock::new(|| make(true));
    static KILLED: LazyLock<Sound> = LazyLock::new(|| make(false));
    if closed { &CLOSED } else { &KILLED }
}

fn make(close: bool) -> Sound {
    let disk = FaultDisk::new(DISK);
    let clock = Arc::new(ManualClock::at(START));
    let ground = Ground { disk: disk.process(), clock: clock.clone(), entropy: Arc::new(Counting) };
    let made = EmbeddedStore::create_driven(&ground, &options(), Timestamp::ZERO);
    let (store, mut driver) = made.expect("an empty disk takes a store");
    let mut histories = Vec::new();
    let mut before = Files::new();
    for n in 0..KEYS {
        if n == SPENT {
            clock.advance(DAY.plus(HOUR));
            for _ in 0..2 {
                driver.maintain().expect("upkeep of a sound log ends");
            }
        }
        if n == KEYS - 4 {
            before = snapshot(&disk);
        }
        // A few are left in flight.
        let states = if n % 9 == 8 {
            act(&store, &mut driver, n, &claim()).map(|record| vec![record])
        } else {
            complete(&store, &mut driver, n, 40 + 37 * (n % 20))
        };
        histories.push(states.expect("a sound log takes writes"));
    }
    for (n, history) in histories.iter_mut().enumerate() {
        let last = load(&store, id(n)).expect("a sound log reads").expect("no key is forgotten");
        if history.last() != Some(&last) {
            history.push(last);
        }
    }
    let mark = store.mark();
    if close {
        driver.close();
    }
    let files = snapshot(&disk);
    assert!(files.keys().any(|name| name.ends_with(".tbl")), "some keys are only known as spent");
    assert!(
        files.keys().filter(|name| name.ends_with(".seg")).count() > 2,
        "it has several segments"
    );
    Sound { before, files, histories, mark }
}
