//! Logs and metrics: what is told of requests, and what never is.
//!
//! No key, credential, body or stored reply is ever logged or counted; a record is named by the
//! short form of its id. Logs go to stderr, metrics to the admin listener.

use std::io::IsTerminal;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use http::StatusCode;
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use semel::http::Word;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why nothing could be logged or counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TelemetryError {
    /// The filter cannot be read.
    #[error(
        "the log filter `{filter}` cannot be read ({source}); write it like `info` or `warn,semel=debug`"
    )]
    Filter {
        /// As given.
        filter: String,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// A second recorder, or bounds that are no bounds.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(#[from] BuildError),
    /// Another recorder stands already.
    #[error("metrics are recorded already in this process")]
    Recorder,
    /// Another subscriber stands already.
    #[error("logs are written already in this process")]
    Subscriber,
}

/// Writes log lines of `filter` to stderr from now on.
///
/// # Errors
/// [`TelemetryError`].
pub(crate) fn log(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    let set = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    set.map_err(|_| TelemetryError::Subscriber)
}

const REQUESTS: &str = "semel_requests_total";
const SECONDS: &str = "semel_request_seconds";
const CONNECTIONS: &str = "semel_connections";

/// Seconds, from a replay out of memory to a slow upstream.
const BOUNDS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
    30.0,
];

/// Bytes, from an empty body to the largest that is read at all.
const SIZES: [f64; 7] = [256.0, 1024.0, 4096.0, 65_536.0, 1_048_576.0, 8_388_608.0, 67_108_864.0];

/// Records metrics in this process from now on, and returns what renders them.
///
/// # Errors
/// [`TelemetryError`].
pub(crate) fn record() -> Result<PrometheusHandle, TelemetryError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BOUNDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &SIZES)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Recorder)?;
    describe_counter!(REQUESTS, "Requests by answer (the word of Idempotency-Status) and status");
    describe_histogram!(SECONDS, Unit::Seconds, "Time to the head of the answer, by answer");
    describe_gauge!(CONNECTIONS, "Open connections of callers");
    Ok(handle)
}

/// Folds what was recorded, again and again: without it, samples would pile up in memory for as long
/// as nobody asks for the metrics.
pub(crate) async fn upkeep(handle: &PrometheusHandle) {
    let mut pace = tokio::time::interval(UPKEEP);
    loop {
        pace.tick().await;
        handle.run_upkeep();
    }
}

const UPKEEP: Duration = Duration::from_secs(5);

/// One request was answered: with this word of `Idempotency-Status`, or without any.
pub(crate) fn answered(word: Option<Word>, status: StatusCode, took: Duration) {
    let word = word.and_then(|word| Word::ALL.iter().position(|one| *one == word));
    let row = word.unwrap_or(UNKEYED);
    let name = Word::ALL.get(row).map_or("unkeyed", |word| word.name());
    let column = usize::from(status.as_u16() % STATUSES);
    if let Some(handle) = HANDLES.requests.get(row * usize::from(STATUSES) + column) {
        let made = || counter!(REQUESTS, "answer" => name, "status" => status.as_str().to_owned());
        handle.get_or_init(made).increment(1);
    }
    if let Some(handle) = HANDLES.seconds.get(row) {
        let made = || histogram!(SECONDS, "answer" => name);
        handle.get_or_init(made).record(took.as_secs_f64());
    }
}

/// The row behind those of the words.
const UNKEYED: usize = Word::ALL.len();
/// One more than the greatest status.
const STATUSES: u16 = 1000;

/// Looked up once each: by name and labels they would be looked up, and allocated, at every request.
struct Handles {
    requests: Vec<OnceLock<Counter>>,
    seconds: Vec<OnceLock<Histogram>>,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    requests: (0..(UNKEYED + 1) * usize::from(STATUSES)).map(|_| OnceLock::new()).collect(),
    seconds: (0..=UNKEYED).map(|_| OnceLock::new()).collect(),
});

/// Counts one connection as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(());

impl OpenConnection {
    /// Counts one more.
    pub(crate) fn new() -> Self {
        metrics::gauge!(CONNECTIONS).increment(1.0);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        metrics::gauge!(CONNECTIONS).decrement(1.0);
    }
}
