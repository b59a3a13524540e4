//! Whose key it is.

use super::{BODY, charge, key, said};
use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::Upstream;

const MISSING: &str = "400 refused SEM-0105 unknown not-run never";
const UNSTABLE: &str = "400 refused SEM-0106 unknown not-run never";

fn plain(n: u32) -> Request {
    Request::post("/v1/charges", BODY).key(&key(n))
}

#[tokio::test]
async fn no_principal_no_protection_and_so_no_run() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for request in [
        plain(1),
        plain(1).header("Authorization", "Bearer"),
        plain(1).header("Authorization", "Bearer "),
        plain(1).bearer("one").header("Authorization", "Bearer two"),
    ] {
        assert_eq!(said(&ask(semel.addr, &request).await), MISSING, "{:?}", request.headers);
    }
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn a_credential_that_changes_at_each_attempt_names_nobody() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for unstable in [
        "AWS4-HMAC-SHA256 Credential=AKID/20260401/eu/s3/aws4_request, SignedHeaders=host, Signature=ab",
        "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"/\", response=\"ab\"",
        "Hawk id=\"d\", ts=\"1353832234\", nonce=\"j4h3g2\", mac=\"ab\"",
        "Signature keyId=\"k\",algorithm=\"hmac\",signature=\"ab\"",
        "OAuth oauth_nonce=\"a\", oauth_timestamp=\"1\", oauth_signature=\"ab\"",
        "DPoP eyJ0eXAiOiJkcG9wK2p3dCJ9",
        "sk_live_without_a_scheme",
    ] {
        let reply = ask(semel.addr, &plain(1).header("Authorization", unstable)).await;
        assert_eq!(said(&reply), UNSTABLE, "{unstable}");
        assert!(!reply.text().contains("sk_live"), "a credential is never repeated");
    }
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn each_credential_has_keys_of_its_own() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let credentials = ["Bearer alice", "Bearer bob", "Basic YTpi", "Basic YTpj"];
    for (n, credential) in credentials.iter().enumerate() {
        let request = plain(1).header("Authorization", credential);
        assert_eq!(said(&ask(semel.addr, &request).await), "201 executed", "{credential}");
        let reply = ask(semel.addr, &request).await;
        assert_eq!(said(&reply), "201 replayed", "{credential}");
        assert_eq!(reply.json()["charge"], n + 1, "its own reply");
    }
    // RFC 9110 §11.1: the name of a scheme has no case.
    let lower = plain(1).header("Authorization", "bearer alice");
    assert_eq!(said(&ask(semel.addr, &lower).await), "201 replayed");
    assert_eq!(upstream.effects(), credentials.len());
}

#[tokio::test]
async fn a_named_header_is_the_principal() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--scope", "header:X-Customer").start().await;
    for (customer, token, said_now) in [
        ("alice", "one", "201 executed"),
        // A rotated token is the same customer.
        ("alice", "two", "201 replayed"),
        ("bob", "one", "201 executed"),
        ("bob", "two", "201 replayed"),
    ] {
        let request = plain(1).header("X-Customer", customer).bearer(token);
        assert_eq!(said(&ask(semel.addr, &request).await), said_now, "{customer} {token}");
    }
    for request in [
        charge(1),
        plain(1).header("X-Customer", ""),
        plain(1).header("X-Customer", "alice").header("X-Customer", "bob"),
    ] {
        assert_eq!(said(&ask(semel.addr, &request).await), MISSING, "{:?}", request.headers);
    }
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn without_a_scope_by_name_all_callers_are_one() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--scope", "none").start().await;
    assert_eq!(said(&ask(semel.addr, &plain(1)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &plain(1).bearer("alice")).await), "201 replayed");
    let hawk = plain(1).header("Authorization", "Hawk id=\"d\", ts=\"1\"");
    assert_eq!(said(&ask(semel.addr, &hawk).await), "201 replayed");
    assert_eq!(upstream.effects(), 1);
    semel.says("for an API with one caller only").await;
}

#[tokio::test]
async fn the_services_name_is_a_part_of_the_identity() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    let secret = secret.to_str().unwrap();
    // One secret, so that the derived keys can be compared.
    for service in ["shop", "shop", "till"] {
        let semel = serve(upstream.addr).arg("--secret-file", secret).arg("--service", service);
        ask(semel.start().await.addr, &charge(1)).await;
    }
    let seen = upstream.seen();
    let derived: Vec<_> = seen.iter().map(|s| s.header("idempotency-key").unwrap()).collect();
    assert_eq!(derived[0], derived[1]);
    assert_ne!(derived[0], derived[2]);
}
