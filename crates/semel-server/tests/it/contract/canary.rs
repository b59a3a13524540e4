//! One key in a hundred hands: nobody ever gets another's reply.

use tokio::task::JoinSet;

use super::{about, charge};
use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Upstream, reply};
use crate::harness::within;

fn of(tenant: usize) -> Request {
    charge(1).bearer(&format!("tenant-{tenant}"))
}

#[tokio::test]
async fn a_hundred_tenants_with_the_same_key_each_get_their_own_reply() {
    let upstream = Upstream::with(|seen, _| {
        let token = seen.header("authorization").unwrap_or_default().to_owned();
        reply(201, &[("X-Canary", &token)], format!("canary of {token}"))
    })
    .await;
    let semel = serve(upstream.addr).start().await;
    for word in ["executed", "replayed"] {
        let mut callers = JoinSet::new();
        for tenant in 0..100 {
            let addr = semel.addr;
            callers.spawn(async move { (tenant, ask(addr, &of(tenant)).await) });
        }
        for (tenant, told) in within("all are answered", callers.join_all()).await {
            let own = format!("Bearer tenant-{tenant}");
            assert_eq!((told.status, told.verdict()), (201, Some(word)));
            assert_eq!(told.text(), format!("canary of {own}"));
            assert_eq!(told.header("x-canary"), Some(own.as_str()));
        }
    }
    assert_eq!(upstream.effects(), 100);
    let mut derived: Vec<String> = upstream
        .seen()
        .iter()
        .map(|seen| seen.header("idempotency-key").unwrap().to_owned())
        .collect();
    derived.sort();
    derived.dedup();
    assert_eq!(derived.len(), 100, "to the upstream, too, they are a hundred operations");
}

#[tokio::test]
async fn whoever_lacks_the_principal_gets_nothing_of_the_reply() {
    let upstream = Upstream::with(|_, _| reply(201, &[("X-Canary", "canary")], "canary")).await;
    let semel = serve(upstream.addr).start().await;
    ask(semel.addr, &of(1)).await;
    let strangers = [
        charge(1).bearer("tenant-2"),
        // Nearly the same.
        charge(1).bearer("tenant-10"),
        charge(1).set("Authorization", "Basic tenant-1"),
        charge(1).set("Authorization", "Bearer TENANT-1"),
        charge(1).set("Authorization", ""),
        about("GET", 1).bearer("tenant-2"),
        about("POST", 1).bearer("tenant-2"),
    ];
    for stranger in strangers {
        upstream.next(reply(401, &[], "who are you?"));
        let told = ask(semel.addr, &stranger).await;
        let all = format!("{:?} {}", told.headers, told.text());
        assert!(!all.contains("canary"), "{stranger:?} got {all}");
    }
}
