//! What passes through the gateway without a key.

use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::Upstream;

#[tokio::test]
async fn an_unkeyed_request_passes_through() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let reply = ask(semel.addr, &Request::post("/v1/charges?x=1", "{\"amount\":1}")).await;
    assert_eq!((reply.status, reply.text().as_str()), (201, "{\"charge\":1}"));
    let seen = upstream.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/charges?x=1"));
    assert_eq!(seen.body, b"{\"amount\":1}");
    assert_eq!(seen.header("host"), Some("shop.test"));
}
