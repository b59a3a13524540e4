//! Callers under TLS and HTTP/2, shown with a real client (curl): what they are served, what the upstream is
//! told of them, and what becomes of certificates that cannot be used.

use std::path::Path;

use rustix::process::Signal;

use crate::harness::client::{Client, Request, ask};
use crate::harness::eventually;
use crate::harness::semel::{Semel, Serve, serve};
use crate::harness::tls::{Authority, Curled, Holds, curl};
use crate::harness::upstream::{Upstream, raw};

fn under(serve: Serve, [certificate, key]: &[std::path::PathBuf; 2]) -> Serve {
    serve
        .arg("--tls-certificate", certificate.to_str().unwrap())
        .arg("--tls-key", key.to_str().unwrap())
}

fn url(semel: &Semel, path: &str) -> String {
    format!("https://localhost:{}{path}", semel.addr.port())
}

const KEYED: [&str; 8] = [
    "-H",
    "Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324",
    "-H",
    "Authorization: Bearer caller-one",
    "-H",
    "Content-Type: application/json",
    "-d",
    "{\"amount\":1200}",
];

#[tokio::test]
async fn one_key_is_one_operation_over_either_protocol() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let semel = under(serve(upstream.addr), &authority.sign("gateway", Holds::Now)).start().await;
    let url = url(&semel, "/v1/charges");
    let mut told = vec![];
    for protocol in ["--http2", "--http1.1"] {
        let args = [&["-i", protocol][..], &KEYED, &[&url]].concat();
        let Curled { code, out, err } = curl(&authority.path(), &args).await;
        assert_eq!(code, Some(0), "{err}");
        told.push((out.lines().next().unwrap().trim().to_owned(), out.to_lowercase()));
    }
    assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("HTTP/2 201", "HTTP/1.1 201 Created"));
    assert!(told[0].1.contains("idempotency-status: executed"), "{}", told[0].1);
    assert!(told[1].1.contains("idempotency-status: replayed"), "{}", told[1].1);
    assert_eq!(upstream.effects(), 1);
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.header("via"), Some("2.0 semel"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("host"), Some(format!("localhost:{}", semel.addr.port()).as_str()));
    assert_eq!(seen.target, "/v1/charges");
}

#[tokio::test]
async fn events_stream_over_http_2() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let semel = under(serve(upstream.addr), &authority.sign("gateway", Holds::Now)).start().await;
    upstream.next(raw(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
         9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n",
    ));
    let args = ["-N", "--http2", &url(&semel, "/events")];
    let told = curl(&authority.path(), &args).await;
    assert_eq!((told.code, told.out.as_str()), (Some(0), "data: 1\n\ndata: 2\n\n"), "{}", told.err);
}

#[tokio::test]
async fn callers_show_certificates_where_they_must() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let stranger = Authority::new();
    let shown = authority.sign("gateway", Holds::Now);
    let ca = authority.path();
    let [cert, key] = authority.sign("billing", Holds::Now);
    let [other_cert, other_key] = stranger.sign("billing", Holds::Now);
    let semel = under(serve(upstream.addr), &shown).arg("--tls-client-ca", ca.to_str().unwrap());
    let semel = semel.start().await;
    let at = url(&semel, "/");
    assert_ne!(curl(&ca, &[&at]).await.code, Some(0), "no certificate");
    let shows = |cert: &Path, key: &Path| {
        let [cert, key] = [cert, key].map(|path| path.to_str().unwrap().to_owned());
        let (ca, at) = (ca.clone(), at.clone());
        async move { curl(&ca, &["--cert", &cert, "--key", &key, &at]).await.code }
    };
    assert_ne!(shows(&other_cert, &other_key).await, Some(0), "signed by nobody we know");
    assert_eq!(shows(&cert, &key).await, Some(0));
    assert_eq!(upstream.effects(), 1);
    let semel = under(serve(upstream.addr), &shown)
        .arg("--tls-client-ca", ca.to_str().unwrap())
        .arg("--tls-client", "optional")
        .start()
        .await;
    assert_eq!(curl(&ca, &[&url(&semel, "/")]).await.code, Some(0));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let files = authority.sign("gateway", Holds::Now);
    let semel = under(serve(upstream.addr), &files).start().await;
    let (at, ca) = (url(&semel, "/"), authority.path());
    let shown = || async {
        let args = ["-w", "%{certs}", "-o", "/dev/null", &at];
        let told = curl(&ca, &args).await;
        assert_eq!(told.code, Some(0), "{}", told.err);
        told.out
    };
    let first = shown().await;
    // By itself, once both files have changed.
    authority.sign("gateway", Holds::Now);
    eventually("the renewed certificate is shown", || async {
        (shown().await != first).then_some(())
    })
    .await;
    let second = shown().await;
    // When told. What is wrong stays out of use.
    for (what, path) in [("no certificate", &files[0]), ("no key", &files[1])] {
        let right = std::fs::read(path).unwrap();
        std::fs::write(path, "-----BEGIN").unwrap();
        semel.signal(Signal::HUP);
        let said = semel.says("the one in use stays in use").await;
        assert!(said.contains(path.to_str().unwrap()) || what == "no key", "{said}");
        assert_eq!(shown().await, second, "{what}");
        std::fs::write(path, right).unwrap();
    }
    authority.sign("gateway", Holds::NoMore);
    semel.signal(Signal::HUP);
    semel.says("ended on").await;
    assert_eq!(shown().await, second);
    let metrics = ask(semel.admin, &Request::get("/metrics").set("Host", "127.0.0.1")).await.text();
    assert!(metrics.contains("semel_certificate_not_after_seconds"), "{metrics}");
    assert!(metrics.contains("semel_certificate_reloads_total{outcome=\"kept\"}"), "{metrics}");
}

#[tokio::test]
async fn what_cannot_be_used_stops_the_start() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let right = authority.sign("gateway", Holds::Now);
    let other = authority.sign("other", Holds::Now);
    let garbage = authority.file("garbage.pem");
    std::fs::write(&garbage, "no PEM at all").unwrap();
    let missing = authority.file("missing.pem");
    for (files, told) in [
        ([right[0].clone(), other[1].clone()], "is not that of the certificate"),
        ([garbage.clone(), right[1].clone()], "holds no certificate in PEM form"),
        ([right[0].clone(), garbage.clone()], "holds no private key in PEM form"),
        ([missing, right[1].clone()], "cannot be read"),
        (authority.sign("old", Holds::NoMore), "ended on"),
        (authority.sign("early", Holds::NotYet), "is not valid before"),
    ] {
        let ended = under(serve(upstream.addr), &files).refused().await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{told}: {}", ended.stderr);
    }
    let ca = garbage.to_str().unwrap();
    let ended = under(serve(upstream.addr), &right).arg("--tls-client-ca", ca).refused().await;
    assert!(ended.stderr.contains("the file of callers' authorities"), "{}", ended.stderr);
    for (serve, told) in [
        (serve(upstream.addr).arg("--tls-key", ca), "`tls_key`: a private key is of no use"),
        (serve(upstream.addr).arg("--tls-certificate", ca), "`tls_certificate`: a certificate"),
        (serve(upstream.addr).arg("--tls-client-ca", ca), "`tls_client_ca`: callers show"),
        (serve(upstream.addr).arg("--tls-client", "optional"), "`tls_client`: it says nothing"),
        (under(serve(upstream.addr), &right).flag("--h2c"), "`h2c`: it is HTTP/2 without TLS"),
    ] {
        let ended = serve.refused().await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{told}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn who_speaks_something_else_is_told_or_left() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let files = authority.sign("gateway", Holds::Now);
    let semel = under(serve(upstream.addr), &files).arg("--head-timeout", "300ms").start().await;
    let plain = ask(semel.addr, &Request::get("/")).await;
    assert_eq!(plain.status, 400);
    assert!(plain.text().contains("use https://"), "{}", plain.text());
    // Somebody who never says hello is cut off, and so is who says half of it.
    for start in [&b""[..], b"\x16\x03\x01\x02"] {
        let mut silent = Client::connect(semel.addr).await;
        silent.send(start).await;
        silent.rest().await;
    }
    // No protocol in common.
    let none = curl(&authority.path(), &["--no-alpn", &url(&semel, "/")]).await;
    assert_eq!(none.code, Some(0), "without ALPN it is HTTP/1.1: {}", none.err);
    // TLS where there is none, and HTTP/2 where it is not spoken.
    let semel = serve(upstream.addr).start().await;
    let hello = curl(&authority.path(), &[&url(&semel, "/")]).await;
    assert_eq!(hello.code, Some(35), "{hello:?}");
    let http_2 = ["--http2-prior-knowledge", &format!("http://{}/", semel.addr)];
    assert_ne!(curl(&authority.path(), &http_2).await.code, Some(0));
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_where_asked() {
    let upstream = Upstream::start().await;
    let authority = Authority::new();
    let semel = serve(upstream.addr).flag("--h2c").start().await;
    let at = format!("http://{}/", semel.addr);
    for (protocol, version) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1")] {
        let args = [protocol, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &at];
        let told = curl(&authority.path(), &args).await;
        assert_eq!(told.out, format!("{version} 201"), "{}", told.err);
    }
    assert_eq!(upstream.seen()[0].header("x-forwarded-proto"), Some("http"));
}

#[tokio::test]
async fn the_certificate_says_whose_key_it_is() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let ca = authority.path();
    let shown = authority.sign("gateway", Holds::Now);
    let semel = under(serve(upstream.addr), &shown)
        .arg("--tls-client-ca", ca.to_str().unwrap())
        .arg("--tls-client", "optional")
        .arg("--scope", "client-certificate");
    let semel = semel.start().await;
    let at = url(&semel, "/v1/charges");
    let charge = |files: Option<[std::path::PathBuf; 2]>| {
        let (ca, at) = (ca.clone(), at.clone());
        async move {
            let mut args = [&["-i"][..], &KEYED, &[&at]].concat();
            let files = files.map(|files| files.map(|path| path.to_str().unwrap().to_owned()));
            if let Some([cert, key]) = &files {
                args.extend(["--cert", cert.as_str(), "--key", key.as_str()]);
            }
            let told = curl(&ca, &args).await.out.to_lowercase();
            let words = ["executed", "replayed", "refused"].into_iter();
            let said = |word: &&str| told.contains(&format!("idempotency-status: {word}"));
            words.filter(said).collect::<Vec<_>>()
        }
    };
    let first = authority.sign("billing", Holds::Now);
    assert_eq!(charge(Some(first)).await, ["executed"]);
    let renewed = authority.sign("billing", Holds::Now);
    assert_eq!(charge(Some(renewed)).await, ["replayed"], "a renewed one is the same principal");
    let other = authority.sign("shipping", Holds::Now);
    assert_eq!(charge(Some(other)).await, ["executed"], "the same credential in a header");
    assert_eq!(charge(None).await, ["refused"], "nothing weaker is taken in its place");
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn a_scope_by_certificate_needs_somebody_who_signs_them() {
    let upstream = Upstream::start().await;
    let refused = serve(upstream.addr).arg("--scope", "client-certificate:uri").refused().await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("tls_client_ca"), "{refused:?}");
}
