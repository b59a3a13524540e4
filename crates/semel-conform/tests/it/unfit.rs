//! Targets that cannot be judged: a clear line and exit 2, never a pass.

use std::net::SocketAddr;

use semel_conform::sample::{App, Serving, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::command::{Ended, command, conform};

const NO_EFFECTS: &str = "{\"count\":0}";

/// What a server answers to a request that begins so; nothing, for ever, with `None`.
async fn server(
    answer: impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut room = vec![0; 4096];
                let read = stream.read(&mut room).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&room[..read]).into_owned();
                match answer(&head) {
                    Some(reply) => drop(stream.write_all(reply.as_bytes()).await),
                    // Until the other side leaves.
                    None => drop(stream.read(&mut room).await),
                }
            });
        }
    });
    addr
}

fn reply(status: &str, more: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

/// The tester against it, with a probe.
async fn tested(addr: SocketAddr, probe: &str) -> Ended {
    let url = format!("http://{addr}");
    conform(&[
        "--url",
        &url,
        "--path",
        "/charges",
        "--body",
        "{\"reference\":\"{unique}\",\"amount\":1}",
        "--count-probe",
        probe,
        "--count-pointer",
        "/count",
        "--timeout",
        "300ms",
        "--unit",
        "20ms",
    ])
    .await
}

#[track_caller]
fn assert_unfit(ended: &Ended, told: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{told}: {}", ended.stderr);
    assert!(ended.stderr.contains(told), "{told} is not in {}", ended.stderr);
}

const PROBE: &str = "/charges?reference={unique}";

/// The operation goes so, and nothing is counted.
async fn operation_goes(
    answer: impl Fn() -> Option<String> + Clone + Send + Sync + 'static,
) -> Ended {
    let answer = move |head: &str| {
        if head.starts_with("GET") { reply("200 OK", "", NO_EFFECTS) } else { answer() }
    };
    tested(server(answer).await, PROBE).await
}

#[tokio::test]
async fn a_target_that_is_down() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    drop(taken);
    assert_unfit(&tested(addr, PROBE).await, "start the target, or mend its url");
}

#[tokio::test]
async fn a_peer_that_shakes_no_hands() {
    let addr = server(|_| None).await;
    let url = format!("https://{addr}");
    let args = ["--url", &url, "--path", "/", "--count-command", "echo 0", "--timeout", "300ms"];
    assert_unfit(&conform(&args).await, "no connection was made within 0.3 s");
}

#[tokio::test]
async fn an_operation_that_gets_no_answer_or_garbage() {
    assert_unfit(&operation_goes(|| None).await, "no whole reply within 0.3 s");
    let garbage = || Some("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned());
    assert_unfit(&operation_goes(garbage).await, "no HTTP/1.1");
    assert_unfit(&operation_goes(|| Some(String::new())).await, "ended before the reply began");
}

#[tokio::test]
async fn an_operation_that_is_redirected_refused_or_unknown() {
    let redirect = || reply("302 Found", "Location: /charges\r\n", "");
    assert_unfit(&operation_goes(redirect).await, "the tester follows no redirect");
    let login = || reply("401 Unauthorized", "", "who are you?");
    assert_unfit(&operation_goes(login).await, "the target refuses tenant A: 401");
    let missing = || reply("404 Not Found", "", "");
    assert_unfit(&operation_goes(missing).await, "does not succeed: 404");
    let done = || reply("201 Created", "", "{}");
    assert_unfit(&operation_goes(done).await, "its effect is not counted");
}

#[tokio::test]
async fn a_probe_that_cannot_count() {
    let probed = |status: &'static str, body: &'static str| async move {
        tested(server(move |_| reply(status, "", body)).await, PROBE).await
    };
    assert_unfit(&probed("404 Not Found", "").await, "answered 404");
    assert_unfit(&probed("200 OK", "<html>").await, "no JSON");
    assert_unfit(&probed("200 OK", "{\"counts\":0}").await, "there is nothing at \"/count\"");
    assert_unfit(&probed("200 OK", "{\"count\":true}").await, "neither a number nor an array");
    assert_unfit(&probed("200 OK", "{\"count\":5}").await, "was never sent");
    assert_unfit(&tested(server(|_| None).await, PROBE).await, "the probe GET /charges");
}

async fn app() -> Serving {
    let app = App::default();
    let handle = move |request| {
        let app = app.clone();
        async move { app.handle(request).await }
    };
    serve("127.0.0.1:0".parse().unwrap(), handle).await.unwrap()
}

#[tokio::test]
async fn a_count_that_does_not_heed_the_value_that_it_names() {
    let app = app().await;
    let ended = tested(app.addr, "/charges?wrong={unique}").await;
    assert_unfit(&ended, "names {unique} and does not heed it");
}

#[tokio::test]
async fn a_command_that_cannot_count() {
    let app = app().await;
    let url = format!("http://{}", app.addr);
    for (script, told) in [
        ("exit 3", "ended with exit status: 3"),
        ("echo many", "printed \"many\", no number"),
        ("echo 1 # {unique}", "was never sent"),
    ] {
        let body = "{\"reference\":\"{unique}\",\"amount\":1}";
        let args = ["--url", &url, "--path", "/charges", "--body", body, "--count-command", script];
        assert_unfit(&conform(&args).await, told);
    }
}

/// A target whose store can be broken, in name only.
fn breakable(url: &str, log: &std::path::Path) -> String {
    let log = log.display();
    format!(
        r#"
url = "{url}"
[operation]
path = "/charges"
body = '{{"reference":"{{unique}}","amount":{{amount}}}}'
[effects]
probe = "/charges?reference={{unique}}"
pointer = "/count"
[control]
store_down = "echo down >> {log}; exec sleep 30"
store_up = "echo up >> {log}"
"#
    )
}

#[tokio::test]
async fn a_run_that_is_stopped_mends_what_it_broke() {
    let app = app().await;
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("log"), folder.path().join("api.toml"));
    std::fs::write(&file, breakable(&format!("http://{}", app.addr), &log)).unwrap();
    let file = file.display().to_string();
    let child = command(&["--target", &file, "--case", "store/*", "--unit", "20ms"]).spawn();
    let child = child.unwrap();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let broken = async {
        while !said().contains("down") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), broken).await.unwrap();
    let pid = child.id().unwrap().to_string();
    let told = tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
    assert!(told.success());
    let ended = Ended::of(child).await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stdout.contains("(stopped)"), "{}", ended.stdout);
    assert!(said().ends_with("up\n"), "{}", said());
}

#[tokio::test]
async fn cases_that_are_all_skipped_are_no_success() {
    let app = app().await;
    let url = format!("http://{}", app.addr);
    let body = "{\"reference\":\"{unique}\",\"amount\":1}";
    let ended = conform(&[
        "--url",
        &url,
        "--path",
        "/charges",
        "--body",
        body,
        "--count-probe",
        PROBE,
        "--count-pointer",
        "/count",
        "--case",
        "store/*",
    ])
    .await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stdout.contains("No success: every case that counts was skipped"), "{ended:?}");
}

#[tokio::test]
async fn a_target_that_cannot_be_mended_ends_the_run() {
    let app = app().await;
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("log"), folder.path().join("api.toml"));
    let text = breakable(&format!("http://{}", app.addr), &log);
    let text = text.replace("exec sleep 30", "true").replace("echo up", "exit 3; echo up");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let ended = conform(&["--target", &file, "--case", "store/*", "--unit", "20ms"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for part in [
        "could not be mended, and the run ends here",
        "(ended where the target could not be mended)",
        "No success: what a case broke could not be mended",
    ] {
        assert!(ended.stdout.contains(part), "{part} is not in {}", ended.stdout);
    }
    let downs = std::fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(downs, 1, "no other case is run: {}", ended.stdout);
}
