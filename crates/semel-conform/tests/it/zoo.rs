//! The reference passes, and each broken sample is caught by the cases that its flaw is about.

use std::time::Duration;

use semel_conform::case::Level;
use semel_conform::run::{Findings, Options, run};
use semel_conform::sample::start_named;
use semel_conform::target;

/// Runs all cases against the sample of that name.
async fn findings(name: &str) -> Findings {
    let unit = Duration::from_millis(50);
    let sample = start_named(name, unit).await.unwrap().unwrap();
    let target = target::parse(&sample.target).unwrap();
    run(target, Options { unit, ..Options::default() }, |_| ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_passes() {
    let findings = findings("reference").await;
    for finding in &findings.all {
        println!("{} {:?} {:?}", finding.case.id, finding.verdict, finding.took);
    }
    println!("{:?}", findings.took);
    let counts = findings.all.iter().filter(|f| f.case.level != Level::Info);
    let wrong: Vec<_> = counts.filter(|f| f.verdict.name() != "pass").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
