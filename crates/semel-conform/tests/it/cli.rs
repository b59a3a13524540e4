//! The command: what it says, where it says it, and how it ends.

use std::path::Path;

use serde_json::Value;

use crate::command::{Ended, command, conform};

/// The reference, at a pace for tests, with a few cases.
const REFERENCE: [&str; 6] = ["--sample", "reference", "--unit", "20ms", "--case", "replay/*"];

const UNIT: std::time::Duration = std::time::Duration::from_millis(20);

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

#[tokio::test]
async fn a_right_sample_passes_and_every_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (json, junit) = (file("a.json"), file("a.xml"));
    let (markdown, html) = (file("a.md"), file("a.html"));
    let ended = conform(&with(
        &REFERENCE,
        &["--json", &json, "--junit", &junit, "--markdown", &markdown, "--html", &html],
    ))
    .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("replay     A retry after the reply"), "{}", ended.stdout);
    assert!(ended.stdout.contains("Not graded: only some cases were run."), "{}", ended.stdout);
    assert!(ended.stderr.contains("● pass   MUST   replay/one-effect"), "{}", ended.stderr);
    assert!(!format!("{ended:?}").contains("u{1b}"), "no colours but on a terminal: {ended:?}");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let report: Value = serde_json::from_str(&read(&json)).unwrap();
    assert_eq!((&report["version"], &report["exit"]), (&1.into(), &0.into()));
    assert!(read(&junit).contains("failures=\"0\" errors=\"0\""));
    assert!(read(&markdown).starts_with("# Is sample reference safe to retry?\n"));
    assert!(read(&html).starts_with("<!doctype html>"));
}

#[tokio::test]
async fn a_wrong_sample_fails_with_what_shows_it_again() {
    let args = [
        "--sample",
        "heeds-no-key",
        "--unit",
        "20ms",
        "--case",
        "replay/one-effect",
        "--seed",
        "7",
    ];
    let ended = conform(&args).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in [
        "expected  one effect",
        "observed  2 effects",
        "sent      curl -i -X POST",
        "# sent 2 times",
        "again     semel-conform --sample heeds-no-key --unit 20ms --case replay/one-effect --seed 7",
        "Grade F: a retry had its effect twice: replay/one-effect.",
        "It may promise: Nothing: a retry can have its effect twice.",
    ] {
        assert!(ended.stdout.contains(part), "{part} is not in {}", ended.stdout);
    }
}

#[tokio::test]
async fn the_run_ends_at_the_first_failure_when_asked() {
    let args = ["--sample", "heeds-no-key", "--unit", "20ms", "--fail-fast", "--at-once", "1"];
    let ended = conform(&args).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("(ended at the first failure)"), "{}", ended.stdout);
}

async fn refused(args: &[&str], told: &[&str]) {
    let ended = conform(args).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ended.stderr);
    for part in told {
        assert!(ended.stderr.contains(part), "{args:?}: {part} is not in {}", ended.stderr);
    }
}

#[tokio::test]
async fn wrong_flags_are_told_with_the_nearest_right_ones() {
    refused(&with(&REFERENCE, &["--strct"]), &["--strict"]).await;
    refused(&["--sample", "refrence"], &["did you mean `reference`?"]).await;
    refused(&["--sample", "reference", "--case", "replay/on-effect"], &["`replay/one-effect`"])
        .await;
    refused(&["--sample", "reference", "--case", "nothing/*"], &["no case matches", "--list"])
        .await;
    refused(&["--list", "--case", "claym/*"], &["no case matches"]).await;
    refused(&[], &["--target FILE", "--url URL", "--sample NAME"]).await;
    refused(&["--url", "http://127.0.0.1:9"], &["--path PATH"]).await;
    let path = ["--url", "http://127.0.0.1:9", "--path", "/charges"];
    refused(&path, &["--count-probe PATH"]).await;
    refused(&with(&path, &["--header", "X", "--count-command", "echo 0"]), &["'Name: value'"])
        .await;
    refused(&["--sample", "reference", "--unit", "1"], &["250ms, 10s, 5m or 24h"]).await;
    refused(&["--sample", "reference", "--unit", "0s"], &["no time at all"]).await;
    refused(&with(&REFERENCE, &["--repeat", "0"]), &["--repeat"]).await;
    refused(&with(&REFERENCE, &["--json", "-", "--html", "-"]), &["only one report"]).await;
    refused(&with(&REFERENCE, &["--html", "/none/x.html"]), &["/none/x.html cannot be written"])
        .await;
    refused(&["--target", "/none.toml"], &["/none.toml"]).await;
    refused(
        &["--url", "http://192.0.2.1", "--origin", "127.0.0.1:0"],
        &["--i-may-test-this-host 192.0.2.1"],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_key_of_a_file_is_told_with_its_line_and_the_nearest_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.toml");
    std::fs::write(&path, "url = \"http://127.0.0.1:9\"\nkey_haeder = \"K\"\n").unwrap();
    let path = path.display().to_string();
    refused(&["--target", &path], &[&path, "line 2", "did you mean `key_header`?"]).await;
}

#[tokio::test]
async fn what_nothing_decides_is_no_success() {
    // An INFO never counts, and no other case is run.
    let ended =
        conform(&["--sample", "reference", "--unit", "20ms", "--case", "replay/json-order"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stdout.contains("No success: no MUST is among the cases"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_list_is_for_people_or_for_programs() {
    let people = conform(&["--list", "--case", "replay/*"]).await;
    assert_eq!((people.code, people.stderr.as_str()), (Some(0), ""));
    assert!(people.stdout.contains("replay/one-effect"), "{}", people.stdout);
    let programs = conform(&["--list", "--json"]).await;
    let all: Vec<Value> = serde_json::from_str(&programs.stdout).unwrap();
    assert!(all.iter().all(|case| case["requirement"].is_string() && case["level"].is_string()));
    assert!(all.len() >= 60, "{}", all.len());
    let samples = conform(&["--list-samples", "--json"]).await;
    let samples: Vec<Value> = serde_json::from_str(&samples.stdout).unwrap();
    assert_eq!(samples[0]["name"], "reference");
}

#[tokio::test]
async fn data_alone_is_on_stdout() {
    let ended = conform(&with(&REFERENCE, &["--json"])).await;
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["target"], "sample reference");
    assert!(ended.stderr.contains("Not graded"), "{}", ended.stderr);
    let quiet = conform(&with(&REFERENCE, &["--quiet"])).await;
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    assert_eq!(quiet.stdout.trim().lines().count(), 3, "{}", quiet.stdout);
}

#[tokio::test]
async fn flags_stand_for_a_file() {
    let flags = [
        "--url",
        "http://127.0.0.1:9",
        "--path",
        "/charges",
        "--header",
        "Content-Type: application/json",
        "--header",
        "Authorization: Bearer a",
        "--body",
        "{\"reference\":\"{unique}\"}",
        "--count-probe",
        "/charges?reference={unique}",
        "--count-pointer",
        "/count",
        "--print-target",
    ];
    let printed = conform(&flags).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let target = semel_conform::target::parse(&printed.stdout).unwrap();
    assert_eq!(target.tenant_a, [("Authorization".to_owned(), "Bearer a".to_owned())]);
    assert_eq!(target.operation.headers[0].0, "Content-Type");
    assert!(target.effects.by_operation());
}

async fn written(folder: &Path, sample: &str) -> String {
    let path = folder.join(format!("{sample}.json")).display().to_string();
    let args = ["--sample", sample, "--unit", "20ms", "--case", "replay/*", "--json", &path];
    conform(&args).await;
    path
}

#[tokio::test]
async fn reports_read_back_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let right = written(folder.path(), "reference").await;
    let wrong = written(folder.path(), "heeds-no-key").await;
    let html = folder.path().join("both.html").display().to_string();
    let ended = conform(&["report", &right, &wrong, "--markdown", "-", "--html", &html]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(
        ended.stdout.contains("| `replay/one-effect` (MUST) | ● pass | ✕ fail |"),
        "{}",
        ended.stdout
    );
    assert!(std::fs::read_to_string(&html).unwrap().contains("sample heeds-no-key"));
    let summary = conform(&["report", &wrong]).await;
    assert!(summary.stdout.contains("Grade F"), "{}", summary.stdout);
    std::fs::write(&right, "{}").unwrap();
    refused(&["report", &right], &[&right, "no report of this tester"]).await;
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_failure() {
    let mut list = command(&["--list"]);
    let mut child = list.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Ended::of(child).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn help_has_examples_and_the_exit_codes() {
    for args in [&["--help"][..], &["report", "--help"]] {
        let ended = conform(args).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains("Examples:\n  semel conform"), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn no_report_shows_a_credential() {
    let sample = semel_conform::sample::start_named("heeds-no-key", UNIT).await.unwrap().unwrap();
    let url = format!("http://{}", sample.addr);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let files = ["a.json", "a.xml", "a.md", "a.html"].map(file);
    let [json, junit, markdown, html] = &files;
    let ended = conform(&[
        "--url",
        &url,
        "--path",
        "/charges",
        "--header",
        "Content-Type: application/json",
        "--header",
        "Authorization: Bearer conform-a",
        "--body",
        "{\"reference\":\"{unique}\",\"amount\":{amount}}",
        "--count-probe",
        "/charges?reference={unique}",
        "--count-pointer",
        "/count",
        "--unit",
        "20ms",
        "--case",
        "replay/one-effect",
        "--json",
        json,
        "--junit",
        junit,
        "--markdown",
        markdown,
        "--html",
        html,
    ])
    .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let variable = "Authorization: $TENANT_A_AUTHORIZATION";
    let mut reports: Vec<String> =
        files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    reports.extend([ended.stdout, ended.stderr]);
    for report in &reports {
        assert!(!report.contains("Bearer conform-a"), "{report}");
    }
    assert!(reports[0].contains(variable), "{}", reports[0]);
    for report in [&reports[2], &reports[3], &reports[4]] {
        assert!(report.contains("set its variables: TENANT_A_AUTHORIZATION"), "{report}");
    }
    assert!(
        reports[4].contains(&format!(
            "curl -i -X POST -H 'Content-Type: application/json' -H \"{variable}\""
        )),
        "{}",
        reports[4]
    );
    assert!(reports[4].contains(&format!("--header \"{variable}\"")), "{}", reports[4]);
}

#[tokio::test]
async fn a_report_that_stands_is_kept_until_there_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    std::fs::write(&path, "the one before").unwrap();
    let shown = path.display().to_string();
    let down = ["--url", "http://127.0.0.1:9", "--path", "/", "--count-command", "echo 0"];
    let ended = conform(&with(&down, &["--json", &shown])).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "the one before");
    let ended = conform(&with(&REFERENCE, &["--json", &shown])).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with('{'));
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");
}
