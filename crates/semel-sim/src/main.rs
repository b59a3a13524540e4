//! The `semel-sim` command: many seeds, or one with its trace.

use std::io::{self, Write};
use std::process::ExitCode;

use semel_sim::faults::FaultCounts;
use semel_sim::options::Options;
use semel_sim::run::{Report, run_seed};

const USAGE: &str = "semel-sim [--seeds N] [--from N] | --seed N [--trace]

  --seeds N   how many seeds (default 2000)
  --from N    the first of them (default 0)
  --seed N    this one alone, with the options that it expands to
  --trace     and everything that happened
";

#[derive(Default)]
struct Asked {
    seeds: Option<u64>,
    from: u64,
    seed: Option<u64>,
    trace: bool,
}

fn asked() -> Option<Asked> {
    let mut asked = Asked::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse().ok());
        match word.as_str() {
            "--seeds" => asked.seeds = Some(number()?),
            "--from" => asked.from = number()?,
            "--seed" => asked.seed = Some(number()?),
            "--trace" => asked.trace = true,
            _ => return None,
        }
    }
    Some(asked)
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let Some(asked) = asked() else {
        let _ = io::stderr().write_all(USAGE.as_bytes());
        return ExitCode::from(2);
    };
    let passed = match asked.seed {
        Some(seed) => one(&mut out, seed, asked.trace),
        None => many(&mut out, asked.from, asked.seeds.unwrap_or(2000)),
    };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // A reader that has enough closes the pipe.
        Err(_) => ExitCode::from(2),
    }
}

fn one(out: &mut impl Write, seed: u64, trace: bool) -> io::Result<bool> {
    write!(out, "{}", Options::of_seed(seed))?;
    let report = run_seed(seed);
    if trace {
        write!(out, "{}", report.history)?;
    }
    write!(out, "{} calls, faults:\n{}", report.ops, report.history.faults())?;
    told(out, &report)
}

fn told(out: &mut impl Write, report: &Report) -> io::Result<bool> {
    for violation in &report.violations {
        writeln!(out, "BROKEN {violation}")?;
    }
    if report.violations.is_empty() {
        return Ok(true);
    }
    let seed = report.options.seed;
    writeln!(out, "replay: cargo run -p semel-sim -- --seed {seed} --trace")?;
    Ok(false)
}

fn many(out: &mut impl Write, from: u64, seeds: u64) -> io::Result<bool> {
    let (mut counts, mut ops, mut events, mut failed) = (FaultCounts::default(), 0_u64, 0, 0_u64);
    for seed in from..from.saturating_add(seeds) {
        let report = run_seed(seed);
        counts.merge(&report.history.faults());
        ops += u64::from(report.ops);
        events += report.history.0.len();
        if !report.violations.is_empty() {
            failed += 1;
            write!(out, "{}", report.options)?;
            told(out, &report)?;
            out.flush()?;
        }
    }
    writeln!(out, "{seeds} seeds from {from}: {ops} calls, {events} events, {failed} failed")?;
    write!(out, "{} faults of {} kinds:\n{counts}", counts.total(), counts.kinds())?;
    Ok(failed == 0)
}
