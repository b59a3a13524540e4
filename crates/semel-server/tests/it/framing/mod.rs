//! Requests that two readers could understand differently: bytes through the real gateway, to an upstream
//! that reads them strictly and leniently. Each case says what its caller is answered and what may arrive
//! behind; after each, `GET /end` follows on the same connection, and is answered or never read.

mod http_2;
mod recorder;

use serde::Deserialize;

use crate::harness::client::Client;
use crate::harness::semel::serve;
use recorder::Recorder;

/// One case of `cases.json`.
#[derive(Deserialize)]
struct Case {
    name: String,
    send: String,
    /// The statuses of the answers until the connection is closed; that of `/end` too.
    answers: Vec<u16>,
    /// What arrives behind, without `/end`.
    behind: Vec<String>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/framing/cases.json");
    let text = std::fs::read_to_string(path).expect("the cases are there");
    serde_json::from_str(&text).expect("the cases can be read")
}

#[tokio::test]
async fn no_request_is_read_in_two_ways() {
    let recorder = Recorder::start().await;
    let semel = serve(recorder.addr)
        .arg("--head-timeout", "400ms")
        .arg("--body-pause", "400ms")
        .arg("--reply-timeout", "2s")
        .arg("--keep-alive", "1s")
        .start()
        .await;
    let (all, mut wrong) = (cases(), vec![]);
    for case in &all {
        recorder.forget();
        let mut client = Client::connect(semel.addr).await;
        let end = "GET /end HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
        client.send(format!("{}{end}", case.send).as_bytes()).await;
        let mut answers = vec![];
        while let Ok(reply) = client.reply("GET").await {
            answers.push(reply.status);
        }
        let mut behind = match recorder.requests() {
            Ok(behind) => behind,
            Err(why) => {
                wrong.push(format!("{}: {why}", case.name));
                continue;
            }
        };
        behind.retain(|request| request != "GET /end ");
        if answers != case.answers || behind != case.behind {
            wrong.push(format!("{}: answered {answers:?}, behind {behind:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    assert!(all.len() + http_2::CASES >= 60);
}
