//! The inputs that fuzzing found worth keeping, on the targets as they are now.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use semel_sim::fuzz::{DOORWAY, TARGETS, Target, target};

/// Bytes of all inputs together.
const BYTES_MAX: u64 = 2 << 20;
/// A target with fewer has not been fuzzed.
const INPUTS_MIN: usize = 8;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name)
}

fn inputs(target: &Target) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder(target.name)).expect("each target has a folder of inputs");
    let mut inputs: Vec<PathBuf> = listed.map(|entry| entry.expect("it lists").path()).collect();
    inputs.sort();
    inputs
}

#[track_caller]
fn replayed(name: &str) {
    let target = target(name).expect("the target is there");
    let inputs = inputs(&target);
    assert!(inputs.len() >= INPUTS_MIN, "{name}: {} inputs are kept", inputs.len());
    let mut broken = Vec::new();
    for input in &inputs {
        let bytes = fs::read(input).expect("an input reads");
        if catch_unwind(|| (target.run)(&bytes)).is_err() {
            broken.push(input.display().to_string());
        }
    }
    println!("{name}: {} inputs", inputs.len());
    assert!(broken.is_empty(), "{name} breaks its word ({}) on {broken:#?}", target.property);
}

/// One test for each target.
macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            replayed(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let tested = BTreeSet::from([$(stringify!($name)),*]);
            let there: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(tested, there);
        }
    };
}

targets!(field, forms, json, key, log, record, reply);

#[test]
fn what_is_kept_stays_small() {
    let mut bytes = 0;
    for target in &TARGETS {
        for input in inputs(target) {
            let length = fs::metadata(&input).expect("an input is a file").len();
            assert!(
                length <= target.input_max as u64,
                "{} is {length} bytes long",
                input.display()
            );
            bytes += length;
        }
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes are kept, at most {BYTES_MAX}");
}

/// The bytes behind which the doorway breaks, for whoever asks whether it can.
#[test]
fn the_doorway_opens_to_its_bytes_alone() {
    (DOORWAY.run)(b"semel\x1f\x8b\x08");
    assert!(catch_unwind(|| (DOORWAY.run)(b"semel\x1f\x8b\x07")).is_err());
}
