//! The layer put to `semel conform`: on the memory store, and on the embedded one with crashes
//! and with trouble of the store.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod service;
#[path = "../../../../crates/semel-server/tests/it/conform/skips.rs"]
mod skips;
#[path = "../../../../crates/semel-server/tests/it/conform/subject.rs"]
mod subject;

use service::Service;
use skips::Skip;
use subject::Store;

const NO_TIME_OUT: &[Skip] = &[(
    &["failure/silent-not-twice", "failure/silent-told"],
    "a layer waits for its own handler as long as that takes: there is no upstream",
)];

#[tokio::test(flavor = "multi_thread")]
async fn on_the_memory_store_every_must_and_should_holds() {
    Service::new(Store::Memory).passes(&["*"], &[skips::MEMORY, NO_TIME_OUT].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_store_every_must_and_should_holds_through_crashes_and_trouble_of_the_store()
 {
    Service::new(Store::Embedded).passes(&["*"], &[skips::EMBEDDED, NO_TIME_OUT].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_to_be_used_when_its_reply_is_gone() {
    Service::new(Store::Embedded).forgetful().passes(&["retention/*"], &[]).await;
}
