//! The example's own binary, started, killed and started again by the tester's commands.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use semel_conform::case::Verdict;
use semel_conform::run::{Options, run};
use semel_conform::target;
use semel_conform::wire::Address;

/// Where its records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Embedded,
}

/// A service to be tested. Dropped, its process is killed.
#[derive(Debug)]
pub(crate) struct Service {
    dir: tempfile::TempDir,
    store: Store,
    /// Retention and memory, in milliseconds.
    kept: Option<(u64, u64)>,
}

/// The unit of time of these runs.
const UNIT: Duration = Duration::from_millis(50);
/// How long a claim holds.
const LEASE_MS: u64 = 400;

impl Service {
    pub(crate) fn new(store: Store) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store, kept: None }
    }

    /// With replies that are gone, and keys that are known, soon.
    pub(crate) fn forgetful(mut self) -> Self {
        self.kept = Some((2_500, 10_000));
        self
    }

    /// Starts it, puts it to these cases, and expects that each MUST and SHOULD among them holds.
    pub(crate) async fn passes(self, cases: &[&str]) {
        let port = free_port();
        let text = self.describe(port);
        let start = self.start(port);
        let started = std::process::Command::new("sh").args(["-c", &start]).status().unwrap();
        assert!(started.success());
        let address = Address::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let listens = async {
            while address.connect().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listens).await.expect("it listens");
        let select = cases.iter().map(|&case| case.to_owned()).collect();
        let options = Options { unit: UNIT, strict: true, select, ..Options::default() };
        let findings = run(target::parse(&text).unwrap(), options, |_| ()).await.unwrap();
        let mut passed = 0;
        let mut faults = Vec::new();
        for finding in &findings.all {
            match &finding.verdict {
                Verdict::Pass => passed += 1,
                Verdict::Skipped(_) => {}
                _ if finding.case.level == semel_conform::case::Level::Info => {}
                verdict => faults.push(format!("{}: {verdict:#?}", finding.case.id)),
            }
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        assert!(faults.is_empty(), "{}\nthe service said: {log}", faults.join("\n"));
        assert!(passed > 3, "hardly anything was tried: {passed} cases");
    }

    fn describe(&self, port: u16) -> String {
        let dir = self.dir.path();
        let (ledger, pid) = (dir.join("ledger"), dir.join("pid"));
        let start = self.start(port);
        let mut text = format!(
            r#"
url = "http://127.0.0.1:{port}"
behaviours = ["all"]
other_host = "other.example"
published = "/.well-known/idempotency"
read = "/charges?reference={{unique}}"
[operation]
path = "/charges"
headers = {{ Content-Type = "application/json" }}
body = '{BODY}'
[other_operation]
path = "/refunds"
headers = {{ Content-Type = "application/json" }}
body = '{BODY}'
[tenant_a]
headers = {{ Authorization = "Bearer a" }}
[tenant_b]
headers = {{ Authorization = "Bearer b" }}
[rotated]
headers = {{ Authorization = "Bearer a-2" }}
[effects]
command = 'grep -c "{{unique}}" {ledger} || true'
[resource]
path = "/resources/{{unique}}"
body = '{{"amount":{{amount}}}}'
headers = {{ Content-Type = "application/json" }}
versioned = true
"#,
            ledger = ledger.display(),
        );
        if self.store == Store::Embedded {
            let pid = pid.display();
            // A process that has been killed holds its store until its last thread is gone, which may be
            // after its first.
            let gone = format!(
                "while cat /proc/$(cat {pid})/task/*/status 2>/dev/null | grep -q \"^State:.[^ZX]\"; do :; done"
            );
            text.push_str(&format!(
                "[control]\nkill = 'kill -9 $(cat {pid}); {gone}'\nstart = '{start}'\n"
            ));
        }
        text.push_str(&format!("[timing]\nlease = \"{LEASE_MS}ms\"\n"));
        if let Some((retention, memory)) = self.kept {
            text.push_str(&format!("retention = \"{retention}ms\"\nmemory = \"{memory}ms\"\n"));
        }
        text
    }

    fn start(&self, port: u16) -> String {
        let dir = self.dir.path();
        let store = match self.store {
            Store::Memory => "memory:".to_owned(),
            Store::Embedded => format!("embedded:{}", dir.join("store").display()),
        };
        let kept = self.kept.map_or(String::new(), |(retention, memory)| {
            format!("--retention-ms {retention} --memory-ms {memory}")
        });
        let at = |name: &str| dir.join(name).display().to_string();
        let ledger = at("ledger");
        format!(
            "touch {ledger}; {} --listen 127.0.0.1:{port} --store {store} --ledger {ledger} --lease-ms {LEASE_MS} {kept} >>{} 2>&1 & echo $! >{}",
            env!("CARGO_BIN_EXE_example-axum-layer"),
            at("log"),
            at("pid"),
        )
    }
}

/// The same for each operation: the behaviour is a member.
const BODY: &str = r#"{"reference":"{unique}","behaviour":"{behaviour}","slow_ms":{slow_ms},"pad":"{pad}","amount":{amount}}"#;

impl Drop for Service {
    fn drop(&mut self) {
        end(&self.dir.path().join("pid"));
    }
}

/// Kills the process whose id the file holds.
fn end(pid: &Path) {
    let command = format!("kill -9 $(cat {}) 2>/dev/null", pid.display());
    let _ = std::process::Command::new("sh").args(["-c", &command]).status();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
