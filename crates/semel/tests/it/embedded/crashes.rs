//! The power fails at every single change of the disk, and random histories with all of it at once.
//! What was acknowledged is there afterwards, what was refused is not, and what was in the air is
//! either.

use std::collections::BTreeMap;

use super::rig::*;
use semel_core::machine::{Event, Outcome, Write, step};
use semel_core::store::{Put, Swapped};
use semel_core::{Policy, Record, RecordId, Span, Store, StoreError, Timestamp};

/// What may be under each key.
#[derive(Default)]
struct Model(BTreeMap<RecordId, Vec<Option<Record>>>);

impl Model {
    fn of(&self, id: RecordId) -> Vec<Option<Record>> {
        self.0.get(&id).cloned().unwrap_or_else(|| vec![None])
    }

    fn answered(
        &mut self,
        id: RecordId,
        old: Option<Record>,
        new: Option<Record>,
        answer: &Result<Swapped, StoreError>,
    ) {
        let may = match answer {
            Ok(Swapped::Done { at }) => vec![new.map(|record| Record { stamp: *at, ..record })],
            Err(error) if error.may_have_applied() => vec![old, new],
            Ok(Swapped::Conflict { .. }) | Err(_) => vec![old],
        };
        self.0.insert(id, may);
    }

    /// Compares, and knows for certain from then on.
    fn look(&mut self, rig: &Rig, id: RecordId, what: &str) {
        let found = rig.load(id);
        let may = self.of(id);
        let ok = may.iter().any(|record| became(record.clone(), found.as_ref(), rig.now()));
        assert!(ok, "{what}: of {id:?} found {found:?}, of which none is true: {may:?}");
        self.0.insert(id, vec![found]);
    }
}

fn known(record: Option<&Record>) -> Option<(semel_core::State, semel_core::Version)> {
    record.map(|record| (record.state, record.version()))
}

/// Whether maintenance may have made `found` of `record` by `now`.
fn became(record: Option<Record>, found: Option<&Record>, now: Timestamp) -> bool {
    if known(record.as_ref()) == known(found) {
        return true;
    }
    if record.as_ref().is_none_or(|r| r.state == semel_core::State::InFlight) {
        return false;
    }
    match step(record.as_ref(), &Event::Sweep, now, &Policy::default()).write {
        Write::Keep => false,
        Write::Put(next) => became(Some(next), found, now),
        Write::Delete => found.is_none(),
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 += 1;
        let bytes = id(self.0).0;
        u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[i])) % n
    }
}

fn event(dice: &mut Dice, record: Option<&Record>) -> Event {
    let fence = record.map_or(semel_core::Fence(1), |record| record.fence);
    match dice.below(8) {
        0..=2 => claim(dice.below(3) as u8),
        3..=5 => Event::Settle(fence, Outcome::Done(reply(dice.below(1800) as usize))),
        6 => match dice.below(4) {
            0 => Event::Settle(fence, Outcome::Released),
            1 => Event::Settle(fence, Outcome::InDoubt),
            2 => Event::Ack,
            _ => Event::Void(None),
        },
        _ if dice.below(2) == 0 => Event::Sweep,
        _ => resolved(),
    }
}

/// Up to six writes to different keys, in one batch.
fn batch(rig: &mut Rig, model: &mut Model, dice: &mut Dice, keys: u64) {
    let mut asked: Vec<(RecordId, Option<Record>, Option<Record>)> = Vec::new();
    for _ in 0..=dice.below(6) {
        let key = id(dice.below(keys));
        if asked.iter().any(|(id, ..)| *id == key) {
            continue;
        }
        let Ok(record) = rig.try_load(key) else { continue };
        let event = event(dice, record.as_ref());
        let write = match step(record.as_ref(), &event, rig.now(), &rig.policy).write {
            Write::Keep => continue,
            Write::Put(next) => Some(next),
            Write::Delete => None,
        };
        asked.push((key, record, write));
    }
    let requests: Vec<_> = asked
        .iter()
        .map(|(id, record, write)| {
            let put = write.clone().map_or(Put::Delete, Put::Record);
            rig.request(*id, record.as_ref().map(Record::version), put)
        })
        .collect();
    let store = &rig.store;
    let mut swaps: Vec<_> = requests.into_iter().map(|swap| store.swap(swap)).collect();
    for swap in &mut swaps {
        assert!(poll(swap.as_mut()).is_none());
    }
    rig.driver.step();
    for ((id, old, new), mut swap) in asked.into_iter().zip(swaps) {
        let answer = poll(swap.as_mut()).expect("it is answered");
        model.answered(id, old, new, &answer);
    }
}

fn reopen(rig: &mut Rig, model: &mut Model, keys: u64, seed: u64, what: &str) {
    // A mark that ran ahead of the disk would keep an honest store from opening.
    rig.options.known = Some(rig.store.mark());
    rig.disk.power_loss_by_seed(seed);
    let (store, driver) = rig.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
    (rig.store, rig.driver) = (store, driver);
    for n in 0..keys {
        model.look(rig, id(n), what);
    }
}

/// The same short life, with rotation, carrying over, distilling and merging in it, until the power
/// fails; false once it lasts to the end.
fn life_until(changes: u64) -> bool {
    const KEYS: u64 = 30;
    let what = format!("power cut at change {changes}");
    let mut rig = Rig::new();
    let (mut model, mut dice) = (Model::default(), Dice(7));
    rig.disk.cut_power_in(changes);
    for round in 0..40 {
        batch(&mut rig, &mut model, &mut dice, KEYS);
        if round % 4 == 3 {
            rig.clock.advance(Span::from_secs(7 * 3600));
            // It may well end before it is through.
            let _ = rig.driver.maintain();
        }
        if rig.disk.power_is_off() {
            reopen(&mut rig, &mut model, KEYS, changes, &what);
            batch(&mut rig, &mut model, &mut dice, KEYS);
            reopen(&mut rig, &mut model, KEYS, changes + 1, &what);
            return true;
        }
    }
    reopen(&mut rig, &mut model, KEYS, changes, &what);
    false
}

#[test]
fn the_power_may_fail_within_any_change_of_the_disk() {
    let mut changes = 1;
    while life_until(changes) {
        changes += 1;
    }
    assert!(changes > 150, "a life of only {changes} changes shows little");
}

#[test]
fn random_histories_with_losses_agree_with_what_was_acknowledged() {
    const KEYS: u64 = 24;
    for seed in 0..60 {
        let mut rig = Rig::new();
        let (mut model, mut dice) = (Model::default(), Dice(seed << 32));
        for round in 0..60 {
            let what = format!("seed {seed}, round {round}");
            match dice.below(12) {
                0 => rig.clock.advance(Span::from_secs(dice.below(30 * 3600))),
                1 => rig.clock.advance(Span::from_secs(dice.below(12 * 86_400))),
                2 => drop(rig.driver.maintain()),
                3 => rig.disk.cut_power_in(1 + dice.below(12)),
                4 => rig.disk.fail_sync(dice.below(4)),
                5 => rig.disk.fail_write(dice.below(4), std::io::ErrorKind::StorageFull),
                6 => reopen(&mut rig, &mut model, KEYS, dice.below(u64::MAX), &what),
                _ => batch(&mut rig, &mut model, &mut dice, KEYS),
            }
            if rig.disk.power_is_off() || dice.below(20) == 0 {
                reopen(&mut rig, &mut model, KEYS, dice.below(u64::MAX), &what);
            }
        }
        reopen(&mut rig, &mut model, KEYS, seed, &format!("seed {seed}, at the end"));
    }
}
