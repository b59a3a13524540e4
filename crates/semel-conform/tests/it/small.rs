//! A small API with keys, in memory, that goes as a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use semel_conform::case::Verdict;
use semel_conform::run::{Findings, Options, run};
use semel_conform::sample::{AppBody, Broken, Serving, serve};
use semel_conform::target;
use serde_json::{Value, json};

/// How it goes. Without more it is right, and forgets nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ways {
    /// The effect comes so long after its reply, which is a 202.
    pub(crate) late: Duration,
    /// Keys are not heeded.
    pub(crate) heedless: bool,
    /// Keys are heeded and effects are lost in a crash.
    pub(crate) forgets: bool,
    /// Replies are 204.
    pub(crate) silent: bool,
    /// Replies tell a number above this one, and no word; zero for words.
    pub(crate) numbers: u64,
    /// One caller's key is another's.
    pub(crate) shares: bool,
}

type Kept = Arc<tokio::sync::Mutex<Option<(StatusCode, String)>>>;

#[derive(Default)]
struct Books {
    effects: BTreeMap<String, u64>,
    keys: BTreeMap<String, Kept>,
    made: u64,
}

/// It runs as long as this is held.
pub(crate) struct Small {
    pub(crate) addr: SocketAddr,
    operator: SocketAddr,
    _serving: [Serving; 2],
}

#[derive(Clone)]
struct App {
    ways: Ways,
    books: Arc<Mutex<Books>>,
}

fn answer((status, body): (StatusCode, String)) -> Response<AppBody> {
    let body = Full::from(body).map_err(|never| match never {}).boxed();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
}

/// What is tested takes so long; no test waits by it.
async fn takes(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

impl App {
    async fn handle(self, request: Request<bytes::Bytes>) -> Result<Response<AppBody>, Broken> {
        if request.method() == Method::GET {
            let query = request.uri().query().unwrap_or_default();
            let reference = query.strip_prefix("reference=").unwrap_or_default();
            let count = self.books.lock().unwrap().effects.get(reference).copied().unwrap_or(0);
            return Ok(answer((StatusCode::OK, json!({ "count": count }).to_string())));
        }
        let Ok(asked) = serde_json::from_slice::<Value>(request.body()) else {
            return Ok(answer((StatusCode::BAD_REQUEST, "no JSON".into())));
        };
        let header = |name: &str| request.headers().get(name).map(|v| v.as_bytes().to_vec());
        let Some(key) = header("idempotency-key").filter(|_| !self.ways.heedless) else {
            return Ok(answer(self.charge(&asked).await));
        };
        let caller = header("authorization").filter(|_| !self.ways.shares);
        let scope = format!("{caller:?} {key:?}");
        let kept = Arc::clone(self.books.lock().unwrap().keys.entry(scope).or_default());
        let mut kept = kept.lock().await;
        if kept.is_none() {
            *kept = Some(self.charge(&asked).await);
        }
        Ok(answer(kept.clone().unwrap()))
    }

    async fn charge(&self, asked: &Value) -> (StatusCode, String) {
        let reference = asked["reference"].as_str().unwrap_or_default().to_owned();
        let behaviour = asked["behaviour"].as_str().unwrap_or_default();
        let slow = Duration::from_millis(asked["slow_ms"].as_u64().unwrap_or(0));
        if behaviour == "slow" {
            takes(slow).await;
        }
        let made = {
            let mut books = self.books.lock().unwrap();
            books.made += 1;
            if self.ways.late.is_zero() {
                *books.effects.entry(reference.clone()).or_default() += 1;
            }
            books.made
        };
        if !self.ways.late.is_zero() {
            let (books, late) = (Arc::clone(&self.books), self.ways.late);
            tokio::spawn(async move {
                takes(late).await;
                *books.lock().unwrap().effects.entry(reference).or_default() += 1;
            });
            return (StatusCode::ACCEPTED, json!({ "id": format!("op_{made}") }).to_string());
        }
        if behaviour == "slow-after" {
            takes(slow).await;
        }
        match (self.ways.silent, self.ways.numbers) {
            (true, _) => (StatusCode::NO_CONTENT, String::new()),
            (_, 1..) => {
                (StatusCode::CREATED, json!({ "id": self.ways.numbers + made }).to_string())
            }
            _ => (StatusCode::CREATED, json!({ "id": format!("ch_{made}") }).to_string()),
        }
    }
}

impl Small {
    pub(crate) async fn start(ways: Ways) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let app = App { ways, books: Arc::default() };
        let served = app.clone();
        let serving = serve(any, move |request| served.clone().handle(request)).await.unwrap();
        let cut = serving.cut();
        let operator = serve(any, move |request: Request<bytes::Bytes>| {
            let (app, cut) = (app.clone(), cut.clone());
            async move {
                if request.uri().path() == "/crash" {
                    cut.connections().await;
                    if app.ways.forgets {
                        *app.books.lock().unwrap() = Books::default();
                    }
                }
                Ok(answer((StatusCode::OK, String::new())))
            }
        })
        .await
        .unwrap();
        let (addr, at) = (serving.addr, operator.addr);
        Self { addr, operator: at, _serving: [serving, operator] }
    }

    /// Its target file, with more at its end.
    pub(crate) fn file(&self, more: &str) -> String {
        let (addr, operator) = (self.addr, self.operator);
        format!(
            r#"
name = "small"
url = "http://{addr}"
behaviours = ["slow", "slow-after"]
[operation]
path = "/charges"
headers = {{ Content-Type = "application/json" }}
body = '{{"reference":"{{unique}}","behaviour":"{{behaviour}}","slow_ms":{{slow_ms}},"amount":{{amount}}}}'
[effects]
probe = "/charges?reference={{unique}}"
pointer = "/count"
[control]
kill = "POST http://{operator}/crash"
stop = "POST http://{operator}/crash"
start = "POST http://{operator}/start"
store_empty = "POST http://{operator}/crash"
store_up = "POST http://{operator}/start"
{more}
"#
        )
    }

    /// What comes of these cases.
    pub(crate) async fn findings(&self, more: &str, cases: &[&str]) -> Findings {
        self.findings_of(&self.file(more), cases).await
    }

    /// What comes of these cases with another file.
    pub(crate) async fn findings_of(&self, file: &str, cases: &[&str]) -> Findings {
        let target = target::parse(file).unwrap();
        let select = cases.iter().map(|&id| id.to_owned()).collect();
        let options = Options { unit: Duration::from_millis(20), select, ..Options::default() };
        run(target, options, |_| ()).await.unwrap()
    }

    /// What comes of one case.
    pub(crate) async fn verdict(&self, more: &str, case: &str) -> Verdict {
        self.findings(more, &[case]).await.all.remove(0).verdict
    }
}

/// Two callers.
pub(crate) const TENANTS: &str = r#"
[tenant_a]
headers = { Authorization = "Bearer a" }
[tenant_b]
headers = { Authorization = "Bearer b" }
"#;
