//! Void and acknowledge, in each state.

use super::{BEGAN_AND_IN_DOUBT, IN_DOUBT, IN_FLIGHT, VOID, about, charge, said};
use crate::harness::Gate;
use crate::harness::client::{Client, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream, after, reply};

const USED: &str = "409 refused SEM-0208 done not-run same-key";

#[tokio::test]
async fn a_voided_key_never_runs() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    // Absent, and then released: in both nothing has happened, and nothing will.
    upstream.next(reply(429, &[], ""));
    assert_eq!(said(&ask(semel.addr, &charge(2)).await), "429 released");
    for n in [1, 2] {
        for _ in 0..2 {
            let voided = ask(semel.addr, &about("DELETE", n)).await;
            assert_eq!(voided.status, 200);
            assert_eq!(voided.json(), serde_json::json!({ "state": "void", "effect": "none" }));
        }
        for request in [charge(n), charge(n).body("{\"amount\":1}")] {
            let refused = ask(semel.addr, &request).await;
            assert_eq!(said(&refused), VOID);
            // The SDKs retry a 409, and this one will never change.
            assert_eq!(refused.header("stripe-should-retry"), Some("false"));
        }
        let acknowledged = ask(semel.addr, &about("POST", n)).await;
        assert_eq!(said(&acknowledged), VOID);
    }
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn what_runs_is_not_voided_and_its_reply_comes() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "paid")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&charge(1)).await;
    gate.reached(1).await;
    for method in ["DELETE", "POST"] {
        assert_eq!(said(&ask(semel.addr, &about(method, 1)).await), IN_FLIGHT, "{method}");
    }
    gate.open();
    assert_eq!(said(&first.reply("POST").await.unwrap()), "201 executed");
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 replayed");
}

#[tokio::test]
async fn doubt_is_not_voided() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    upstream.next(vec![Act::Reset]);
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    for method in ["DELETE", "POST"] {
        let refused = ask(semel.addr, &about(method, 1)).await;
        assert_eq!(said(&refused), IN_DOUBT, "{method}");
        assert!(refused.json()["since"].is_string());
    }
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
}

#[tokio::test]
async fn what_has_ended_is_not_voided_and_is_told_with_status_and_time() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    ask(semel.addr, &charge(1)).await;
    let used = ask(semel.addr, &about("DELETE", 1)).await;
    assert_eq!(said(&used), USED);
    assert_eq!(used.json()["recorded_status"], 201);
    assert!(used.json()["since"].is_string());
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), "201 replayed");
    // Spent, too.
    assert_eq!(ask(semel.addr, &about("POST", 1)).await.status, 204);
    let used = ask(semel.addr, &about("DELETE", 1)).await;
    assert_eq!(said(&used), USED);
    assert_eq!(used.json()["recorded_status"], 201);
}

#[tokio::test]
async fn an_acknowledged_reply_is_gone_and_its_key_stays_used() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    ask(semel.addr, &charge(1)).await;
    for _ in 0..2 {
        let acknowledged = ask(semel.addr, &about("POST", 1)).await;
        assert_eq!((acknowledged.status, acknowledged.body.len()), (204, 0));
    }
    let spent = ask(semel.addr, &charge(1)).await;
    assert_eq!(said(&spent), "410 spent SEM-0204 done not-run never");
    assert_eq!(spent.json()["recorded_status"], 201);
    let unknown = ask(semel.addr, &about("POST", 2)).await;
    assert_eq!(said(&unknown), "404 refused SEM-0209 unknown not-run never");
    assert_eq!(upstream.effects(), 1);
}
