//! Many seeds, and that a seed is a replay.

use std::sync::OnceLock;

use semel_sim::checker::linear;
use semel_sim::faults::FaultCounts;
use semel_sim::history::Happened;
use semel_sim::options::{Backend, Options};
use semel_sim::run::{Report, run, run_seed};

/// Seeds in all; `SEMEL_SIM_SEEDS` and `SEMEL_SIM_FROM` choose others.
const SEEDS: u64 = 2000;
/// Bytes above which a reply is long.
const LONG: usize = 40_000;
/// Tests that share them, so that they run side by side.
const PARTS: u64 = 8;
/// Kinds of fault that must strike in each part.
const KINDS_MIN: usize = 15;

fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn said(report: &Report) -> String {
    let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    format!(
        "{}{}\nreplay: cargo run -p semel-sim -- --seed {} --trace",
        report.options,
        violations.join("\n"),
        report.options.seed
    )
}

/// Runs one part of the seeds.
fn seeds(part: u64) {
    let (from, seeds) = (asked("SEMEL_SIM_FROM", 0), asked("SEMEL_SIM_SEEDS", SEEDS));
    let (mut counts, mut failed, mut ops, mut ran) = (FaultCounts::default(), Vec::new(), 0, 0);
    let (mut searched, mut left, mut long) = (0, 0, 0);
    for seed in (from + part..from + seeds).step_by(usize::try_from(PARTS).unwrap()) {
        let report = run_seed(seed);
        counts.merge(&report.history.faults());
        ops += report.ops;
        ran += 1;
        let (_, judged) = linear(&report.history, &report.options.terms());
        (searched, left) = (searched + judged.searched, left + judged.left);
        long += (report.history.0.iter())
            .filter(|entry| matches!(entry.what, Happened::Replied { bytes, .. } if bytes > LONG))
            .count();
        if !report.violations.is_empty() {
            failed.push(said(&report));
        }
    }
    println!("{ran} seeds, {ops} calls, {} faults of {} kinds", counts.total(), counts.kinds());
    println!("{counts}");
    println!(
        "{searched} keys searched for an order, {left} left; {long} replies above {LONG} bytes"
    );
    assert!(searched > left * 20, "only {searched} keys were searched, and {left} left");
    assert!(long > 0, "no reply was long");
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), failed.join("\n\n"));
    assert!(counts.kinds() >= KINDS_MIN, "only {} kinds of fault struck", counts.kinds());
}

/// A jump of the clock under the sweep's look at it; the power failing within an opening.
const FOUND: [u64; 2] = [20_261_124_009_914, 20_261_124_035_682];

#[test]
fn seeds_that_found_a_fault_find_none() {
    for seed in FOUND {
        let report = run_seed(seed);
        assert!(report.violations.is_empty(), "{}", said(&report));
    }
}

/// One test for each part.
macro_rules! parts {
    ($($name:ident: $part:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            seeds($part);
        })*

        #[test]
        fn no_part_is_left_out() {
            assert_eq!([$($part),*], [0, 1, 2, 3, 4, 5, 6, 7]);
            assert_eq!(PARTS, 8);
        }
    };
}

mod seeds {
    use super::{PARTS, seeds};

    parts! {
        part_1: 0,
        part_2: 1,
        part_3: 2,
        part_4: 3,
        part_5: 4,
        part_6: 5,
        part_7: 6,
        part_8: 7,
    }
}

fn calm_options() -> &'static Options {
    static CALM: OnceLock<Options> = OnceLock::new();
    CALM.get_or_init(|| {
        let mut options = Options::of_seed(1);
        options.rates.clear();
        options.strikes.clear();
        options
    })
}

/// Without faults every operation is done once and every caller is told so: a simulator in which
/// nothing ever succeeds would break no promise either.
#[test]
fn in_calm_weather_everything_is_done() {
    for backend in [Backend::Memory, Backend::Plain, Backend::Log] {
        let options = Options { backend, ..calm_options().clone() };
        let errands = usize::from(options.errands);
        let report = run(options, None);
        assert_eq!(report.violations, [], "{backend:?}");
        let text = report.history.to_string();
        assert_eq!(text.matches(" began fence ").count(), errands, "{backend:?}: {text}");
        assert!(text.matches("<- Executed").count() == errands, "{backend:?}: {text}");
        assert!(text.matches("<- Replayed").count() >= errands, "{backend:?}: {text}");
    }
}

#[test]
fn two_runs_of_a_seed_are_the_same_to_the_byte() {
    for seed in [0, 7, 21, 99, 256, 833, 1202, 1814] {
        let (first, second) = (run_seed(seed), run_seed(seed));
        assert!(first.history.0.len() > 20, "seed {seed} does next to nothing");
        assert_eq!(first.history.to_string(), second.history.to_string(), "seed {seed}");
        assert_eq!(first.options.to_string(), second.options.to_string(), "seed {seed}");
    }
}

#[test]
fn different_seeds_differ() {
    assert_ne!(run_seed(1).history.to_string(), run_seed(2).history.to_string());
}

/// The store's clock jumped ahead between a claim and its answer. Under a policy of running again
/// the claim was overtaken, and its executor, whose lease still ran by its own clock, began after
/// the other one had replied: the checker took what that policy allows for a forgotten key.
#[test]
fn an_executor_that_was_overtaken_by_a_jump_of_the_clock() {
    let report = run_seed(104_493);
    assert_eq!(report.violations, [], "{}", said(&report));
}
