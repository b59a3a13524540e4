//! What a browser is told: preflights, replays, problems and the reserved path.

use super::{INQUIRY, REUSED, about, charge, said};
use crate::harness::client::{Reply, Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Upstream, reply};

const SHOP: &str = "https://shop.example";
const EVIL: &str = "https://evil.example";
const FILE: &str = "[defaults]\ncors.origins = [\"https://shop.example\"]\ncors.credentials = true
cors.expose = [\"X-Charge\"]\ncors.max_age = \"5m\"\n[[route]]\npath = \"/plain\"\ncors.origins = []
cors.credentials = false\n";
const EXPOSED: &str = "idempotency-status, idempotent-replayed, idempotency-warning, \
                       preference-applied, retry-after";

/// An API that allows the shop, and nobody else.
async fn api() -> Upstream {
    Upstream::with(|seen, n| {
        let allow = ("Access-Control-Allow-Origin", SHOP);
        match (seen.method.as_str(), seen.header("origin") == Some(SHOP)) {
            ("OPTIONS", true) => {
                reply(204, &[allow, ("Access-Control-Allow-Headers", "content-type")], "")
            }
            ("OPTIONS", false) => reply(204, &[], ""),
            (_, true) => reply(201, &[allow, ("X-Charge", "c")], format!("charge {n}")),
            (_, false) => reply(201, &[("X-Charge", "c")], format!("charge {n}")),
        }
    })
    .await
}

fn all(reply: &Reply, name: &str) -> String {
    reply.all(name).join(", ")
}

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "idempotency-key, content-type")
}

#[tokio::test]
async fn preflights_are_the_upstreams_to_answer_and_gain_our_names_where_it_allows() {
    let upstream = api().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let allowed = ask(semel.addr, &preflight("/v1/charges", SHOP)).await;
    assert_eq!(allowed.status, 204);
    assert_eq!(
        all(&allowed, "access-control-allow-headers"),
        "content-type, idempotency-key, prefer"
    );
    let refused = ask(semel.addr, &preflight("/v1/charges", EVIL)).await;
    assert_eq!(all(&refused, "access-control-allow-headers"), "");
    assert_eq!(all(&refused, "access-control-allow-origin"), "");
    let untouched = ask(semel.addr, &preflight("/plain", SHOP)).await;
    assert_eq!(all(&untouched, "access-control-allow-headers"), "content-type");
    assert_eq!(upstream.effects(), 3, "each was passed on");
}

#[tokio::test]
async fn answers_of_our_own_are_made_for_the_origin_that_asks() {
    let upstream = api().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let by = |origin: &str| charge(1).header("Origin", origin);
    let first = ask(semel.addr, &by(SHOP)).await;
    assert_eq!(
        (said(&first).as_str(), first.header("access-control-allow-origin")),
        ("201 executed", Some(SHOP))
    );
    assert_eq!(all(&first, "access-control-expose-headers"), EXPOSED);
    let replay = ask(semel.addr, &by(SHOP)).await;
    assert_eq!(said(&replay), "201 replayed");
    assert_eq!(replay.all("access-control-allow-origin"), [SHOP]);
    assert_eq!(replay.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(all(&replay, "access-control-expose-headers"), format!("{EXPOSED}, x-charge"));
    assert_eq!(all(&replay, "vary"), "origin");
    let evil = ask(semel.addr, &by(EVIL)).await;
    assert_eq!((said(&evil).as_str(), all(&evil, "vary").as_str()), ("201 replayed", "origin"));
    assert_eq!(all(&evil, "access-control-allow-origin"), "");
    let problem = ask(semel.addr, &by(SHOP).body("{}")).await;
    assert_eq!(
        (said(&problem).as_str(), problem.header("access-control-allow-origin")),
        (REUSED, Some(SHOP))
    );
    assert!(all(&problem, "access-control-expose-headers").contains("retry-after"));
    // A route without its own word says nothing.
    let plain = Request { target: "/plain".to_owned(), ..charge(2) }.header("Origin", SHOP);
    ask(semel.addr, &plain).await;
    let replay = ask(semel.addr, &plain).await;
    assert_eq!(
        (said(&replay).as_str(), all(&replay, "access-control-allow-origin").as_str()),
        ("201 replayed", "")
    );
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn the_reserved_path_answers_its_own_preflights() {
    let upstream = api().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let asked = ask(semel.addr, &preflight(INQUIRY, SHOP)).await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some(SHOP)));
    assert_eq!(asked.header("access-control-allow-methods"), Some("GET, DELETE, POST"));
    let names = "idempotency-key, prefer, authorization";
    assert_eq!(all(&asked, "access-control-allow-headers"), names);
    assert_eq!(asked.header("access-control-max-age"), Some("300"));
    let refused = ask(semel.addr, &preflight(INQUIRY, EVIL)).await;
    assert_eq!(all(&refused, "access-control-allow-origin"), "");
    let told = ask(semel.addr, &about("GET", 1).header("Origin", SHOP)).await;
    assert_eq!((told.status, told.header("access-control-allow-origin")), (200, Some(SHOP)));
    assert_eq!(upstream.effects(), 0);
}
