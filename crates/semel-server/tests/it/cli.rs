//! The command line: what wrong flags are told, and where output goes.

use std::io::Read;
use std::process::Stdio;

use crate::harness::client::{Request, ask};
use crate::harness::semel::{command, run, serve};
use crate::harness::upstream::Upstream;
use crate::harness::within;

async fn refused(args: &[&str], told: &[&str]) {
    let ended = run(args).await;
    assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{args:?}");
    for part in told {
        assert!(ended.stderr.contains(part), "{args:?}: {part:?} is not in {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_wrong_flag_is_told_the_nearest_right_one() {
    let up = ["serve", "--upstream", "http://127.0.0.1:9"];
    let with = |flag: &'static str, value: &'static str| [&up[..], &[flag, value]].concat();
    refused(&["serv"], &["'serve'"]).await;
    refused(&["serve"], &["--upstream"]).await;
    refused(&with("--retension", "1h"), &["--retension", "--retention"]).await;
    refused(&with("--store", "embeded:x"), &["--store", "did you mean `embedded:x`?"]).await;
    refused(&with("--store", "memroy:"), &["did you mean `memory:`?"]).await;
    refused(&with("--scope", "heder:X-Me"), &["--scope", "did you mean `header:X-Me`?"]).await;
    refused(&with("--lease", "10"), &["--lease", "did you mean `10s`?"]).await;
    refused(&with("--reply-max", "1MB"), &["--reply-max", "did you mean `1MiB`?"]).await;
    refused(&with("--listen", "8080"), &["--listen"]).await;
    refused(&["serve", "--upstream", "api:9"], &["--upstream", "did you mean `http://api:9`?"])
        .await;
    refused(&with("--log", "semel=loud"), &["semel=loud"]).await;
    refused(&["keys", "list", "--state", "in-dout"], &["in-doubt"]).await;
    refused(&["keys", "show"], &["<ID|--key <KEY>>"]).await;
    refused(&["keys", "show", "abc"], &["64 hexadecimal digits"]).await;
    refused(&["keys", "resolve", &"a".repeat(64)], &["--done", "--released"]).await;
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    for args in [
        &["--help"][..],
        &["serve", "--help"],
        &["audit", "--help"],
        &["audit", "verify", "--help"],
        &["conform", "--help"],
        &["conform", "report", "--help"],
        &["demo", "--help"],
        &["keys", "--help"],
        &["keys", "list", "--help"],
        &["keys", "show", "--help"],
        &["keys", "resolve", "--help"],
        &["keys", "void", "--help"],
        &["keys", "erase", "--help"],
        &["store", "--help"],
        &["store", "init", "--help"],
        &["store", "stats", "--help"],
        &["store", "check", "--help"],
        &["store", "repair", "--help"],
        &["store", "accept", "--help"],
    ] {
        let ended = run(args).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
        let examples = ended.stdout.split_once("Example").or(ended.stdout.split_once("Try it:"));
        let (_, examples) = examples.unwrap_or_else(|| panic!("{args:?}: {}", ended.stdout));
        assert!(examples.contains("semel "), "{args:?}");
        assert!(!ended.stdout.contains('\u{1b}'), "{args:?}: NO_COLOR");
    }
}

#[tokio::test]
async fn the_tester_is_a_command_of_semel() {
    let args = ["conform", "--sample", "heeds-no-key", "--unit", "20ms", "--seed", "7"];
    let ended = run(&[&args[..], &["--case", "replay/one-effect"]].concat()).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let again = "semel conform --sample heeds-no-key --unit 20ms --case replay/one-effect --seed 7";
    assert!(ended.stdout.contains(again), "{}", ended.stdout);
}

#[tokio::test]
async fn flags_come_before_the_environment() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr)
        .env("SEMEL_SERVICE", "from-environment")
        .env("SEMEL_SCOPE", "none")
        .arg("--scope", "header:X-Me")
        .start()
        .await;
    semel.says("as service `from-environment`").await;
    let unnamed = ask(semel.addr, &Request::charge("key-0001-abcdefgh", "{}")).await;
    assert_eq!((unnamed.status, &unnamed.json()["code"]), (400, &"SEM-0105".into()));
    let named = Request::charge("key-0001-abcdefgh", "{}").header("X-Me", "7");
    assert_eq!(ask(semel.addr, &named).await.verdict(), Some("executed"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_as_such() {
    let nowhere = Upstream::nowhere().await.to_string();
    refused(&["keys", "list", "--admin", &nowhere], &[&nowhere, "semel serve"]).await;
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_failure() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    ask(semel.addr, &Request::charge("key-0001-abcdefgh", "{}")).await;
    let mut list = command();
    list.args(["keys", "list", "--admin", &semel.admin.to_string()]);
    let mut child = list.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    });
    let ended = within("the command ends", ended).await.unwrap();
    assert_eq!(ended, (Some(0), String::new()));
}

#[tokio::test]
async fn no_log_line_tells_a_key_a_credential_or_a_body() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--log", "trace").start().await;
    upstream.next(vec![crate::harness::upstream::Act::Reset]);
    for key in ["key-secret-0001-x", "key-secret-0002-x"] {
        let request = Request::charge(key, "{\"amount\":424242}").bearer("credential-shown");
        ask(semel.addr, &request).await;
        ask(semel.addr, &request).await;
    }
    semel.says("in doubt").await;
    let said = semel.stderr();
    for secret in ["key-secret", "credential-shown", "424242"] {
        assert!(!said.contains(secret), "{secret} is in the log: {said}");
    }
}
