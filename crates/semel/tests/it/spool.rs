//! Large bodies of keyed requests through the layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use semel::http::Route;
use semel::http::route::PrincipalSource;
use semel::layer::{Body, BoxError};

use crate::door::{Door, key, post};

fn open() -> Route {
    Route { principal: PrincipalSource::None, ..Route::default() }
}

/// Replies with the announced length and the length that came.
async fn measure(request: Request<Body>) -> Response<Full<Bytes>> {
    let announced = request.body().size_hint().exact();
    let came = request.into_body().collect().await.unwrap().to_bytes().len();
    Response::new(Full::new(Bytes::from(format!("{announced:?} {came}"))))
}

#[tokio::test]
async fn a_spooled_body_reaches_the_handler_whole_and_its_retry_is_replayed() {
    let door = Door::new(open(), measure).await;
    let large = Bytes::from(vec![b'x'; (1 << 20) + 1]);
    for word in ["executed", "replayed"] {
        let got = door.send(post(1, &[], large.clone())).await;
        assert_eq!((got.word(), &got.body[..]), (word, &b"Some(1048577) 1048577"[..]));
    }
    let mut other = large.to_vec();
    *other.last_mut().unwrap() = b'y';
    let got = door.send(post(1, &[], other)).await;
    assert_eq!((got.word(), got.slug()), ("mismatch", "key-reused".to_owned()));
}

#[tokio::test]
async fn by_default_64_mib_are_taken_and_a_byte_more_is_refused_before_it_is_read() {
    struct Announced(u64);
    impl http_body::Body for Announced {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            panic!("it was read")
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.0)
        }
    }
    let door = Door::new(open(), measure).await;
    let got = door.send(post(1, &[], vec![0; 64 << 20])).await;
    assert_eq!(got.body, "Some(67108864) 67108864");
    let request = post(2, &[], "").map(|_| Announced((64 << 20) + 1));
    let got = door.send(request).await;
    assert_eq!((got.status, got.slug()), (413, "body-too-large".to_owned()));
}

#[tokio::test]
async fn uploads_that_are_under_way_hold_no_claim() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let door = Door::new(open(), move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        measure(request)
    })
    .await;
    let (more, rest) = tokio::sync::mpsc::channel::<Bytes>(4);
    let frames = futures_util::stream::unfold(rest, |mut rest| async move {
        let piece = rest.recv().await?;
        Some((Ok::<_, BoxError>(Frame::data(piece)), rest))
    });
    let slow = post(1, &[], "").map(|_| StreamBody::new(Box::pin(frames)));
    let uploading = tokio::spawn(door.send(slow));
    for _ in 0..4 {
        more.send(Bytes::from(vec![b'x'; 1 << 20])).await.unwrap();
    }
    // The channel holds four: by the eighth piece at least four were read, three of them spooled.
    for _ in 0..4 {
        more.send(Bytes::from(vec![b'x'; 1 << 20])).await.unwrap();
    }
    assert_eq!(door.engine.in_flight(), 0);
    let state = Request::get("/.well-known/idempotency/key").header("idempotency-key", key(1));
    let state = door.send(state.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(state.body, r#"{"effect":"none","state":"absent"}"#);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    drop(more);
    assert_eq!(uploading.await.unwrap().body, "Some(8388608) 8388608");
}
