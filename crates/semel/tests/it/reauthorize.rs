//! Before a replay the service is asked whether the caller may still see it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use semel::http::Route;
use semel::http::route::{PrincipalSource, Reauthorize};
use semel::layer::Body;

use crate::door::{Door, post};

#[tokio::test(start_paused = true)]
async fn a_replay_waits_for_the_services_word_and_the_record_stays() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let api = {
        let asked = Arc::clone(&asked);
        move |request: Request<Body>| {
            let asked = Arc::clone(&asked);
            async move {
                let (parts, body) = request.into_parts();
                let len = body.collect().await.unwrap().to_bytes().len();
                let mut names: Vec<_> = parts.headers.keys().map(|n| n.as_str()).collect();
                names.sort_unstable();
                let names = names.join(" ");
                asked.lock().unwrap().push(format!("{} {} {len} {names}", parts.method, parts.uri));
                let shut_out = parts.headers["authorization"] == "Bearer shut-out";
                let status = match (parts.uri.path(), shut_out) {
                    ("/me", true) => 403,
                    _ => 200,
                };
                Response::builder().status(status).body(Full::from("its word")).unwrap()
            }
        }
    };
    let reauthorize = Some(Reauthorize { method: Method::GET, path: "/me?brief=1".to_owned() });
    // The principal is the tenant, so its key outlives a token.
    let principal = PrincipalSource::Header("x-tenant".parse().unwrap());
    let door = Door::new(Route { reauthorize, principal, ..Route::default() }, api).await;
    let send = |token: &'static str| {
        let headers = [
            ("x-tenant", "acme"),
            ("authorization", token),
            ("content-type", "text/plain"),
            ("prefer", "wait=1"),
            ("if-match", "\"1\""),
        ];
        door.send(post(1, &headers, Bytes::from_static(b"12345")))
    };
    assert_eq!(send("Bearer good").await.word(), "executed");
    assert_eq!(asked.lock().unwrap().len(), 1, "a first request is not asked about");
    let refused = send("Bearer shut-out").await;
    assert_eq!((refused.status, refused.word()), (403, "refused"));
    assert_eq!(refused.body, "its word");
    assert!(!refused.headers.contains_key("idempotent-replayed"));
    let question = asked.lock().unwrap().pop().unwrap();
    assert_eq!(question, "GET /me?brief=1 0 authorization host x-tenant");
    assert_eq!(send("Bearer good").await.word(), "replayed");
    assert_eq!(asked.lock().unwrap().len(), 2);
}
