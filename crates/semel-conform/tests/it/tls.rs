//! A target under TLS: replies are lost there as anywhere.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use semel_conform::sample;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::command::{Ended, command};

/// Takes TLS off before `behind`; its certificate is written to `roots`.
async fn terminator(behind: SocketAddr, roots: &Path) -> u16 {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(roots, cert.pem()).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut caller) = acceptor.accept(stream).await else { return };
                let Ok(mut behind) = TcpStream::connect(behind).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut behind).await;
            });
        }
    });
    port
}

/// The proxy stood before TLS and cut handshakes, so that no https target ever ended with 0.
#[tokio::test]
async fn replies_are_lost_within_tls() {
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    let sample = sample::start(None, Duration::from_millis(20)).await.unwrap();
    let port = terminator(sample.addr, &roots).await;
    let target = dir.path().join("target.toml");
    let text = format!(
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
    );
    std::fs::write(&target, text).unwrap();
    let target = target.to_str().unwrap();
    let args = ["--target", target, "--case", "lost/*", "--unit", "20ms"];
    let tester = command(&args).env("SSL_CERT_FILE", &roots).spawn().unwrap();
    let ended = Ended::of(tester).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("11 passed"), "{}", ended.stdout);
}
