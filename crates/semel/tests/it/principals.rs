//! What is told or refused by whose key it is: quotas, and a principal that changed.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use semel::core::Span;
use semel::http::Route;
use semel::http::quota::{PerWindow, Quota};
use semel::layer::Body;
use tokio::time::{Duration, advance};

use crate::door::{Door, post};
use crate::meters::Recorder;

const A: (&str, &str) = ("authorization", "Bearer a");
const B: (&str, &str) = ("authorization", "Bearer b");

async fn charge(_: Request<Body>) -> Response<Full<Bytes>> {
    Response::new(Full::from("charged"))
}

fn two_a_minute() -> Route {
    let keys = Some(PerWindow { most: 2, window: Span::from_secs(60) });
    let quota = Quota { keys, ..Quota::default() };
    Route { quota, ..Route::default() }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_beyond_the_quota_is_refused_and_a_known_one_answered_as_ever() {
    let door = Door::new(two_a_minute(), charge).await;
    for number in [1, 2, 1, 2] {
        assert_eq!(door.send(post(number, &[A], "x")).await.status, 200);
    }
    advance(Duration::from_secs(15)).await;
    let refused = door.send(post(3, &[A], "x")).await;
    assert_eq!((refused.status, refused.word(), refused.slug()), (429, "refused", "quota".into()));
    assert_eq!(refused.header("retry-after"), "45");
    assert_eq!(door.send(post(1, &[A], "x")).await.word(), "replayed");
    assert_eq!(door.send(post(3, &[B], "x")).await.word(), "executed", "another's quota");
    advance(Duration::from_secs(45)).await;
    assert_eq!(door.send(post(3, &[A], "x")).await.word(), "executed");
    // Of an earlier window, so only the store knows them: they neither need a place nor take one.
    for number in [1, 2, 1] {
        assert_eq!(door.send(post(number, &[A], "x")).await.word(), "replayed");
    }
    assert_eq!(door.send(post(4, &[A], "x")).await.word(), "executed");
    assert_eq!(door.send(post(5, &[A], "x")).await.status, 429);
    assert_eq!(door.send(post(1, &[A], "x")).await.word(), "replayed");
}

#[tokio::test(start_paused = true)]
async fn many_new_keys_at_once_do_not_slip_past_the_quota() {
    let door = Door::new(two_a_minute(), charge).await;
    let sent: Vec<_> =
        (0..20).map(|number| tokio::spawn(door.send(post(number, &[A], "x")))).collect();
    let mut executed = 0;
    for got in sent {
        executed += u32::from(got.await.unwrap().word() == "executed");
    }
    assert_eq!(executed, 2);
}

#[tokio::test(start_paused = true)]
async fn one_key_with_one_request_under_two_principals_is_told_to_the_caller() {
    let recorder = Recorder::default();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let door = Door::new(Route::default(), charge).await;
    for (who, body, warning) in [
        (A, "x", ""),
        (A, "x", ""),
        (B, "other", ""),
        (("authorization", "Bearer c"), "x", "principal-changed"),
    ] {
        let got = door.send(post(1, &[who], body)).await;
        assert_eq!(got.header("idempotency-warning"), warning, "{who:?}");
        assert_eq!(got.status, 200, "it is only told");
    }
    assert_eq!(recorder.values("semel_principal_changed_total{}").len(), 1);
}
