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

use crate::harness::Gate;
use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream, raw};

const BODY: &str = "{\"amount\":1200}";

/// Takes TLS off before an upstream.
struct Terminator {
    addr: SocketAddr,
    dir: tempfile::TempDir,
}

impl Terminator {
    async fn before(upstream: SocketAddr) -> Self {
        let open = Gate::closed();
        open.open();
        Self::behind(open, upstream).await
    }

    /// The first handshake waits at the gate, and no other.
    async fn behind(gate: Gate, upstream: SocketAddr) -> Self {
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
            let mut gate = Some(gate);
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, gate) = (acceptor.clone(), gate.take());
                tokio::spawn(async move {
                    if let Some(gate) = gate {
                        gate.pass().await;
                    }
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

/// The time for the end of a reply was counted from before there was a connection: after a slow handshake a
/// reply whose head had come was given up, and its key in doubt.
#[tokio::test]
async fn the_time_for_a_connection_is_no_part_of_the_time_for_a_reply() {
    let upstream = Upstream::start().await;
    let (handshake, rest) = (Gate::closed(), Gate::closed());
    let tls = Terminator::behind(handshake.clone(), upstream.addr).await;
    let semel = serve(upstream.addr)
        .arg("--upstream", &tls.url())
        .arg("--connect-timeout", "10m")
        .arg("--reply-timeout", "1s")
        .env("SSL_CERT_FILE", tls.roots().to_str().unwrap())
        .start()
        .await;
    let mut slow = Client::connect(semel.addr).await;
    slow.request(&Request::charge("key-0003-abcdefgh", BODY)).await;
    handshake.reached(1).await;
    // Another request, later and on a connection at once, has had its whole time for a reply.
    upstream.next(vec![Act::Wait(Gate::closed())]);
    let silent = ask(semel.addr, &Request::charge("key-0004-abcdefgh", BODY)).await;
    assert_eq!(silent.verdict(), Some("in-doubt"));
    let mut script = raw("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\npa");
    script.extend([Act::Wait(rest.clone()), Act::Send(b"id".to_vec())]);
    upstream.next(script);
    handshake.open();
    rest.reached(1).await;
    rest.open();
    let reply = slow.reply("POST").await.unwrap();
    assert_eq!((reply.status, reply.verdict()), (201, Some("executed")), "{}", reply.text());
    assert_eq!(reply.text(), "paid");
}
