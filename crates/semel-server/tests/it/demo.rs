//! `semel demo`, as somebody new would run it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::client::{Request, ask};
use crate::harness::semel::{command, interrupt};
use crate::harness::within;

#[tokio::test]
async fn the_demo_charges_once_and_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let mut demo = command();
    demo.arg("demo").env("TMPDIR", place.path()).current_dir(place.path());
    let mut child = demo.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    let mut url = None;
    let mut commands = 0;
    while commands < 3 {
        let line = within("the demo says more", told.recv()).await.expect("the demo runs");
        commands += usize::from(line.trim_start().starts_with("curl "));
        if let Some(address) = line.strip_prefix("listening on http://") {
            url = address.parse().ok();
        }
    }
    let gateway: std::net::SocketAddr = url.expect("the demo names its address");
    let pay = |amount: u32| {
        Request::new("POST", "/v1/charges")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .bearer("sk_test_me")
            .key("8e03978e-40d5-43dd-bc93-6894a57f9324")
            .body(format!("amount={amount}&currency=eur&source=tok_visa"))
    };
    let first = ask(gateway, &pay(1200)).await;
    assert_eq!((first.status, first.verdict()), (200, Some("executed")), "{}", first.text());
    let again = ask(gateway, &pay(1200)).await;
    assert_eq!((again.verdict(), &again.body), (Some("replayed"), &first.body));
    assert_eq!(ask(gateway, &pay(9900)).await.status, 422);
    let charges = ask(gateway, &Request::get("/v1/charges").bearer("sk_test_me")).await.json();
    assert_eq!(charges["data"].as_array().map(Vec::len), Some(1), "{charges}");
    let page = ask(gateway, &Request::get("/")).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/try");
    let tried = move || Command::new(script).arg(format!("http://{gateway}")).output();
    let tried = within("the README's try ends", tokio::task::spawn_blocking(tried)).await;
    let tried = tried.unwrap().unwrap();
    let said = String::from_utf8_lossy(&tried.stdout);
    assert!(tried.status.success(), "{tried:?}");
    assert!(said.contains("charged: 2 times without a key, 1 with one"), "{said}");
    interrupt(child.id());
    let ended = tokio::task::spawn_blocking(move || child.wait());
    let ended = within("the demo ends", ended).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
