//! The real binary, described for the tester.

use std::net::SocketAddr;

use super::skips::Skip;
use super::subject::{Store, Subject, free_addresses};
use crate::harness::tls::{Authority, Holds};

/// What the routes decide beyond their defaults. Documents are put whole: a retry of a write that won
/// would meet its own version, but with a key it gets its success again.
const ROUTES: &str = r#"
[defaults]
reply_max = "4MiB"
[[route]]
path = "/resources"
methods = ["PUT", "DELETE"]
"#;

/// A gateway to be tested.
#[derive(Debug)]
pub(crate) struct Gateway {
    subject: Subject,
    forgetful: bool,
    authority: Option<Authority>,
    admin: SocketAddr,
    origin: SocketAddr,
}

impl Gateway {
    pub(crate) fn new(store: Store) -> Self {
        let [addr, admin, origin] = free_addresses();
        Self {
            subject: Subject::new(store, addr),
            forgetful: false,
            authority: None,
            admin,
            origin,
        }
    }

    /// With replies that are gone, and keys that are known, soon.
    pub(crate) fn forgetful(mut self) -> Self {
        self.forgetful = true;
        self
    }

    /// Speaking TLS to its callers, by a certificate that an authority of the test's own signed; they speak HTTP/2.
    pub(crate) fn secure(mut self) -> Self {
        self.authority = Some(Authority::new());
        self
    }

    pub(crate) async fn passes(self, cases: &[&str], skips: &[Skip]) {
        std::fs::write(self.subject.at("semel.toml"), ROUTES).unwrap();
        self.subject.passes(&self.program(), &self.describe(), cases, skips).await;
    }

    /// The target file, but for its commands.
    fn describe(&self) -> String {
        let url = match &self.authority {
            Some(authority) => format!(
                "url = \"https://localhost:{}\"\nhttp = \"2\"\ntls.cacert = \"{}\"\n",
                self.subject.addr.port(),
                authority.path().display()
            ),
            None => format!("url = \"http://{}\"\n", self.subject.addr),
        };
        let mut text = format!(
            "{url}other_host = \"other.example\"\npublished = \"/.well-known/idempotency\"\n\
             [effects]\norigin = \"{}\"\n\
             [rotated]\nheaders = {{ Authorization = \"Bearer conform-a-2\" }}\n\
             [timing]\nlease = \"400ms\"\nupstream_timeout = \"1500ms\"\n",
            self.origin
        );
        if self.forgetful {
            text.push_str("retention = \"2500ms\"\nmemory = \"10s\"\n");
        }
        text
    }

    fn program(&self) -> String {
        let kept = if self.forgetful { "--retention 2500ms --memory 10s" } else { "" };
        let shown = self.authority.as_ref().map(|authority| {
            let [certificate, key] = authority.sign("gateway", Holds::Now);
            format!("--tls-certificate {} --tls-key {}", certificate.display(), key.display())
        });
        format!(
            "{} serve --upstream http://{} --listen {} --admin {} --store {} --lease 400ms \
             --store-deadline 200ms --wait 1s --reply-timeout 1500ms --max-upstream 200ms --pause 100ms \
             --drain 1s {kept} {} --config {}",
            env!("CARGO_BIN_EXE_semel"),
            self.origin,
            self.subject.addr,
            self.admin,
            self.subject.store(),
            shown.unwrap_or_default(),
            self.subject.at("semel.toml"),
        )
    }
}
