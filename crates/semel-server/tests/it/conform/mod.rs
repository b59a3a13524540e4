//! The gateway put to `semel conform`: the tester plays the upstream, kills the real binary and
//! starts it again, and takes its store away.

mod gateway;
mod skips;
mod subject;

use gateway::Gateway;
use subject::Store;

/// On the embedded store, where HTTP/2 is spoken.
const EMBEDDED_HTTP2: &[skips::Skip] = &[
    skips::NOTHING_SENT,
    skips::NO_MATCH_DEMANDED,
    skips::OTHER_RUN,
    skips::NO_NETWORK,
    (
        &["identity/surrounding-space", "framing/length-and-chunked-closes"],
        "HTTP/2 is spoken, and they are about the lines of HTTP/1.1",
    ),
];

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
async fn over_http2_within_tls_every_must_and_should_holds_through_crashes_and_trouble_of_the_store()
 {
    Gateway::new(Store::Embedded).secure().passes(&["*"], EMBEDDED_HTTP2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_to_be_used_when_its_reply_is_gone() {
    Gateway::new(Store::Embedded).forgetful().passes(&["retention/*"], &[]).await;
}
