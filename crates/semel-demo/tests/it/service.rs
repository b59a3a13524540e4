//! Starts the service on a free port, and a client that shows every byte it got.

use std::net::SocketAddr;

use semel_demo::{Account, Ledger, Stopped, Troubles, serve};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Ledger,
    pub(crate) troubles: Troubles,
    pub(crate) ended: JoinHandle<Stopped>,
    stop: oneshot::Sender<()>,
}

/// What came over the wire before the connection closed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Type, code and param of an error object.
    pub(crate) fn error(&self) -> (u16, String, String, String) {
        let error = &self.json()["error"];
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{self:?}");
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("type"), text("code"), text("param"))
    }
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ledger, troubles) = (Ledger::new(), Troubles::new());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(serve(listener, ledger.clone(), troubles.clone(), shutdown));
        Self { address, ledger, troubles, ended, stop }
    }

    pub(crate) fn ask_to_stop(self) -> JoinHandle<Stopped> {
        self.stop.send(()).unwrap();
        self.ended
    }

    /// Sends bytes and reads until the service closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect(request).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    /// Sends bytes on a new connection, and leaves the reading to the caller.
    pub(crate) async fn connect(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream
    }

    /// One request on its own connection, with these header lines.
    pub(crate) async fn send(&self, line: &str, headers: &str, body: &str) -> Answer {
        let answer = self.raw(&request(line, headers, body)).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) async fn post(&self, path: &str, media_type: &str, body: &str) -> Answer {
        let headers = format!("authorization: Bearer sk_me\r\ncontent-type: {media_type}\r\n");
        self.send(&format!("POST {path}"), &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), "authorization: Bearer sk_me\r\n", "").await
    }

    /// Charges and hands back the charge's id.
    pub(crate) async fn charge(&self, form: &str) -> String {
        let answer = self.post("/v1/charges", FORM, form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn times_charged(&self) -> usize {
        self.ledger.times_charged(|_| true)
    }
}

pub(crate) fn me() -> Account {
    Account::bearer("sk_me")
}

pub(crate) fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// A charge of 20.00 as bytes, for tests that read the connection themselves.
pub(crate) fn charge_request() -> Vec<u8> {
    let headers = format!("authorization: Bearer sk_me\r\ncontent-type: {FORM}\r\n");
    request("POST /v1/charges", &headers, CHARGE)
}

pub(crate) const CHARGE: &str = "amount=2000&currency=usd&source=tok_visa";
