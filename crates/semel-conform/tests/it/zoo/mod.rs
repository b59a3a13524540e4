//! The zoo: the sample without a flaw passes every case, and with a flaw fails exactly those cases
//! that the table names.
//!
//! `SEMEL_CONFORM_ZOO=print` prints what each sample fails and why, as the table is written;
//! `SEMEL_CONFORM_ZOO=print:NAME,NAME` those alone.

mod streams;
mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use semel_conform::case::Verdict;
use semel_conform::run::{Finding, Findings, Options, run};
use semel_conform::sample::{Flaw, REFERENCE, REFERENCE_409, start_named};
use semel_conform::target;

use table::{OF_STREAMS, Row, rows};

/// Short, and long enough for a machine that does something else, too.
const UNIT: Duration = Duration::from_millis(50);

/// Samples that are tested at once: they wait more than they work.
const SIDE_BY_SIDE: usize = 44;
/// Samples at once where time matters more.
const FEW: usize = 6;

/// Runs all cases, or those that are to be run alone, against the sample of that row.
async fn findings(row: &Row) -> Findings {
    let name = row.name;
    let sample = start_named(name, UNIT).await.unwrap().unwrap();
    let target = target::parse(&sample.target).unwrap();
    let select = row.alone.iter().map(|&id| id.to_owned()).collect();
    let options = Options { unit: UNIT, select, ..Options::default() };
    run(target, options, |_| ()).await.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The verdict in words, with what was observed.
fn told(finding: &Finding) -> String {
    let id = finding.case.id;
    match &finding.verdict {
        Verdict::Pass => format!("{id} passes"),
        Verdict::Fail { expected, observed, .. } => {
            format!("{id} fails: expected {expected}; observed {observed}")
        }
        Verdict::Skipped(why) => format!("{id} is skipped: {why}"),
        Verdict::Inconclusive(why) => format!("{id} cannot tell: {why}"),
        Verdict::Error(why) => format!("{id} is in error: {why}"),
    }
}

/// Where the findings differ from the row, whose samples lack something for those cases.
fn differences(row: &Row, findings: &Findings, lacking: &[&str]) -> Vec<String> {
    let mut differences = Vec::new();
    for finding in &findings.all {
        let id = finding.case.id;
        let (fails, untold) = (row.fails.contains(id), row.untold.contains(id));
        let right = match finding.verdict {
            Verdict::Fail { .. } => fails,
            Verdict::Pass => !fails && !untold && !lacking.contains(&id),
            Verdict::Skipped(_) => !fails && !untold && lacking.contains(&id),
            Verdict::Inconclusive(_) => untold,
            Verdict::Error(_) => false,
        };
        if !right {
            let should = match (fails, untold) {
                (true, _) => "should fail",
                (_, true) => "should not be able to tell",
                _ => "should pass",
            };
            differences.push(format!("{}: {} ({should})", row.name, told(finding)));
        }
    }
    let run: BTreeSet<&str> = findings.all.iter().map(|finding| finding.case.id).collect();
    for id in row.fails.union(&row.untold).filter(|id| !run.contains(**id)) {
        differences.push(format!("{}: the table names {id}, and there is no such case", row.name));
    }
    differences
}

/// Runs all cases against the sample of each row, so many at once.
async fn judged(rows: &[Row], at_once: usize) -> Vec<(&Row, Findings)> {
    let judging = rows.iter().map(|row| async move { (row, findings(row).await) });
    stream::iter(judging).buffer_unordered(at_once).collect().await
}

/// A row as the table is written, and why each case failed.
#[expect(clippy::print_stdout, reason = "for whoever writes the table")]
fn print(name: &str, findings: &Findings) {
    println!("{name}");
    for finding in &findings.all {
        match finding.verdict {
            Verdict::Fail { .. } => println!("  {}", finding.case.id),
            Verdict::Inconclusive(_) => println!("  ? {}", finding.case.id),
            Verdict::Error(_) => println!("  ERROR {}", finding.case.id),
            Verdict::Pass | Verdict::Skipped(_) => continue,
        }
        println!("    # {}", told(finding));
    }
    let longest = findings.all.iter().max_by_key(|finding| finding.took);
    let longest = longest.map(|finding| (finding.case.id, finding.took));
    println!("  # took {:?}; longest {longest:?}", findings.took);
}

/// How long each target took, the longest last.
#[expect(clippy::print_stdout, reason = "for whoever looks where the time goes")]
fn print_times(judged: &[(&Row, Findings)]) {
    let mut times: Vec<_> = judged.iter().map(|(row, found)| (found.took, row.name)).collect();
    times.sort_unstable();
    for (took, name) in times {
        println!("{:7.1} s  {name}", took.as_secs_f64());
    }
}

/// What is to be printed in place of being judged: all, those named, or nothing.
fn printed(name: &str) -> bool {
    match std::env::var("SEMEL_CONFORM_ZOO").as_deref() {
        Ok("print") => true,
        Ok(given) => match given.strip_prefix("print:") {
            Some(names) => names.split(',').any(|n| n == name),
            None => panic!("SEMEL_CONFORM_ZOO is `print` or `print:NAME,NAME`, not {given:?}"),
        },
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_references_pass_every_case() {
    let rows = [REFERENCE, REFERENCE_409].map(Row::of);
    let mut differing = Vec::new();
    for (row, findings) in judged(&rows, rows.len()).await {
        if printed(row.name) {
            print(row.name, &findings);
        }
        differing.extend(differences(row, &findings, OF_STREAMS));
    }
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_is_caught_by_exactly_its_cases() {
    let some = std::env::var("SEMEL_CONFORM_ZOO").is_ok_and(|given| given != "print");
    let rows: Vec<Row> = rows().into_iter().filter(|row| !some || printed(row.name)).collect();
    let mut differing = Vec::new();
    let crowded = judged(&rows, SIDE_BY_SIDE).await;
    for (row, crowded) in &crowded {
        if printed(row.name) {
            print(row.name, crowded);
        }
        if !differences(row, crowded, OF_STREAMS).is_empty() {
            differing.push((*row).clone());
        }
    }
    print_times(&crowded);
    if std::env::var_os("SEMEL_CONFORM_ZOO").is_some() {
        return;
    }
    // A machine that does much else answers late. What differs is looked at again, with few beside
    // it, and counts if it still does.
    let looked_at_again = judged(&differing, FEW).await;
    let differing: Vec<String> = looked_at_again
        .iter()
        .flat_map(|(row, findings)| differences(row, findings, OF_STREAMS))
        .collect();
    assert!(differing.is_empty(), "{} differences\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn each_must_and_each_should_fails_for_a_flaw() {
    let rows = rows();
    let never: Vec<&str> = semel_conform::cases::all()
        .filter(|case| case.level != semel_conform::case::Level::Info)
        .filter(|case| {
            !rows.iter().any(|row| row.fails.contains(case.id) || row.of_streams.contains(case.id))
        })
        .map(|case| case.id)
        .collect();
    assert!(never.is_empty(), "no flaw fails {never:?}: whether they can fail is not known");
}

#[test]
fn the_table_has_every_flaw_and_each_is_caught() {
    let named: Vec<&str> = rows().iter().map(|row| row.name).collect();
    let flaws: Vec<&str> = Flaw::ALL.iter().map(|flaw| flaw.name()).collect();
    assert_eq!(named, flaws, "the table and the flaws, in the same order");
    assert!(flaws.len() >= 30);
    for row in rows() {
        let counts = |id: &&&str| {
            let case = semel_conform::cases::all().find(|case| case.id == **id);
            case.is_some_and(|case| case.level != semel_conform::case::Level::Info)
        };
        let caught = row.fails.iter().filter(counts).count();
        assert!(caught > 0, "no MUST and no SHOULD catches {}", row.name);
    }
}
