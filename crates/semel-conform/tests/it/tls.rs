//! A target under TLS: replies are lost there as anywhere, and HTTP/2 is spoken where it is agreed on.

use std::path::Path;
use std::time::Duration;

use semel_conform::sample::{self, Sample};

use crate::command::{Ended, command};
use crate::terminator::Authority;

const BOTH: &[&str] = &["h2", "http/1.1"];

/// The reference, an authority, and a folder for files.
struct Stage {
    dir: tempfile::TempDir,
    authority: Authority,
    sample: Sample,
}

impl Stage {
    async fn new() -> Self {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.write(&dir.path().join("roots.pem"));
        let sample = sample::start(None, Duration::from_millis(20)).await.unwrap();
        Self { dir, authority, sample }
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    async fn terminator(&self, protocols: &[&str], asks: bool) -> u16 {
        self.authority.terminator(self.sample.addr, protocols, asks).await
    }

    /// What the command says of these cases there.
    async fn conform(&self, port: u16, more: &[&str]) -> Ended {
        let target = self.at("target.toml");
        std::fs::write(&target, described(port)).unwrap();
        let args = [&["--target", &target, "--unit", "20ms"], more].concat();
        // Nothing is believed that a test does not name.
        let nobody = command(&args).env("SSL_CERT_FILE", "/dev/null").spawn().unwrap();
        Ended::of(nobody).await
    }
}

fn described(port: u16) -> String {
    format!(
        r#"
url = "https://localhost:{port}"
behaviours = ["all"]
[operation]
path = "/charges"
headers = {{ Content-Type = "application/json" }}
body = '{{"reference":"{{unique}}","behaviour":"{{behaviour}}","slow_ms":{{slow_ms}},"pad":"{{pad}}","amount":{{amount}}}}'
[tenant_a]
headers = {{ Authorization = "Bearer conform-a" }}
[effects]
probe = "/charges?reference={{unique}}"
pointer = "/count"
"#
    )
}

fn passed(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    for part in parts {
        assert!(ended.stdout.contains(part), "{part} is not in {}", ended.stdout);
    }
}

fn refused(ended: &Ended, part: &str) {
    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(part), "{part} is not in {}", ended.stderr);
}

/// The proxy stood before TLS and cut handshakes, so that no https target ever ended with 0.
#[tokio::test]
async fn replies_are_lost_within_tls() {
    let stage = Stage::new().await;
    let port = stage.terminator(&[], false).await;
    std::fs::write(stage.at("target.toml"), described(port)).unwrap();
    let target = stage.at("target.toml");
    let args = ["--target", &target, "--case", "lost/*", "--unit", "20ms"];
    let tester = command(&args).env("SSL_CERT_FILE", stage.at("roots.pem")).spawn().unwrap();
    passed(&Ended::of(tester).await, &["HTTP/1.1 over TLS", "11 passed, 3 skipped"]);
}

#[tokio::test]
async fn replies_are_lost_within_http2_within_tls() {
    let stage = Stage::new().await;
    let port = stage.terminator(BOTH, false).await;
    let ended =
        stage.conform(port, &["--cacert", &stage.at("roots.pem"), "--case", "lost/*"]).await;
    passed(&ended, &["HTTP/2 over TLS\n", "14 passed"]);
}

#[tokio::test]
async fn one_http_alone_is_spoken_where_it_is_named() {
    let stage = Stage::new().await;
    let (both, old) = (stage.terminator(BOTH, false).await, stage.terminator(&[], false).await);
    let roots = stage.at("roots.pem");
    let with = |http| ["--cacert", &roots, "--http", http, "--case", "replay/one-effect"];
    passed(&stage.conform(both, &with("1.1")).await, &["HTTP/1.1 over TLS\n"]);
    passed(&stage.conform(both, &with("2")).await, &["HTTP/2 over TLS\n"]);
    passed(&stage.conform(old, &with("auto")).await, &["HTTP/1.1 over TLS\n"]);
    refused(&stage.conform(old, &with("2")).await, "it agrees on no HTTP/2 within TLS");
}

#[tokio::test]
async fn who_is_not_believed_is_not_tested_unless_anybody_is_to_be() {
    let stage = Stage::new().await;
    let port = stage.terminator(BOTH, false).await;
    let some = ["--case", "replay/one-effect"];
    let ended = stage.conform(port, &some).await;
    refused(&ended, "--cacert FILE says whom to believe, --insecure to believe anybody");
    let ended = stage.conform(port, &[&some[..], &["--insecure"]].concat()).await;
    passed(&ended, &["HTTP/2 over TLS, the target's certificate not checked\n"]);
}

#[tokio::test]
async fn the_tester_shows_a_certificate_where_it_is_asked_for_one() {
    let stage = Stage::new().await;
    let port = stage.terminator(BOTH, true).await;
    let (cert, key) = stage.authority.identity(stage.dir.path(), "tester");
    let shown = |path: &Path| path.display().to_string();
    let (roots, cert, key) = (stage.at("roots.pem"), shown(&cert), shown(&key));
    let args = ["--cacert", &roots, "--case", "lost/reply*"];
    refused(&stage.conform(port, &args).await, "localhost");
    let ended = stage.conform(port, &[&args[..], &["--cert", &cert, "--key", &key]].concat()).await;
    passed(&ended, &["HTTP/2 over TLS, the tester showing a certificate\n", "3 passed"]);
}

#[tokio::test]
async fn files_that_hold_no_certificate_are_told() {
    let stage = Stage::new().await;
    let port = stage.terminator(BOTH, false).await;
    let (none, roots) = (stage.at("none.pem"), stage.at("roots.pem"));
    std::fs::write(&none, "nothing\n").unwrap();
    refused(&stage.conform(port, &["--cacert", &none]).await, "there is no certificate in it");
    let ended = stage.conform(port, &["--cert", &roots, "--key", &none]).await;
    refused(&ended, "none.pem: ");
    refused(&stage.conform(port, &["--cacert", &roots, "--insecure"]).await, "cannot be used with");
}
