//! The real binary under the tester's commands.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use semel_conform::case::{Level, Verdict};
use semel_conform::run::{Options, run};
use semel_conform::target;
use semel_conform::wire::Address;

use crate::harness::eventually;

/// Where its records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Embedded,
}

/// The unit of time of these runs.
const UNIT: Duration = Duration::from_millis(50);

/// What the routes decide beyond their defaults. Documents are put whole: a retry of a write that won
/// would meet its own version, but with a key it gets its success again.
const ROUTES: &str = r#"
[defaults]
reply_max = "4MiB"
[[route]]
path = "/resources"
methods = ["PUT", "DELETE"]
"#;

/// A gateway to be tested. Dropped, its process is killed.
#[derive(Debug)]
pub(crate) struct Gateway {
    dir: tempfile::TempDir,
    store: Store,
    forgetful: bool,
    addr: SocketAddr,
    admin: SocketAddr,
    origin: SocketAddr,
}

impl Gateway {
    pub(crate) fn new(store: Store) -> Self {
        let [addr, admin, origin] = free_addresses();
        let dir = tempfile::tempdir().unwrap();
        Self { dir, store, forgetful: false, addr, admin, origin }
    }

    /// With replies that are gone, and keys that are known, soon.
    pub(crate) fn forgetful(mut self) -> Self {
        self.forgetful = true;
        self
    }

    /// Starts it, puts it to these cases, and expects that each MUST and SHOULD among them holds.
    pub(crate) async fn passes(self, cases: &[&str]) {
        std::fs::write(self.at("semel.toml"), ROUTES).unwrap();
        assert!(shell(&self.start()), "the start command runs");
        let address = Address::parse(&format!("http://{}", self.addr)).unwrap();
        eventually("the gateway listens", || async { address.connect().await.ok() }).await;
        let select = cases.iter().map(|&case| case.to_owned()).collect();
        let options = Options { unit: UNIT, strict: true, select, ..Options::default() };
        let target = target::parse(&self.describe()).unwrap();
        let findings = run(target, options, |_| ()).await.unwrap();
        let (mut passed, mut faults) = (0, vec![]);
        for finding in &findings.all {
            match &finding.verdict {
                Verdict::Pass => passed += 1,
                Verdict::Skipped(_) => {}
                _ if finding.case.level == Level::Info => {}
                verdict => faults.push(format!("{}: {verdict:#?}", finding.case.id)),
            }
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        assert!(faults.is_empty(), "{}\nthe gateway said: {log}", faults.join("\n"));
        assert!(passed > 3, "hardly anything was tried: {passed} cases");
    }

    /// The target file.
    fn describe(&self) -> String {
        let mut text = format!(
            "url = \"http://{}\"\nother_host = \"other.example\"\npublished = \"/.well-known/idempotency\"\n\
             [effects]\norigin = \"{}\"\n\
             [rotated]\nheaders = {{ Authorization = \"Bearer conform-a-2\" }}\n\
             [timing]\nlease = \"400ms\"\nupstream_timeout = \"1500ms\"\n",
            self.addr, self.origin
        );
        if self.forgetful {
            text.push_str("retention = \"2500ms\"\nmemory = \"10s\"\n");
        }
        if self.store == Store::Embedded {
            let pid = self.at("pid");
            // A process that has been killed holds its store until its last thread is gone, which may be
            // after its first.
            let gone = format!(
                "while cat /proc/$(cat {pid})/task/*/status 2>/dev/null | grep -q \"^State:.[^ZX]\"; do :; done"
            );
            text.push_str(&format!(
                "[control]\nkill = 'kill -9 $(cat {pid}); {gone}'\n\
                 stop = 'kill $(cat {pid}); {gone}'\nstart = '{}'\n",
                self.start()
            ));
        }
        text
    }

    fn start(&self) -> String {
        let store = match self.store {
            Store::Memory => "memory:".to_owned(),
            Store::Embedded => format!("embedded:{}", self.at("store")),
        };
        let kept = if self.forgetful { "--retention 2500ms --memory 10s" } else { "" };
        format!(
            "{} serve --upstream http://{} --listen {} --admin {} --store {store} --lease 400ms \
             --store-deadline 200ms --wait 1s --reply-timeout 1500ms --max-upstream 200ms --pause 100ms \
             --drain 1s {kept} --config {} >>{} 2>&1 & echo $! >{}",
            env!("CARGO_BIN_EXE_semel"),
            self.origin,
            self.addr,
            self.admin,
            self.at("semel.toml"),
            self.at("log"),
            self.at("pid"),
        )
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        shell(&format!("kill -9 $(cat {}) 2>/dev/null", self.at("pid")));
    }
}

fn shell(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).status().is_ok_and(|status| status.success())
}

/// Ports that nobody has: held together, so that none comes twice.
fn free_addresses() -> [SocketAddr; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}
