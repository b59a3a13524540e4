//! WebSocket through the gateway, with a real server and a real client: Python's `websockets`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::semel::serve;
use crate::harness::tls::{Authority, Holds};
use crate::harness::within;

/// The Python that has the package. Without it the test fails: it is never skipped.
fn peers(args: &[&str]) -> Command {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let named = std::env::var_os("SEMEL_PYTHON").map(PathBuf::from);
    let mut command = Command::new(named.unwrap_or_else(|| root.join("target/venv/bin/python")));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/websocket/peers.py")).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ended when dropped.
struct Server(Child, SocketAddr);

impl Server {
    async fn start() -> Self {
        let mut child = peers(&["serve"]).spawn().expect("run scripts/test, which installs Python");
        let stdout = child.stdout.take().expect("stdout is piped");
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = within("the WebSocket server starts", read).await.unwrap().unwrap();
        let port: u16 = line.trim().parse().expect("it prints its port");
        Self(child, SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn asked(args: Vec<String>) {
    let args: Vec<&str> = ["ask"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let child = peers(&args).spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = within("the WebSocket client ends", output).await.unwrap().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok", "{err}");
}

#[tokio::test]
async fn messages_pass_both_ways_with_tls_and_without() {
    let (server, authority) = (Server::start().await, Authority::new());
    let plain = serve(server.1).start().await;
    asked(vec![format!("ws://{}/", plain.addr)]).await;
    let [certificate, key] = authority.sign("gateway", Holds::Now);
    let secure = serve(server.1)
        .arg("--tls-certificate", certificate.to_str().unwrap())
        .arg("--tls-key", key.to_str().unwrap())
        .start()
        .await;
    let ca = authority.path().to_str().unwrap().to_owned();
    asked(vec![format!("wss://localhost:{}/", secure.addr.port()), ca]).await;
}
