//! What is counted, with a recorder of the test's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use semel::http::Route;
use semel::http::route::PrincipalSource;
use semel::layer::Body;

use crate::door::{Door, post};

type Values = Arc<Mutex<BTreeMap<String, Vec<f64>>>>;

/// Keeps every value, by name and labels.
#[derive(Default)]
pub(crate) struct Recorder(Values);

struct One(String, Values);

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.record(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.record(value as f64);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.1.lock().unwrap().entry(self.0.clone()).or_default().push(value);
    }
}

impl Recorder {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(One(name, Arc::clone(&self.0)))
    }

    /// The values under `name{labels}`, in their order.
    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        self.0.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

async fn slow(_: Request<Body>) -> Response<Full<Bytes>> {
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    Response::new(Full::default())
}

#[tokio::test(start_paused = true)]
async fn answers_executions_bodies_and_calls_to_the_store_are_counted() {
    let recorder = Recorder::default();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let route = Route { principal: PrincipalSource::None, ..Route::default() };
    let door = Door::new(route, slow).await;
    door.send(post(1, &[], "12345")).await;
    door.send(post(1, &[], "12345")).await;
    door.send(post(1, &[], "other")).await;
    let unkeyed = Request::post("/charges").body(Full::<Bytes>::default()).unwrap();
    door.send(unkeyed).await;
    let answers =
        |word| recorder.values(&format!("semel_keyed_requests_total{{answer={word}}}")).len();
    assert_eq!(["executed", "replayed", "mismatch", "refused"].map(answers), [1, 1, 1, 0]);
    assert_eq!(recorder.values("semel_execution_seconds{}"), [2.0]);
    assert_eq!(recorder.values("semel_keyed_body_bytes{}"), [5.0, 5.0, 5.0]);
    let calls = |call, outcome| {
        recorder.values(&format!("semel_store_seconds{{call={call},outcome={outcome}}}")).len()
    };
    // A claim and a settle; each retry meets the record at its first swap.
    assert_eq!([calls("swap", "ok"), calls("swap", "conflict")], [2, 2]);
    assert_eq!(calls("bind", "ok"), 1);
    assert!(calls("status", "ok") >= 1, "at the start, and at each sweep");
}
