//! What a charge sends on: a webhook, an email and a message, each under an id that is derived from
//! the operation. Whatever is sent again is sent under the same id.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::wire::{Address, Request, WireError};

/// The header in which a protection tells the application which operation it runs.
pub(super) const OPERATION: &str = "operation-id";

/// Tries until a receiver has taken a webhook.
const DELIVERIES_MAX: u32 = 5;

/// Sends, and remembers what it sent. Clones share their books.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    receiver: SocketAddr,
    sent: Arc<Mutex<BTreeMap<String, Vec<Sent>>>>,
}

#[derive(Clone, Debug)]
struct Sent {
    kind: &'static str,
    id: String,
}

impl Sending {
    pub(super) fn to(receiver: SocketAddr) -> Self {
        Self { receiver, sent: Arc::default() }
    }

    /// Sends one of each kind for an operation.
    pub(super) fn send(&self, reference: &str, operation: &str) {
        for kind in ["email", "message"] {
            self.note(kind, reference, &derived(kind, operation));
        }
        self.webhook(reference, &derived("webhook", operation));
    }

    /// An email or a message left.
    pub(super) fn note(&self, kind: &'static str, reference: &str, id: &str) {
        let sent = Sent { kind, id: id.to_owned() };
        self.books().entry(reference.to_owned()).or_default().push(sent);
    }

    /// Delivers a webhook, in the background and until it is taken.
    pub(super) fn webhook(&self, reference: &str, id: &str) {
        self.note("webhook", reference, id);
        let body = json!({ "type": "charge.made", "reference": reference }).to_string();
        let request = Request::new("POST", "/webhooks")
            .add("Content-Type", "application/json")
            .add("webhook-id", id)
            .body(body);
        let to = Address::parse(&format!("http://{}", self.receiver));
        tokio::spawn(async move {
            let Ok(to) = to else { return };
            for _ in 0..DELIVERIES_MAX {
                if deliver(&to, &request).await.is_ok_and(|taken| taken) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    /// Whether anything was sent for a reference.
    pub(super) fn knows(&self, reference: &str) -> bool {
        self.books().contains_key(reference)
    }

    /// The ids of what was sent for a reference, by kind.
    pub(super) fn list(&self, reference: &str) -> Value {
        let books = self.books();
        let sent = books.get(reference).map(Vec::as_slice).unwrap_or_default();
        let of = |kind: &str| -> Vec<&str> {
            sent.iter().filter(|sent| sent.kind == kind).map(|sent| sent.id.as_str()).collect()
        };
        json!({ "webhook": of("webhook"), "email": of("email"), "message": of("message") })
    }

    fn books(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Sent>>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn deliver(to: &Address, request: &Request) -> Result<bool, WireError> {
    let mut connection = to.connect().await?;
    Ok(connection.exchange(request, &to.authority()).await?.success())
}

/// The id of what an operation sends.
pub(super) fn derived(kind: &str, operation: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("semel conform sample 2026 sent");
    hasher.update(kind.as_bytes()).update(&[0]).update(operation.as_bytes());
    let hex = hasher.finalize().to_hex();
    format!("{kind}-{}", hex.as_str().get(..24).expect("a digest has 64 hex digits"))
}
