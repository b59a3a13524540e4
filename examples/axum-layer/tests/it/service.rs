//! The example's own binary, described for the tester.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::skips::Skip;
use super::subject::{Store, Subject, free_addresses};

/// A service to be tested.
#[derive(Debug)]
pub(crate) struct Service {
    subject: Subject,
    /// Retention and memory, in milliseconds.
    kept: Option<(u64, u64)>,
}

/// How long a claim holds.
const LEASE_MS: u64 = 400;

impl Service {
    pub(crate) fn new(store: Store) -> Self {
        let [addr] = free_addresses();
        Self { subject: Subject::new(store, addr), kept: None }
    }

    /// With replies that are gone, and keys that are known, soon.
    pub(crate) fn forgetful(mut self) -> Self {
        self.kept = Some((2_500, 10_000));
        self
    }

    pub(crate) async fn passes(self, cases: &[&str], skips: &[Skip]) {
        let _ledger = self.ledger();
        self.subject.passes(&self.program(), &self.describe(), cases, skips).await;
        if let Ok(secret) = std::fs::metadata(self.subject.at("store.secret")) {
            assert_eq!(
                secret.permissions().mode() & 0o777,
                0o600,
                "the secret is its owner's alone"
            );
        }
    }

    /// The ledger is a pipe, since the service can write to it while no file of it takes a write: an
    /// effect that comes then is to be seen. Held open, it keeps what a killed service wrote.
    fn ledger(&self) -> File {
        let path = self.subject.at("ledger");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    /// The target file, but for its commands. Who counts effects first takes out of the pipe what is
    /// there, one at a time.
    fn describe(&self) -> String {
        let mut text = format!(
            r#"
url = "http://{addr}"
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
command = 'flock {booked} dd if={ledger} iflag=nonblock of={booked} oflag=append conv=notrunc 2>&-; grep -c "{{unique}}" {booked} || true'
[resource]
path = "/resources/{{unique}}"
body = '{{"amount":{{amount}}}}'
headers = {{ Content-Type = "application/json" }}
versioned = true
[timing]
lease = "{LEASE_MS}ms"
"#,
            addr = self.subject.addr,
            ledger = self.subject.at("ledger"),
            booked = self.subject.at("booked"),
        );
        if let Some((retention, memory)) = self.kept {
            text.push_str(&format!("retention = \"{retention}ms\"\nmemory = \"{memory}ms\"\n"));
        }
        text
    }

    fn program(&self) -> String {
        let kept = self.kept.map_or(String::new(), |(retention, memory)| {
            format!("--retention-ms {retention} --memory-ms {memory}")
        });
        format!(
            "{} --listen {} --store {} --ledger {} --lease-ms {LEASE_MS} {kept}",
            env!("CARGO_BIN_EXE_example-axum-layer"),
            self.subject.addr,
            self.subject.store(),
            self.subject.at("ledger"),
        )
    }
}

/// The same for each operation: the behaviour is a member.
const BODY: &str = r#"{"reference":"{unique}","behaviour":"{behaviour}","slow_ms":{slow_ms},"pad":"{pad}","amount":{amount}}"#;
