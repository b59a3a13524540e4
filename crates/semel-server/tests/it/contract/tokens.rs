//! A claim of a verified token says whose key it is.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use semel::time::{SystemClock, WallClock};
use serde_json::{Value, json};

use super::{BODY, INQUIRY, key, said};
use crate::harness::client::{Request, ask};
use crate::harness::semel::{Serve, run, serve};
use crate::harness::upstream::Upstream;

const UNVERIFIED: &str = "401 refused SEM-0113 unknown not-run never";
const MISSING: &str = "400 refused SEM-0105 unknown not-run never";

/// Who makes the tokens, and the file of its public key.
struct Issuer {
    key: EncodingKey,
    dir: tempfile::TempDir,
}

impl Issuer {
    fn new() -> Self {
        let issuer = Self { key: pair(), dir: tempfile::tempdir().unwrap() };
        issuer.publish(&issuer.key);
        issuer
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("jwks.json")
    }

    fn publish(&self, key: &EncodingKey) {
        let public = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
        std::fs::write(self.file(), json!({ "keys": [public] }).to_string()).unwrap();
    }

    fn token(&self, subject: &str, ends: i64) -> String {
        signed(
            &self.key,
            &json!({
                "iss": "https://login.example.com", "aud": "payments", "sub": subject, "exp": now() + ends,
            }),
        )
    }

    fn before(&self, upstream: &Upstream) -> Serve {
        serve(upstream.addr)
            .arg("--scope", "jwt:sub")
            .arg("--jwks-file", self.file().to_str().unwrap())
            .arg("--jwt-issuer", "https://login.example.com")
            .arg("--jwt-audience", "payments,ledger")
    }
}

fn pair() -> EncodingKey {
    EncodingKey::from_ec_der(&rcgen::KeyPair::generate().unwrap().serialize_der())
}

fn signed(key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(Algorithm::ES256), claims, key).unwrap()
}

fn now() -> i64 {
    i64::try_from(SystemClock.now().as_unix_ms() / 1000).unwrap()
}

fn charge(n: u32, token: &str) -> Request {
    Request::post("/v1/charges", BODY).key(&key(n)).bearer(token)
}

#[tokio::test]
async fn every_token_of_one_subject_has_the_same_keys() {
    let (upstream, issuer) = (Upstream::start().await, Issuer::new());
    let semel = issuer.before(&upstream).start().await;
    let [first, renewed] = [issuer.token("alice", 300), issuer.token("alice", 600)];
    assert_ne!(first, renewed);
    assert_eq!(said(&ask(semel.addr, &charge(1, &first)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &charge(1, &renewed)).await), "201 replayed");
    assert_eq!(said(&ask(semel.addr, &charge(1, &issuer.token("bob", 300))).await), "201 executed");
    // The reserved path reads the same principal, and so do operators.
    let inquiry = |method: &str, path: &str, token: &str| {
        Request::new(method, path).key(&key(1)).bearer(token)
    };
    let state = ask(semel.addr, &inquiry("GET", INQUIRY, &renewed)).await.json();
    assert_eq!(state["state"], "completed");
    let stranger = issuer.token("carol", 300);
    let state = ask(semel.addr, &inquiry("GET", INQUIRY, &stranger)).await.json();
    assert_eq!(state["state"], "absent");
    let forged = signed(&pair(), &json!({ "sub": "alice", "exp": now() + 300 }));
    for method in ["GET", "DELETE"] {
        assert_eq!(said(&ask(semel.addr, &inquiry(method, INQUIRY, &forged)).await), UNVERIFIED);
    }
    let admin = format!("http://{}", semel.admin);
    let shown = ["keys", "show", "--admin", &admin, "--key", &key(1), "--principal", "alice"];
    let shown = run(&shown).await;
    assert!(shown.stdout.contains("completed"), "{shown:?}");
    let ack = inquiry("POST", &format!("{INQUIRY}/ack"), &renewed);
    assert_eq!(ask(semel.addr, &ack).await.status, 204);
    assert_eq!(upstream.effects(), 2);
    let published = ask(semel.addr, &Request::get("/.well-known/idempotency")).await.json();
    assert_eq!(published["routes"][0]["principal"], "jwt:sub");
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused_before_anything_runs() {
    let (upstream, issuer) = (Upstream::start().await, Issuer::new());
    let semel = issuer.before(&upstream).start().await;
    let good = issuer.token("alice", 300);
    let forged = signed(
        &pair(),
        &json!({
            "iss": "https://login.example.com", "aud": "payments", "sub": "alice", "exp": now() + 300,
        }),
    );
    let claims = good.split('.').nth(1).unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    for token in [&forged, &none, &issuer.token("alice", -300), "opaque"] {
        let reply = ask(semel.addr, &charge(1, token)).await;
        assert_eq!(said(&reply), UNVERIFIED, "{token}");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
        assert!(!reply.text().contains(token), "a token is never repeated");
    }
    let twice = charge(1, &good).header("Authorization", &format!("Bearer {good}"));
    let nobody = signed(
        &issuer.key,
        &json!({
            "iss": "https://login.example.com", "aud": "payments", "exp": now() + 300,
        }),
    );
    let basic = charge(1, "").set("Authorization", "Basic YTpi");
    for request in [twice, charge(1, &nobody), basic] {
        assert_eq!(said(&ask(semel.addr, &request).await), MISSING, "{:?}", request.headers);
    }
    assert_eq!(upstream.effects(), 0);
    // Without a key there is nothing to protect, and the API judges the token.
    let unkeyed = Request::post("/v1/charges", BODY).bearer(&forged);
    assert_eq!(ask(semel.addr, &unkeyed).await.status, 201);
}

#[tokio::test]
async fn the_file_of_keys_is_followed_and_a_broken_one_changes_nothing() {
    let (upstream, issuer) = (Upstream::start().await, Issuer::new());
    let semel = issuer.before(&upstream).start().await;
    std::fs::write(issuer.file(), "{\"keys\":").unwrap();
    semel.says("stay as they were").await;
    let old = issuer.token("alice", 300);
    assert_eq!(said(&ask(semel.addr, &charge(1, &old)).await), "201 executed");
    let other = Issuer { key: pair(), dir: tempfile::tempdir().unwrap() };
    issuer.publish(&other.key);
    semel.says("were read again").await;
    assert_eq!(said(&ask(semel.addr, &charge(1, &old)).await), UNVERIFIED);
    assert_eq!(
        said(&ask(semel.addr, &charge(1, &other.token("alice", 300))).await),
        "201 replayed"
    );
}
