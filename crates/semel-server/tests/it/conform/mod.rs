//! The gateway put to `semel conform`: the tester plays the upstream, kills the real binary and
//! starts it again, and takes its store away.

mod gateway;
mod skips;
mod subject;

use gateway::Gateway;
use subject::Store;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_memory_store_every_must_and_should_holds() {
    Gateway::new(Store::Memory).passes(&["*"], skips::MEMORY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_store_every_must_and_should_holds_through_crashes_and_trouble_of_the_store()
 {
    Gateway::new(Store::Embedded).passes(&["*"], skips::EMBEDDED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_to_be_used_when_its_reply_is_gone() {
    Gateway::new(Store::Embedded).forgetful().passes(&["retention/*"], &[]).await;
}
