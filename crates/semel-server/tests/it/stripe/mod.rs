//! The official Stripe SDK for Python, unchanged, through the gateway to the sample payment service,
//! while replies get lost on either side of the gateway.

mod losing;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use semel_demo::{Ledger, Troubles};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::losing::Losing;
use crate::harness::client::{Request, ask};
use crate::harness::semel::{run, serve};
use crate::harness::within;

/// The payment service in this process, and its books.
struct Payments {
    addr: SocketAddr,
    ledger: Ledger,
    serving: JoinHandle<()>,
}

impl Payments {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let ledger = Ledger::new();
        let books = ledger.clone();
        let serving = tokio::spawn(async move {
            let ended = semel_demo::serve(listener, books, Troubles::new(), std::future::pending());
            let _never = ended.await;
        });
        Self { addr, ledger, serving }
    }

    fn times_charged(&self, order: &str) -> usize {
        let of = |name: &str| name == order;
        self.ledger.times_charged(|c| c.asked.metadata.get("order").is_some_and(|o| of(o)))
    }
}

impl Drop for Payments {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The Python that has the SDK. Without it the test fails: it is never skipped.
fn python() -> PathBuf {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let named = std::env::var_os("SEMEL_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| root.join("target/venv/bin/python"));
    assert!(
        python.exists(),
        "there is no {} with the Stripe SDK: run scripts/test, which installs it, or set SEMEL_PYTHON",
        python.display()
    );
    python
}

/// Lets the SDK charge for each order against `api`, and returns what it tells of each.
async fn shop(api: SocketAddr, orders: &[&str]) -> Vec<Value> {
    let mut command = Command::new(python());
    command.arg("-u").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stripe/charges.py"));
    command.arg(format!("http://{api}")).args(orders).stdin(Stdio::null());
    // A proxy of the environment would stand between the SDK and loopback.
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = within("the shop closes", output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let told: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), orders.len(), "{said}");
    told
}

#[tokio::test]
async fn replies_lost_between_sdk_and_gateway_are_replayed_and_every_call_succeeds() {
    let payments = Payments::start().await;
    let semel = serve(payments.addr).start().await;
    // Two in a row get lost, as many as the SDK has patience for; the third arrives.
    let wire = Losing::to(semel.addr, |post| post % 3 != 2).await;
    let orders = ["tea", "cake", "bread"];
    for told in shop(wire.addr, &orders).await {
        let order = told["order"].as_str().unwrap();
        assert_eq!((&told["amount"], &told["paid"]), (&1200.into(), &true.into()), "{told}");
        assert_eq!(payments.times_charged(order), 1, "{order}");
    }
    assert_eq!(wire.posts(), 9, "each was asked for three times");
    assert_eq!(payments.ledger.times_charged(|_| true), 3);
    // Without the gateway the same wire charges three times: it is the gateway that does it.
    let bare = Losing::to(payments.addr, |post| post % 3 != 2).await;
    shop(bare.addr, &["unprotected"]).await;
    assert_eq!(payments.times_charged("unprotected"), 3);
}

#[tokio::test]
async fn replies_lost_between_gateway_and_upstream_are_in_doubt_and_charged_once() {
    let payments = Payments::start().await;
    let wire = Losing::to(payments.addr, |_| true).await;
    let semel = serve(wire.addr).start().await;
    let key = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    let named = format!("tea={key}");
    for told in shop(semel.addr, &[&named, "cake"]).await {
        let order = told["order"].as_str().unwrap();
        assert!(told["error"].is_string(), "{told}");
        assert_eq!(told["http"], 409, "{told}");
        assert!(told["body"].as_str().unwrap().contains("SEM-0203"), "{told}");
        assert_eq!(payments.times_charged(order), 1, "{order}");
    }
    assert_eq!(wire.posts(), 2, "what is in doubt is not sent again");
    let inquiry = Request::get("/.well-known/idempotency/key").key(key).bearer("sk_test_shop");
    let known = ask(semel.addr, &inquiry).await.json();
    assert_eq!((&known["state"], &known["effect"]), (&"in-doubt".into(), &"unknown".into()));
    // The key that the SDK made by itself, too, as an operator sees it.
    let admin = semel.admin.to_string();
    let listed = run(&["keys", "list", "--state", "in-doubt", "--json", "--admin", &admin]).await;
    assert_eq!((listed.code, listed.stdout.lines().count()), (Some(0), 2), "{}", listed.stderr);
}

#[tokio::test]
async fn replies_lost_between_gateway_and_upstream_are_looked_up_when_the_shop_asks_again() {
    let payments = Payments::start().await;
    let wire = Losing::to(payments.addr, |_| true).await;
    // Only replies to POST get lost, so look-ups are answered; by the shop's own credentials.
    let semel = serve(wire.addr)
        .file(
            "[[route]]\npath = \"/v1/charges\"\nreconcile.found = \"/data/0\"
reconcile.lookup = \"GET /v1/charges?limit=100&idempotency_key={derived_key}\"\n",
        )
        .start()
        .await;
    let key = |n: u32| format!("8e03978e-40d5-43dd-bc93-6894a57f{n:04}");
    let orders = [format!("tea={}", key(1)), format!("cake={}", key(2))];
    let orders = orders.each_ref().map(String::as_str);
    for told in shop(semel.addr, &orders).await {
        assert_eq!(told["http"], 409, "who began it is told that nobody knows: {told}");
    }
    // The shop asks again, as it is told to. Semel asks the service, and gives it the charge.
    for told in shop(semel.addr, &orders).await {
        let order = told["order"].as_str().unwrap();
        assert_eq!((&told["amount"], &told["paid"]), (&1200.into(), &true.into()), "{told}");
        assert_eq!(payments.times_charged(order), 1, "{order}");
    }
    assert_eq!(wire.posts(), 2, "what is in doubt is not sent again");
    let admin = semel.admin.to_string();
    let listed = run(&["keys", "list", "--state", "in-doubt", "--json", "--admin", &admin]).await;
    assert_eq!((listed.code, listed.stdout.as_str()), (Some(0), ""), "{}", listed.stderr);
}
