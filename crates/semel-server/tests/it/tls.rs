//! An upstream under TLS: whom the gateway trusts, and what a handshake that fails means.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::Upstream;

const BODY: &str = "{\"amount\":1200}";

/// Takes TLS off before an upstream.
struct Terminator {
    addr: SocketAddr,
    dir: tempfile::TempDir,
}

impl Terminator {
    async fn before(upstream: SocketAddr) -> Self {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("roots.pem"), cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut caller) = acceptor.accept(stream).await else { return };
                    let mut behind = TcpStream::connect(upstream).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut behind).await;
                });
            }
        });
        Self { addr, dir }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.addr.port())
    }

    fn roots(&self) -> PathBuf {
        self.dir.path().join("roots.pem")
    }
}

#[tokio::test]
async fn an_upstream_that_is_trusted_is_served() {
    let upstream = Upstream::start().await;
    let tls = Terminator::before(upstream.addr).await;
    let semel = serve(upstream.addr)
        .arg("--upstream", &tls.url())
        .env("SSL_CERT_FILE", tls.roots().to_str().unwrap())
        .start()
        .await;
    let request = Request::charge("key-0001-abcdefgh", BODY);
    let reply = ask(semel.addr, &request).await;
    assert_eq!((reply.status, reply.verdict()), (201, Some("executed")), "{}", reply.text());
    assert_eq!(ask(semel.addr, &request).await.verdict(), Some("replayed"));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_handshake_that_fails_releases_the_key() {
    let upstream = Upstream::start().await;
    let tls = Terminator::before(upstream.addr).await;
    let stranger = Terminator::before(upstream.addr).await;
    let request = Request::charge("key-0002-abcdefgh", BODY);
    for (what, url) in [
        ("signed by nobody we know", tls.url()),
        ("no TLS at all", format!("https://localhost:{}", upstream.addr.port())),
    ] {
        let semel = serve(upstream.addr)
            .arg("--upstream", &url)
            .env("SSL_CERT_FILE", stranger.roots().to_str().unwrap())
            .start()
            .await;
        let reply = ask(semel.addr, &request).await;
        assert_eq!((reply.status, reply.verdict()), (502, Some("released")), "{what}");
    }
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn without_roots_an_https_upstream_is_refused_and_an_http_one_is_not() {
    let upstream = Upstream::start().await;
    let none = tempfile::tempdir().unwrap();
    let missing = none.path().join("none.pem");
    let missing = missing.to_str().unwrap();
    let refused = serve(upstream.addr)
        .arg("--upstream", "https://localhost:1")
        .env("SSL_CERT_FILE", missing)
        .refused()
        .await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("SSL_CERT_FILE"), "{}", refused.stderr);
    serve(upstream.addr).env("SSL_CERT_FILE", missing).start().await;
}
