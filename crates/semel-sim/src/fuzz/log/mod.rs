//! A log whose disk did what disks do, and worse.
//!
//! Sound logs are made once, with all their acknowledged records known. An input damages a copy: bits, sectors
//! that went back to what they were or to zeros, or came from elsewhere, files cut, lost, or made of anything.
//! Then the log is opened as after a restart.

mod damage;
mod sound;

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use semel::store::embedded::faults::FaultDisk;
use semel::store::embedded::{
    Choice, Driver, EmbeddedOptions, EmbeddedStore, Ground, OpenError, check_on, repair_on,
};
use semel_core::{Record, RecordId, Store};

use self::damage::{Files, damaged};
use self::sound::{Sound, complete, ground, id, options, sound};
use super::feed::Feed;

/// Bytes of the simulated disk.
const DISK: u64 = 4 << 20;

pub(super) fn run(data: &[u8]) {
    let mut feed = Feed::new(data);
    let sound = sound(feed.flag());
    let way = feed.below(3);
    let files = damaged(sound, feed);
    match way {
        0 => opened_with_mark(sound, &files),
        1 => opened_without(sound, &files),
        _ => repaired(sound, &files),
    }
}

/// A new disk that holds these files, and a process on it.
fn process(files: &Files) -> (FaultDisk, Ground) {
    let disk = FaultDisk::new(DISK);
    let view = disk.process();
    for (name, bytes) in files {
        let written = view.create(name).and_then(|file| file.write_at(bytes, 0));
        written.expect("the disk has room for every file");
    }
    drop(view);
    let ground = ground(&disk);
    (disk, ground)
}

/// Polls once; the future is of the kind that waits for nothing but the driver.
fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn open(ground: &Ground, options: &EmbeddedOptions) -> Option<(EmbeddedStore, Driver)> {
    match EmbeddedStore::open_driven(ground, options) {
        Ok(open) => Some(open),
        Err(
            OpenError::AlreadyOpen { .. } | OpenError::Exists { .. } | OpenError::Options { .. },
        ) => {
            panic!("nobody else uses this disk, and its options are right")
        }
        Err(_) => None,
    }
}

/// What is read of a key: `Err` where the store says that it cannot tell.
fn load(store: &EmbeddedStore, id: RecordId) -> Result<Option<Record>, ()> {
    let loaded = poll(pin!(store.load(id))).expect("a read waits for nobody");
    loaded.map(|loaded| loaded.record).map_err(drop)
}

/// Whoever kept aside how far the log had come loses no acknowledged record without being told.
fn opened_with_mark(sound: &Sound, files: &Files) {
    let (_disk, ground) = process(files);
    let options = EmbeddedOptions { known: Some(sound.mark), ..options() };
    let Some((store, driver)) = open(&ground, &options) else { return };
    for (n, history) in sound.histories.iter().enumerate() {
        let Ok(found) = load(&store, id(n)) else { continue };
        let last = history.last().expect("each key was written");
        assert_eq!(
            found.as_ref(),
            Some(last),
            "key {n} was acknowledged, and the log opens without it"
        );
    }
    nothing_invented(sound, &store);
    goes_on(sound, &store, driver);
}

/// Without it, a log may have lost its end unseen, as an older copy has; what it shows was once so.
fn opened_without(sound: &Sound, files: &Files) {
    let (_disk, ground) = process(files);
    if let Some((store, driver)) = open(&ground, &options()) {
        nothing_invented(sound, &store);
        goes_on(sound, &store, driver);
    }
}

/// What the tools for a damaged log make of it.
fn repaired(sound: &Sound, files: &Files) {
    let (_disk, ground) = process(files);
    let checked = check_on(&*ground.disk).map(|report| report.damage.is_empty());
    let (disk, ground) = process(files);
    let Ok(report) = repair_on(&ground, Choice::Quarantine) else { return };
    assert_eq!(
        checked.ok(),
        Some(report.damage.is_empty()),
        "check and repair see the same damage"
    );
    drop(ground);
    let files =
        disk.names().into_iter().filter_map(|name| disk.bytes(&name).map(|bytes| (name, bytes)));
    opened_without(sound, &files.collect());
}

/// Every record that is read is one that was written under that key, and no other key has one.
fn nothing_invented(sound: &Sound, store: &EmbeddedStore) {
    for (n, history) in sound.histories.iter().enumerate() {
        if let Ok(Some(found)) = load(store, id(n)) {
            assert!(history.contains(&found), "key {n} was never in this state: {found:?}");
        }
    }
    for n in sound.histories.len()..sound.histories.len() + 8 {
        let found = load(store, id(n));
        assert!(!matches!(found, Ok(Some(_))), "key {n} was never written: {found:?}");
    }
}

/// A log that opened takes writes, or refuses them; what it takes it keeps.
fn goes_on(sound: &Sound, store: &EmbeddedStore, mut driver: Driver) {
    let n = sound.histories.len() + 100;
    let written = complete(store, &mut driver, n, 300);
    let kept = load(store, id(n));
    if written.is_some() {
        assert!(!matches!(kept, Ok(None)), "a new record is gone at once");
    }
    // Upkeep may find damage, and then says so.
    let _ = driver.maintain();
}
