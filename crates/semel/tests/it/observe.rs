//! Observe mode: nothing changes for the caller, and what enforcing would have answered is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use semel::http::Route;
use semel::http::route::{KeySource, Mode, PrincipalSource};
use semel::layer::Body;

use crate::door::{Door, key, post};
use crate::meters::Recorder;

fn observing() -> Route {
    Route { mode: Mode::Observe, principal: PrincipalSource::None, ..Route::gateway() }
}

/// Reads the body and says how long it is; by its first byte, with another status, or not at all.
async fn echo(request: Request<Body>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let status = if body.starts_with(b"!") { 429 } else { 200 };
    let response = Response::builder().status(status);
    response.body(Full::from(body.len().to_string())).unwrap()
}

/// Lets the tasks beside the request come to their end.
async fn settle_down() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn would(recorder: &Recorder, word: &str) -> usize {
    recorder.values(&format!("semel_observed_total{{would={word}}}")).len()
}

#[tokio::test(start_paused = true)]
async fn every_request_runs_and_what_enforcing_would_say_is_counted() {
    let recorder = Recorder::default();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let door = Door::new(observing(), echo).await;
    let large = "x".repeat((1 << 20) + 1);
    for (request, word) in [
        (post(1, &[], "a"), "executed"),
        (post(1, &[], "a"), "replayed"),
        (post(1, &[], "b"), "mismatch"),
        (post(2, &[], "!"), "released"),
        (post(2, &[], "!"), "released"),
        (post(3, &[], large.clone()), "executed"),
        (post(3, &[], large.clone()), "replayed"),
        (post(4, &[("idempotency-key", "second")], "a"), "refused"),
    ] {
        let (len, before) = (request.body().clone(), would(&recorder, word));
        let len = len.collect().await.unwrap().to_bytes().len().to_string();
        let got = door.send(request).await;
        assert_eq!((&got.body[..], got.word()), (len.as_bytes(), "ignored"), "{word}");
        settle_down().await;
        assert_eq!(would(&recorder, word), before + 1, "{word}");
    }
    let inquiry = Request::get("/.well-known/idempotency/key").header("idempotency-key", key(1));
    let state = door.send(inquiry.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(state.body, r#"{"effect":"none","state":"absent"}"#, "enforcing starts empty");
}

#[tokio::test(start_paused = true)]
async fn a_dead_store_and_a_missing_scope_change_nothing_for_the_caller() {
    let recorder = Recorder::default();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let route = Route { principal: PrincipalSource::default(), ..observing() };
    let door = Door::new(route, echo).await;
    let got = door.send(post(1, &[], "a")).await;
    assert_eq!((got.status, would(&recorder, "refused")), (200, 1), "it has no scope");
    door.network.cut(true);
    let got = door.send(post(1, &[("authorization", "Bearer a")], "a")).await;
    assert_eq!((got.status, &got.body[..]), (200, &b"1"[..]));
    settle_down().await;
    // The claim asks once more before it gives up; the caller has long had its answer.
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    settle_down().await;
    assert_eq!(would(&recorder, "refused"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_a_running_request_runs_beside_it() {
    let recorder = Recorder::default();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let gate = Arc::new(tokio::sync::Barrier::new(2));
    let calls = Arc::new(AtomicU32::new(0));
    let door = Door::new(observing(), {
        let (gate, calls) = (Arc::clone(&gate), Arc::clone(&calls));
        move |request| {
            let (gate, calls) = (Arc::clone(&gate), Arc::clone(&calls));
            async move {
                calls.fetch_add(1, Ordering::SeqCst);
                let response = echo(request).await;
                gate.wait().await;
                response
            }
        }
    })
    .await;
    let first = tokio::spawn(door.send(post(1, &[], "a")));
    settle_down().await;
    let second = tokio::spawn(door.send(post(1, &[], "a")));
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
    settle_down().await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!((would(&recorder, "executed"), would(&recorder, "in-flight")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_body_is_found_while_it_passes_and_an_unread_body_is_unknown() {
    let recorder = Recorder::default();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let key = KeySource::Body("/key".to_owned());
    let door = Door::new(Route { key, ..observing() }, |request: Request<Body>| async move {
        match request.headers().contains_key("x-unread") {
            true => Response::new(Full::from("unread")),
            false => echo(request).await,
        }
    })
    .await;
    let body = r#"{"key":"8e03978e-40d5-43dd-bc93-6894a57f9324"}"#;
    for _ in 0..2 {
        assert_eq!(door.send(post(1, &[], body)).await.status, 200);
        settle_down().await;
    }
    assert_eq!((would(&recorder, "executed"), would(&recorder, "replayed")), (1, 1));
    assert_eq!(door.send(post(1, &[("x-unread", "1")], body)).await.body, "unread");
    settle_down().await;
    assert_eq!(would(&recorder, "unknown"), 1);
}
