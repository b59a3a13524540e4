//! The zoo over HTTP/2 within TLS: the references pass what is not about HTTP/1.1 alone, and flaws are caught by the
//! same cases and by those of streams.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use semel_conform::run::{Findings, Options, run};
use semel_conform::sample::{REFERENCE, REFERENCE_409, start_named};
use semel_conform::target;
use semel_conform::wire::Http;

use super::table::{OF_LINES, Row, rows};
use super::{FEW, differences, print, printed};
use crate::terminator::Authority;

/// Longer than for HTTP/1.1: each connection begins with three handshakes.
const UNIT: Duration = Duration::from_millis(100);

/// Flaws that HTTP/2 could hide: of the claim, of a caller that leaves, of the host, of repeated headers, of odd
/// bytes in them, of bodies that are empty or cut.
const FLAWS: [&str; 9] = [
    "heeds-no-key",
    "get-then-set",
    "leaver-cancels",
    "key-without-host",
    "first-of-two-keys",
    "odd-bytes-replaced",
    "headers-merged",
    "empty-not-kept",
    "truncated-kept",
];

/// Runs all cases against the sample of that row, behind TLS that agrees on HTTP/2.
async fn findings(row: &Row) -> Findings {
    let name = row.name;
    let sample = start_named(name, UNIT).await.unwrap().unwrap();
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let roots = folder.path().join("roots.pem");
    authority.write(&roots);
    let port = authority.terminator(sample.addr, &["h2"], false).await;
    let (plain, secure) = (format!("http://{}", sample.addr), format!("https://localhost:{port}"));
    let text = sample.target.replace(&format!("url = \"{plain}\""), &format!("url = \"{secure}\""));
    let text = format!("{text}\n[tls]\ncacert = {:?}\n", roots.display().to_string());
    let target = target::parse(&text).unwrap();
    let options = Options { unit: UNIT, ..Options::default() };
    let found =
        run(target, options, |_| ()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(found.spoken, format!("{} over TLS", Http::Two));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_the_references_pass_and_flaws_are_caught() {
    let flaws = rows().into_iter().filter(|row| FLAWS.contains(&row.name));
    let all = [REFERENCE, REFERENCE_409].map(Row::of).into_iter().chain(flaws);
    let all: Vec<Row> = all.map(Row::over_streams).collect();
    assert_eq!(all.len(), FLAWS.len() + 2, "each of them has its row");
    let judging = all.iter().map(|row| async move { (row, findings(row).await) });
    let mut judging = stream::iter(judging).buffer_unordered(FEW);
    let mut differing = Vec::new();
    while let Some((row, findings)) = judging.next().await {
        if printed(row.name) {
            print(row.name, &findings);
        }
        differing.extend(differences(row, &findings, OF_LINES));
    }
    assert!(differing.is_empty(), "{} differences\n{}", differing.len(), differing.join("\n"));
}
