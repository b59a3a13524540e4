//! What browsers are told: preflights, replays, problems and the reserved path.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use semel::core::Span;
use semel::http::Route;
use semel::http::cors::{Cors, Origins};
use semel::layer::Body;

use crate::door::{Door, Got, key, post};

const SHOP: &str = "https://shop.example";
const EVIL: &str = "https://evil.example";
const AUTH: (&str, &str) = ("authorization", "Bearer a");

/// A service that allows the shop, and nobody else.
async fn api(request: Request<Body>) -> Response<Full<Bytes>> {
    let mut response = Response::builder().header("vary", "accept, origin");
    if request.headers().get("origin").is_some_and(|origin| origin == SHOP) {
        response = response.header("access-control-allow-origin", SHOP);
        if request.method() == "OPTIONS" {
            response = response.header("access-control-allow-headers", "content-type");
        }
    }
    response.body(Full::from("charged")).unwrap()
}

async fn door(cors: Option<Cors>) -> Door {
    Door::new(Route { cors, ..Route::default() }, api).await
}

fn cors() -> Option<Cors> {
    Some(Cors {
        origins: Origins::List(vec![SHOP.to_owned()]),
        credentials: true,
        expose: vec!["x-charge".parse().unwrap()],
        max_age: Span::from_secs(600),
    })
}

async fn preflight(door: &Door, path: &str, origin: &str) -> Got {
    let request = Request::options(path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "idempotency-key");
    door.send(request.body(Full::<Bytes>::default()).unwrap()).await
}

fn all(got: &Got, name: &str) -> String {
    let lines = got.headers.get_all(name).iter().map(|line| line.to_str().unwrap());
    lines.collect::<Vec<_>>().join(", ")
}

const EXPOSED: &str = "idempotency-status, idempotent-replayed, idempotency-warning, \
                       preference-applied, retry-after";

#[tokio::test(start_paused = true)]
async fn a_preflight_is_the_services_to_answer_and_gains_our_names_where_it_allows() {
    let with = door(cors()).await;
    let got = preflight(&with, "/charges", SHOP).await;
    assert_eq!((&got.body[..], got.word()), (&b"charged"[..], ""));
    let names = "content-type, idempotency-key, prefer";
    assert_eq!(all(&got, "access-control-allow-headers"), names);
    let refused = preflight(&with, "/charges", EVIL).await;
    assert!(!refused.headers.contains_key("access-control-allow-headers"));
    let without = preflight(&door(None).await, "/charges", SHOP).await;
    assert_eq!(all(&without, "access-control-allow-headers"), "content-type");
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_made_readable_for_the_origin_that_asks_now() {
    let door = door(cors()).await;
    let shop = [AUTH, ("origin", SHOP)];
    let first = door.send(post(1, &shop, "x")).await;
    assert_eq!((first.word(), first.header("access-control-allow-origin")), ("executed", SHOP));
    assert_eq!(all(&first, "access-control-expose-headers"), EXPOSED);
    assert!(!first.headers.contains_key("access-control-allow-credentials"), "its own word");
    let replay = door.send(post(1, &shop, "x")).await;
    assert_eq!((replay.word(), replay.header("access-control-allow-origin")), ("replayed", SHOP));
    assert_eq!(replay.header("access-control-allow-credentials"), "true");
    assert_eq!(all(&replay, "access-control-expose-headers"), format!("{EXPOSED}, x-charge"));
    assert_eq!(all(&replay, "vary"), "accept, origin");
    let evil = door.send(post(1, &[AUTH, ("origin", EVIL)], "x")).await;
    assert_eq!((evil.word(), all(&evil, "vary")), ("replayed", "accept, origin".to_owned()));
    assert!(!evil.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(start_paused = true)]
async fn a_script_can_read_our_problems_and_ask_for_the_state_of_its_key() {
    let door = door(cors()).await;
    let refused = door.send(post(1, &[("origin", SHOP)], "x")).await;
    assert_eq!(refused.slug(), "scope-missing");
    assert_eq!(refused.header("access-control-allow-origin"), SHOP);
    let path = "/.well-known/idempotency/key";
    let asked = preflight(&door, path, SHOP).await;
    assert_eq!(
        (asked.status, asked.header("access-control-allow-methods")),
        (204, "GET, DELETE, POST")
    );
    let names = "idempotency-key, prefer, authorization";
    assert_eq!(all(&asked, "access-control-allow-headers"), names);
    assert_eq!(asked.header("access-control-max-age"), "600");
    let refused = preflight(&door, path, EVIL).await;
    assert!(!refused.headers.contains_key("access-control-allow-methods"));
    let inquiry = Request::get(path)
        .header("origin", SHOP)
        .header(AUTH.0, AUTH.1)
        .header("idempotency-key", key(1));
    let state = door.send(inquiry.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!((state.status, state.header("access-control-allow-origin")), (200, SHOP));
}
