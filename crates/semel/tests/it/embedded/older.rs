//! An older copy of the store is told from the store itself by a mark that is kept elsewhere.

use super::rig::*;
use semel::store::embedded::{EmbeddedOptions, Mark, OpenError};
use semel_core::Incarnation;

fn with_two_keys() -> Rig {
    let mut rig = Rig::new();
    assert_eq!(rig.store.mark().sequence, 0);
    rig.complete(id(1), 10);
    rig.complete(id(2), 10);
    rig
}

fn knowing(rig: &mut Rig, known: Mark) {
    rig.options = EmbeddedOptions { known: Some(known), ..rig.options.clone() };
}

#[test]
fn a_store_behind_its_mark_is_refused_as_often_as_it_is_opened() {
    let mut rig = with_two_keys();
    let mark = rig.store.mark();
    assert_eq!(mark.sequence, 4, "a claim and a settle of each");
    let beyond = Mark { sequence: mark.sequence + 1, ..mark };
    knowing(&mut rig, beyond);
    rig.disk.kill();
    // Refusing writes nothing that would let it pass the next time.
    for _ in 0..3 {
        let Err(OpenError::Behind { found, known, .. }) = rig.try_open() else {
            panic!("an older copy was opened")
        };
        assert_eq!((found, known), (mark.sequence, beyond.sequence));
    }
    knowing(&mut rig, mark);
    assert!(rig.try_open().is_ok(), "it stands where it is known to stand");
}

#[test]
fn the_mark_of_another_life_says_nothing_of_this_one() {
    let mut rig = with_two_keys();
    knowing(&mut rig, Mark { incarnation: Incarnation([9; 16]), sequence: 1_000_000 });
    rig.kill();
}

#[test]
fn the_mark_goes_on_through_ends_of_every_kind() {
    let mut rig = with_two_keys();
    let mut last = 4;
    for n in 3..30 {
        let mark = rig.store.mark();
        knowing(&mut rig, mark);
        match n % 3 {
            0 => rig.kill(),
            1 => rig.close_and_open(),
            _ => rig.power_loss(n),
        }
        rig.complete(id(n), 1800);
        rig.maintain();
        let reached = rig.store.mark().sequence;
        assert!(reached >= last + 2, "{reached} after {last}");
        last = reached;
    }
}
