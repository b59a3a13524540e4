//! A route that says by name that requests may pass while the store is down: which of the store's
//! troubles are that leave, and what is left of a claim that may have landed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use semel::core::store::{Put, Swap};
use semel::core::{
    Fence, Incarnation, Key, Principal, RecordId, Scope, Span, State, Store, StoreError,
};
use semel::http::Route;
use semel::http::route::{PrincipalSource, StoreDown};
use semel::layer::Body;
use tokio::time::Duration;

use crate::door::{Door, Got, key, post};
use crate::harness::Fate;

struct Passing {
    door: Door,
    calls: Arc<AtomicU32>,
}

impl Passing {
    async fn new() -> Self {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let api = move |_request: Request<Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Response::builder().status(201).body(Full::from("charged")).unwrap() }
        };
        let principal = PrincipalSource::None;
        let route = Route { principal, store_down: StoreDown::Pass, ..Route::default() };
        Self { door: Door::new(route, api).await, calls }
    }

    fn pay(&self) -> impl Future<Output = Got> + Send + 'static + use<> {
        self.door.send(post(1, &[], Bytes::from_static(b"12")))
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    fn id(&self) -> RecordId {
        let scope = Scope::new("test", Principal::none());
        self.door.engine.secret().record_id(&scope, &Key::from_text(&key(1)).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_claim_landed_it_passes_and_leaves_nothing() {
    let api = Passing::new().await;
    api.door.network.cut(true);
    let got = api.pay().await;
    assert_eq!((got.status, got.word(), api.calls()), (201, "ignored", 1));
    api.door.network.cut(false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(api.door.engine.show(api.id()).await.unwrap(), None);
    // Published as best effort: the store knows of nothing.
    assert_eq!((api.pay().await.word(), api.calls()), ("executed", 2));
}

/// The handler had run, and the claim that had landed unheard was withdrawn as released: a retry ran
/// again, though the store had held its claim all the time.
#[tokio::test(start_paused = true)]
async fn a_claim_that_landed_unheard_before_it_passed_is_left_in_doubt() {
    let api = Passing::new().await;
    api.door.network.swaps(&[Fate::AnswerLost]);
    let paying = tokio::spawn(api.pay());
    // The claim lands at once; the look comes 10 ms later.
    tokio::time::sleep(Duration::from_millis(5)).await;
    api.door.network.cut(true);
    let got = paying.await.unwrap();
    assert_eq!((got.status, got.word(), api.calls()), (201, "ignored", 1));
    api.door.network.cut(false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let record = api.door.engine.show(api.id()).await.unwrap().unwrap();
    assert!(matches!(record.state, State::InDoubt(_)), "{:?}", record.state);
    assert_eq!((api.pay().await.slug(), api.calls()), ("in-doubt".to_owned(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stopped_writing_is_down() {
    for error in [
        StoreError::Poisoned { reason: "a sync failed".to_owned() },
        StoreError::Closed { reason: "a panic".to_owned() },
    ] {
        let api = Passing::new().await;
        api.door.network.breaks(error);
        assert_eq!((api.pay().await.word(), api.calls()), ("ignored", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_to_be_wrong_is_no_leave_to_run() {
    let found = Incarnation([9; 16]);
    for (error, slug) in [
        (StoreError::Damaged { what: "a checksum".to_owned() }, "record-unreadable"),
        (StoreError::WrongIncarnation { expected: found, found }, "store-unavailable"),
        (StoreError::Full { what: "the disk".to_owned() }, "store-full"),
    ] {
        let api = Passing::new().await;
        api.door.network.breaks(error);
        assert_eq!((api.pay().await.slug(), api.calls()), (slug.to_owned(), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_does_not_open_is_no_leave_to_run() {
    let api = Passing::new().await;
    assert_eq!(api.pay().await.word(), "executed");
    let store = &api.door.network;
    let loaded = store.load(api.id()).await.unwrap();
    let mut record = loaded.record.unwrap();
    let expected = Some(record.version());
    record.revision += 1;
    record.executed_fence = Some(Fence(record.fence.0 - 1));
    let incarnation = store.status().await.unwrap().incarnation;
    let deadline = loaded.at.plus(Span::from_secs(5));
    let write = Put::Record(record);
    let swap = Swap { id: api.id(), incarnation, expected, write, deadline };
    store.swap(swap).await.unwrap();
    assert_eq!((api.pay().await.slug(), api.calls()), ("record-unreadable".to_owned(), 1));
}
