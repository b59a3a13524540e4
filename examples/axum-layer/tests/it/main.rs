//! The layer put to `semel conform`: on the memory store, and on the embedded one with crashes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod service;

use service::{Service, Store};

#[tokio::test(flavor = "multi_thread")]
async fn on_the_memory_store_every_must_and_should_holds() {
    Service::new(Store::Memory).passes(&["*"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_store_every_must_and_should_holds_through_crashes() {
    Service::new(Store::Embedded).passes(&["*"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_to_be_used_when_its_reply_is_gone() {
    Service::new(Store::Embedded).forgetful().passes(&["retention/*"]).await;
}
