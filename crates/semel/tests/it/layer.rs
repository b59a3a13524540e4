//! The layer before a scripted service: each row of the contract that needs no socket.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use semel::core::{Policy, Secret, Store};
use semel::engine::{Attempt, Engine, EngineConfig};
use semel::entropy::SystemEntropy;
use semel::http::route::{Demand, PrincipalSource};
use semel::http::{Problem, Route, Routes};
use semel::layer::{Body, Protection, SemelLayer, Verdict};
use semel::store::MemoryStore;
use serde_json::Value;
use tokio::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::harness::{Network, TokioClock};

const JSON: (&str, &str) = ("content-type", "application/json");
const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// What the scripted service does with its next request.
#[derive(Clone, Debug)]
enum Act {
    Reply(u16, &'static [(&'static str, &'static str)], &'static str),
    Slow(u64),
    /// These pieces, then the body breaks off.
    Broken(&'static str),
    /// Of unknown length, with the handler's word on its effect.
    Said(&'static str, &'static str),
    Verdict(Verdict),
    Panic,
}

type Boxed = tower::util::BoxCloneService<Request<Full<Bytes>>, Response<Body>, Infallible>;

struct Api {
    service: Boxed,
    acts: Arc<Mutex<VecDeque<Act>>>,
    calls: Arc<AtomicU32>,
    seen: Arc<Mutex<Vec<http::Extensions>>>,
    network: Arc<Network>,
    engine: Engine,
}

/// A response as far as tests look at it.
#[derive(Debug)]
struct Got {
    status: u16,
    word: String,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status, code's slug, effect, ran, retry.
    fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        let slug = json["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let retry = json["retry"].as_str().unwrap();
        format!(
            "{} {slug} {} {} {retry}",
            self.status,
            json["effect"].as_str().unwrap(),
            json["ran"]
        )
    }
}

impl Api {
    async fn new(route: Route) -> Self {
        let store = Arc::new(MemoryStore::new(TokioClock::new(), &SystemEntropy));
        let network = Network::before(store);
        let store = Arc::clone(&network) as Arc<dyn Store>;
        let secret = Secret::new(&[7; 32]);
        let engine = Engine::start(store, secret, EngineConfig::default()).await.unwrap();
        let acts: Arc<Mutex<VecDeque<Act>>> = Arc::default();
        let calls = Arc::new(AtomicU32::new(0));
        let seen: Arc<Mutex<Vec<http::Extensions>>> = Arc::default();
        let inner = {
            let (acts, calls, seen) = (acts.clone(), calls.clone(), seen.clone());
            service_fn(move |request: Request<Body>| {
                let act = acts.lock().unwrap().pop_front();
                let (calls, seen) = (calls.clone(), seen.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    body.collect().await.unwrap();
                    seen.lock().unwrap().push(parts.extensions);
                    calls.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, Infallible>(
                        perform(act.unwrap_or(Act::Reply(201, &[], "charged"))).await,
                    )
                }
            })
        };
        let protection = Protection::new("test", Routes::new(route));
        let layer = SemelLayer::new(engine.clone(), protection).unwrap();
        let service = layer.layer(inner).boxed_clone();
        Self { service, acts, calls, seen, network, engine }
    }

    async fn open() -> Self {
        Self::new(Route { principal: PrincipalSource::None, ..Route::default() }).await
    }

    fn next(&self, act: Act) {
        self.acts.lock().unwrap().push_back(act);
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> impl Future<Output = Got> + Send + 'static + use<> {
        let mut request = Request::builder().method(method).uri(path).header("host", "api.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
        let mut service = self.service.clone();
        async move {
            let response = service.ready().await.unwrap().call(request).await.unwrap();
            let (head, body) = response.into_parts();
            let word = head.headers.get("idempotency-status").map(|v| v.to_str().unwrap());
            let word = word.unwrap_or("none").split(';').next().unwrap().to_owned();
            let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            Got { status: head.status.as_u16(), word, headers: head.headers, body }
        }
    }

    fn pay(&self) -> impl Future<Output = Got> + Send + 'static + use<> {
        self.send("POST", "/charges", &[("idempotency-key", KEY), JSON], "{\"amount\":1}")
    }

    fn inquire(&self) -> impl Future<Output = Got> + Send + 'static + use<> {
        self.send("GET", "/.well-known/idempotency/key", &[("idempotency-key", KEY)], "")
    }

    async fn state(&self) -> String {
        self.inquire().await.json()["state"].as_str().unwrap().to_owned()
    }
}

async fn perform(
    act: Act,
) -> Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>> {
    let full = |body: &'static str| {
        Full::new(Bytes::from_static(body.as_bytes()))
            .map_err(|never| match never {})
            .boxed_unsync()
    };
    match act {
        Act::Reply(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(full(body)).unwrap()
        }
        Act::Slow(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Response::new(full("slow"))
        }
        Act::Broken(first) => {
            let frames = [
                Ok(http_body::Frame::data(Bytes::from_static(first.as_bytes()))),
                Err(std::io::Error::other("the upstream died")),
            ];
            Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
        }
        Act::Said(effect, body) => {
            let frame = http_body::Frame::data(Bytes::from_static(body.as_bytes()));
            let stream = StreamBody::new(futures_util::stream::iter([Ok(frame)]));
            let response = Response::builder().header("idempotency-effect", effect);
            response.body(stream.boxed_unsync()).unwrap()
        }
        Act::Verdict(verdict) => {
            let mut response = Response::new(full("not used"));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response.extensions_mut().insert(verdict);
            response
        }
        Act::Panic => panic!("the handler of this test panics"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_gets_the_stored_reply_byte_for_byte() {
    let api = Api::open().await;
    let headers = &[
        ("x-id", "1"),
        ("x-id", "2"),
        ("set-cookie", "a=b"),
        ("content-type", "a/b"),
        ("idempotent-replayed", "true"),
    ];
    api.next(Act::Reply(202, headers, "\u{1}reply"));
    let first = api.pay().await;
    assert_eq!(
        (first.status, &first.word[..], &first.body[..]),
        (202, "executed", &b"\x01reply"[..])
    );
    assert_eq!(first.headers["set-cookie"], "a=b", "the first caller gets all of it");
    assert!(!first.headers.contains_key("idempotent-replayed"), "but whose word that is");
    let retry = api.pay().await;
    assert_eq!((retry.status, &retry.word[..], &retry.body), (202, "replayed", &first.body));
    assert_eq!(retry.headers["idempotent-replayed"], "true");
    assert_eq!(retry.headers["cache-control"], "no-store");
    let ids: Vec<_> = retry.headers.get_all("x-id").iter().collect();
    assert_eq!(ids, ["1", "2"]);
    assert!(!retry.headers.contains_key("set-cookie"));
    assert_eq!(api.calls(), 1);
    let said = first.headers["idempotency-status"].to_str().unwrap();
    assert_eq!(said, "executed;attempt=1;retention=86400;memory=2592000");
}

#[tokio::test(start_paused = true)]
async fn without_a_key_everything_passes_through() {
    let api = Api::open().await;
    for (method, headers, word) in [
        ("POST", &[][..], "none"),
        ("GET", &[("idempotency-key", KEY)][..], "ignored"),
        ("PUT", &[("idempotency-key", KEY)], "ignored"),
    ] {
        for _ in 0..2 {
            let got = api.send(method, "/charges", headers, "x").await;
            assert_eq!((got.status, &got.word[..]), (201, word), "{method}");
        }
    }
    assert_eq!(api.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_named_is_refused_before_anything_runs() {
    let route =
        Route { demand: Demand::Required, body_max: 16, body_memory_max: 16, ..Route::default() };
    let api = Api::new(route).await;
    let auth = ("authorization", "Bearer t");
    let key = ("idempotency-key", KEY);
    for (headers, body, problem) in [
        (&[auth][..], "", "400 key-missing unknown false never"),
        (&[auth, key, key][..], "", "400 key-malformed unknown false never"),
        (&[key][..], "", "400 scope-missing unknown false never"),
        (
            &[key, ("authorization", "AWS4-HMAC-SHA256 a")][..],
            "",
            "400 scope-unstable unknown false never",
        ),
        (&[auth, key][..], "seventeen bytes!!", "413 body-too-large unknown false never"),
    ] {
        let got = api.send("POST", "/charges", headers, body).await;
        assert_eq!((got.problem(), &got.word[..]), (problem.to_owned(), "refused"));
    }
    assert_eq!(api.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_request_under_the_key_is_told_which_parts_differ() {
    let api = Api::open().await;
    api.pay().await;
    let key = [("idempotency-key", KEY), JSON];
    let got = api.send("PATCH", "/refunds", &key, "{\"amount\":2}").await;
    assert_eq!(got.problem(), "422 key-reused done false never");
    assert_eq!(got.json()["differs"], serde_json::json!(["method", "path", "body"]));
    assert!(!String::from_utf8_lossy(&got.body).contains("amount"), "never the values");
    let same = api.send("POST", "/charges", &key, " {\"amount\": 1.0} ").await;
    assert_eq!(same.word, "replayed", "JSON compares by value");
}

#[tokio::test(start_paused = true)]
async fn two_principals_with_one_key_are_two_operations() {
    let api = Api::new(Route::default()).await;
    for token in ["Bearer a", "Bearer b"] {
        let headers = [("idempotency-key", KEY), ("authorization", token)];
        let got = api.send("POST", "/charges", &headers, "x").await;
        assert_eq!(got.word, "executed");
    }
    assert_eq!(api.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_handlers_own_word_and_the_listed_statuses_release() {
    let route = Route { principal: PrincipalSource::None, ..Route::gateway() };
    let api = Api::new(route).await;
    for act in [
        Act::Reply(422, &[("idempotency-effect", "none")], "nothing"),
        Act::Reply(429, &[], "later"),
        Act::Verdict(Verdict::Released(None)),
    ] {
        api.next(act);
        let got = api.pay().await;
        assert_eq!(got.word, "released");
        assert!(!got.headers.contains_key("idempotency-effect"), "it goes no further");
        assert_eq!(api.state().await, "absent");
    }
    api.next(Act::Verdict(Verdict::Released(Some(Problem::upstream_unreachable(
        false,
        semel::core::Span::from_secs(1),
    )))));
    let got = api.pay().await;
    assert_eq!(got.problem(), "502 upstream-unreachable none false same-key");
    assert_eq!(api.pay().await.word, "executed");
    assert_eq!(api.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_end_is_in_doubt_and_never_run_again() {
    let route = || Route { principal: PrincipalSource::None, ..Route::gateway() };
    for (act, first) in [
        (Act::Broken("half a re"), "409 in-doubt unknown true same-key"),
        (Act::Verdict(Verdict::InDoubt), "409 in-doubt unknown true same-key"),
        (Act::Panic, "409 in-doubt unknown true same-key"),
        (Act::Reply(502, &[], "bad gateway"), ""),
    ] {
        let api = Api::new(route()).await;
        api.next(act.clone());
        let got = api.pay().await;
        assert_eq!(got.word, "in-doubt", "{act:?}");
        match first {
            "" => assert_eq!((got.status, &got.body[..]), (502, &b"bad gateway"[..])),
            problem => assert_eq!(got.problem(), problem, "{act:?}"),
        }
        let retry = api.pay().await;
        assert_eq!(retry.problem(), "409 in-doubt unknown false same-key", "{act:?}");
        assert_eq!((api.calls(), api.state().await), (1, "in-doubt".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_reply_is_stored_like_any_other() {
    let api = Api::open().await;
    api.next(Act::Reply(500, &[], "broken after the charge"));
    for word in ["executed", "replayed"] {
        let got = api.pay().await;
        assert_eq!((got.status, &got.word[..]), (500, word));
    }
    assert_eq!(api.calls(), 1);
    assert_eq!(api.inquire().await.json()["effect"], "unknown");
}

#[tokio::test(start_paused = true)]
async fn streams_and_large_replies_reach_the_first_caller_and_are_not_kept() {
    let sse = &[("content-type", "text/event-stream; charset=utf-8")];
    for (act, len) in [
        (Act::Reply(200, sse, "data: 1\n\n"), 9),
        (Act::Reply(200, &[], "more than eight bytes"), 21),
    ] {
        let principal = PrincipalSource::None;
        let api = Api::new(Route { principal, reply_max: 8, ..Route::default() }).await;
        api.next(act);
        let first = api.pay().await;
        assert_eq!((&first.word[..], first.body.len()), ("executed", len));
        let retry = api.pay().await;
        assert_eq!(retry.problem(), "410 reply-not-kept unknown false never");
        assert_eq!((api.calls(), &api.state().await[..]), (1, "completed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_unknown_length_that_outgrows_the_cap_is_settled_before_it_leaves() {
    let principal = PrincipalSource::None;
    let api = Api::new(Route { principal, reply_max: 4, ..Route::default() }).await;
    // Its end is never seen, so its being complete is no claim of ours.
    api.next(Act::Broken("over the cap"));
    let first = api.pay().await;
    assert_eq!(first.word, "executed");
    assert_eq!(api.pay().await.problem(), "410 reply-not-kept unknown false never");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_as_long_as_it_prefers_within_the_bound() {
    let api = Api::open().await;
    api.next(Act::Slow(8000));
    let first = tokio::spawn(api.pay());
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    let key = ("idempotency-key", KEY);
    for (prefer, waited, applied) in [("wait=0", 0, "wait=0"), ("wait=2", 2, "wait=2")] {
        let headers = [key, JSON, ("prefer", prefer)];
        let got = api.send("POST", "/charges", &headers, "{\"amount\":1}").await;
        assert_eq!(got.problem(), "409 in-flight unknown false same-key");
        assert!(got.headers.contains_key("retry-after"));
        assert_eq!(got.headers["preference-applied"], applied);
        assert_eq!(began.elapsed().as_secs(), waited);
    }
    let capped = [key, JSON, ("prefer", "wait=600")];
    let got = api.send("POST", "/charges", &capped, "{\"amount\":1}").await;
    assert_eq!((got.status, &got.headers["preference-applied"]), (409, &"wait=5".parse().unwrap()));
    assert_eq!(api.state().await, "in-flight");
    assert_eq!(first.await.unwrap().word, "executed");
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_leaves_and_the_retry_gets_its_reply() {
    let api = Api::open().await;
    api.next(Act::Slow(1000));
    let left = tokio::time::timeout(Duration::from_millis(10), api.pay()).await;
    assert!(left.is_err());
    let retry = api.pay().await;
    assert_eq!((&retry.word[..], &retry.body[..], api.calls()), ("replayed", &b"slow"[..], 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_refuses() {
    let api = Api::open().await;
    api.network.cut(true);
    let got = api.pay().await;
    assert_eq!(got.problem(), "503 store-unavailable unknown false same-key");
    assert!(got.headers.contains_key("retry-after"));
    assert_eq!(api.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_handler_sees_its_attempt_and_callers_cannot_forge_it() {
    let api = Api::open().await;
    let headers = [("idempotency-key", KEY), ("idempotency-fence", "7")];
    api.send("POST", "/charges", &headers, "x").await;
    let seen = api.seen.lock().unwrap().pop().unwrap();
    let attempt = seen.get::<Attempt>().unwrap();
    assert_eq!((attempt.number(), attempt.key().len()), (1, 36));
    assert_ne!(attempt.fence().0, 7);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_body_protects_like_one_in_a_header() {
    let key = semel::http::route::KeySource::Body("/idempotency_key".to_owned());
    let api = Api::new(Route { key, principal: PrincipalSource::None, ..Route::default() }).await;
    let body = r#"{"idempotency_key":"8e03978e-40d5-43dd-bc93-6894a57f9324","amount":1}"#;
    let json = [("content-type", "application/json")];
    for word in ["executed", "replayed"] {
        assert_eq!(api.send("POST", "/charges", &json, body).await.word, word);
    }
    assert_eq!(api.send("POST", "/charges", &json, "{}").await.word, "none");
    assert_eq!(api.calls(), 2);
    assert_eq!(api.state().await, "completed", "an inquiry bears the key in the header");
}

#[tokio::test(start_paused = true)]
async fn inquiry_void_and_acknowledgement_say_what_is_certain() {
    let api = Api::open().await;
    let key = [("idempotency-key", KEY)];
    let path = "/.well-known/idempotency/key";
    let ack = || api.send("POST", "/.well-known/idempotency/key/ack", &key, "");
    let void = || api.send("DELETE", path, &key, "");
    assert_eq!(api.inquire().await.json(), serde_json::json!({"state":"absent","effect":"none"}));
    assert_eq!(ack().await.problem(), "404 key-unknown unknown false never");
    api.pay().await;
    let known = api.inquire().await.json();
    assert_eq!(
        (&known["state"], &known["status"], &known["attempt"]),
        (&"completed".into(), &201.into(), &1.into())
    );
    assert_eq!(void().await.problem(), "409 key-used done false same-key");
    assert_eq!((ack().await.status, ack().await.status), (204, 204));
    assert_eq!(api.state().await, "spent");
    assert_eq!(api.pay().await.problem(), "410 key-spent done false never");

    let fresh = Api::open().await;
    let void = || fresh.send("DELETE", path, &key, "");
    assert_eq!((void().await.status, void().await.status), (200, 200));
    assert_eq!(fresh.state().await, "void");
    assert_eq!(fresh.pay().await.problem(), "409 key-void none false new-key");
    assert_eq!(fresh.calls(), 0);

    let doubtful = Api::open().await;
    doubtful.next(Act::Verdict(Verdict::InDoubt));
    doubtful.pay().await;
    let void = doubtful.send("DELETE", path, &key, "").await;
    assert_eq!(void.problem(), "409 in-doubt unknown false same-key");
}

#[tokio::test(start_paused = true)]
async fn an_inquiry_of_anothers_key_looks_like_one_of_an_unknown_key() {
    let api = Api::new(Route::default()).await;
    let path = "/.well-known/idempotency/key";
    let mine = [("idempotency-key", KEY), ("authorization", "Bearer mine")];
    let theirs = [("idempotency-key", KEY), ("authorization", "Bearer theirs")];
    api.send("POST", "/charges", &mine, "x").await;
    let (known, unknown) =
        (api.send("GET", path, &mine, "").await, api.send("GET", path, &theirs, "").await);
    assert_eq!(known.json()["state"], "completed");
    assert_eq!(unknown.json(), serde_json::json!({"state":"absent","effect":"none"}));
    let nobody = [("idempotency-key", KEY)];
    let got = api.send("GET", path, &nobody, "").await;
    assert_eq!(got.problem(), "400 scope-missing unknown false never");
}

#[tokio::test(start_paused = true)]
async fn the_reserved_path_publishes_the_promise_and_explains_problems() {
    let api = Api::new(Route { principal: PrincipalSource::None, ..Route::gateway() }).await;
    let promise = api.send("GET", "/.well-known/idempotency", &[], "").await.json();
    assert_eq!(promise["service"], "test");
    let route = &promise["routes"][0];
    assert_eq!(route["retention"], 86_400);
    assert!(route["promise"].as_str().unwrap().contains("until restart"), "a memory store says so");
    assert!(route["assumptions"][0].as_str().unwrap().contains("401 or 429"));
    let page = api.send("GET", "/.well-known/idempotency/problems/in-doubt", &[], "").await;
    assert_eq!((page.status, &page.body[..8]), (200, &b"SEM-0203"[..]));
    let unknown = api.send("GET", "/.well-known/idempotency/nothing", &[], "").await;
    assert_eq!(unknown.status, 404);
    let wrong = api.send("POST", "/.well-known/idempotency", &[], "").await;
    assert_eq!((wrong.status, &wrong.headers["allow"]), (405, &"GET".parse().unwrap()));
    assert_eq!(api.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn routes_that_cannot_keep_their_promise_are_refused_at_the_start() {
    let api = Api::open().await;
    let policy = Policy { lease: semel::core::Span::from_secs(1), ..Policy::default() };
    let routes = Routes::new(Route { policy, ..Route::default() });
    let refused = SemelLayer::new(api.engine.clone(), Protection::new("test", routes));
    let error = refused.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("deadline (5 s) is not shorter than the lease (1 s)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_handlers_word_on_its_effect_outlives_a_reply_that_is_not_kept() {
    let principal = PrincipalSource::None;
    let api = Api::new(Route { principal, reply_max: 4, ..Route::default() }).await;
    api.next(Act::Said("done", "over the cap"));
    assert_eq!(api.pay().await.word, "executed");
    assert_eq!(api.pay().await.problem(), "410 reply-not-kept done false never");
}
