//! Tokens that hold and tokens that do not, by a clock of the test's own.

use std::path::Path;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use semel::core::Timestamp;
use semel::http::verify::{Unverified, Verified, Verifier};
use serde_json::{Value, json};

use super::claim::Claim;
use super::key_set::KeySetFile;
use super::token::{TokenClaim, TokenRules};

const ISSUER: &str = "https://login.example.com";
/// 2026-04-01T00:00:00Z, in seconds.
const NOW: u64 = 1_775_001_600;
const SECRET: [u8; 32] = [0x5a; 32];

/// A key pair of elliptic curves, as an issuer has it.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    id: &'static str,
}

impl Signer {
    fn ec(id: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { key, algorithm: Algorithm::ES256, id }
    }

    fn rsa(id: &'static str) -> Self {
        let pair =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
        let pkcs8 = pair.unwrap().serialize_der();
        // The key itself (PKCS #1) stands behind a head that is the same for all of 2048 bits.
        let (_, pkcs1) = pkcs8.split_at(26);
        Self { key: EncodingKey::from_rsa_der(pkcs1), algorithm: Algorithm::RS256, id }
    }

    fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn head(&self) -> Header {
        Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.head(), claims, &self.key).unwrap()
    }
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "payments", "sub": "alice", "exp": NOW + 300, "nbf": NOW - 10 })
}

/// Claims as they should be, but for one.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn write(path: &Path, keys: &[Value]) {
    std::fs::write(path, json!({ "keys": keys }).to_string()).unwrap();
}

/// What verifies, over a file of these keys.
struct Bench {
    dir: tempfile::TempDir,
    rules: std::sync::Arc<TokenRules>,
}

const ASYMMETRIC: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

impl Bench {
    fn new(keys: &[Value], allowed: &[Algorithm]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwks.json");
        write(&path, keys);
        let keys = KeySetFile::open(&path, allowed.to_vec()).unwrap();
        let rules = TokenRules {
            issuer: ISSUER.to_owned(),
            audiences: vec!["payments".to_owned(), "ledger".to_owned()],
            leeway: Duration::from_secs(60),
            keys: keys.into(),
        };
        Self { dir, rules: rules.into() }
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("jwks.json")
    }

    fn claim(&self, claim: &str) -> TokenClaim {
        TokenClaim::new(Claim::parse(claim).unwrap(), self.rules.clone())
    }

    fn at(&self, token: &str, now: u64) -> Result<bytes::Bytes, Unverified> {
        self.claim("sub").verify(&bearing(token), Timestamp::from_unix_ms(now * 1000))
    }

    fn refused(&self, token: &str) -> String {
        match self.at(token, NOW) {
            Err(Unverified::Refused { why, .. }) => why,
            other => panic!("it should be refused: {other:?}"),
        }
    }
}

fn bearing(token: &str) -> Parts {
    let request = Request::post("/").header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

#[test]
fn every_token_of_one_subject_is_one_principal() {
    let (old, new) = (Signer::ec("old"), Signer::rsa("new"));
    let bench = Bench::new(&[old.public(), new.public()], &ASYMMETRIC);
    let first = bench.at(&old.sign(&claims()), NOW).unwrap();
    let rotated = with("exp", json!(NOW as f64 + 900.5));
    assert_eq!(bench.at(&new.sign(&rotated), NOW), Ok(first.clone()), "a rotated token");
    let listed = with("aud", json!(["other", "ledger"]));
    assert_eq!(bench.at(&new.sign(&listed), NOW), Ok(first.clone()), "one audience of several");
    assert_eq!(bench.claim("sub").named("alice"), Some(first.clone()), "as an operator names it");
    let bob = old.sign(&with("sub", json!("bob")));
    assert_ne!(bench.at(&bob, NOW).unwrap(), first);
}

#[test]
fn one_text_in_two_claims_or_of_two_issuers_is_two_principals() {
    let signer = Signer::ec("k");
    let bench = Bench::new(&[signer.public()], &ASYMMETRIC);
    let both = signer.sign(&with("org", json!({ "id": "alice" })));
    let of = |claim: &str| {
        bench.claim(claim).verify(&bearing(&both), Timestamp::from_unix_ms(NOW * 1000)).unwrap()
    };
    assert_eq!(of("sub"), of("/sub"));
    assert_ne!(of("sub"), of("/org/id"));
    let elsewhere = TokenRules {
        issuer: "https://elsewhere.example".to_owned(),
        audiences: Vec::new(),
        leeway: Duration::ZERO,
        keys: bench.rules.keys.clone(),
    };
    let elsewhere = TokenClaim::new(Claim::parse("sub").unwrap(), elsewhere.into());
    assert_ne!(elsewhere.named("alice"), bench.claim("sub").named("alice"));
}

#[test]
fn what_does_not_hold_is_refused_with_its_reason() {
    let (signer, stranger) = (Signer::ec("k"), Signer::ec("k"));
    let bench = Bench::new(&[signer.public()], &ASYMMETRIC);
    let good = signer.sign(&claims());
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other_claims = signer.sign(&with("sub", json!("root")));
    let other_claims = other_claims.split('.').nth(1).unwrap();
    let none = base64(&json!({ "alg": "none", "typ": "JWT" }));
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..signer.head() };
    let unknown = Header { kid: Some("other".to_owned()), ..signer.head() };
    for (token, why) in [
        (stranger.sign(&claims()), "signature"),
        (format!("{head}.{other_claims}.{signature}"), "signature"),
        (format!("{head}.{rest}x"), "The token"),
        (format!("{none}.{}.", base64(&claims())), "The token"),
        (format!("{none}.{}.{signature}", base64(&claims())), "The token"),
        (encode(&unknown, &claims(), &signer.key).unwrap(), "no key that is known"),
        (encode(&critical, &claims(), &signer.key).unwrap(), "cannot be read"),
        (signer.sign(&with("iss", json!("https://login.example.com/"))), "another issuer"),
        (signer.sign(&without("iss")), "another issuer"),
        (signer.sign(&with("aud", json!("refunds"))), "another audience"),
        (signer.sign(&with("aud", json!([]))), "another audience"),
        (signer.sign(&without("aud")), "another audience"),
        (signer.sign(&without("exp")), "when it ends"),
        (signer.sign(&with("exp", json!("never"))), "cannot be read"),
        (signer.sign(&with("exp", json!(NOW - 60))), "has expired"),
        (signer.sign(&with("nbf", json!(NOW + 61))), "not valid yet"),
        ("abc".to_owned(), "cannot be read"),
        ("a.b.c".to_owned(), "cannot be read"),
    ] {
        let said = bench.refused(&token);
        assert!(said.contains(why), "{why}: {said}");
        assert!(!said.contains(&token), "a token is never repeated");
    }
    assert!(bench.at(&good, NOW).is_ok());
}

fn base64(part: &Value) -> String {
    // The library writes it the same way as a token's part.
    let key = EncodingKey::from_secret(&SECRET);
    let token = encode(&Header::new(Algorithm::HS256), part, &key).unwrap();
    token.split('.').nth(1).unwrap().to_owned()
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    let rsa = Signer::rsa("k");
    let public = rsa.public();
    let oct = json!({ "kty": "oct", "kid": "s", "k": "Wlpa".repeat(11) });
    // HS256 stands among what is allowed, as it does where some tokens are signed by a shared secret.
    let allowed = [Algorithm::RS256, Algorithm::HS256];
    let bench = Bench::new(&[public.clone(), oct], &allowed);
    assert!(bench.at(&rsa.sign(&claims()), NOW).is_ok());
    let modulus = public["n"].as_str().unwrap();
    let secrets = [modulus.as_bytes().to_vec(), public.to_string().into_bytes(), Vec::new()];
    for secret in secrets {
        let head = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::HS256) };
        let forged = encode(&head, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        assert!(bench.refused(&forged).contains("no key that is known"));
    }
    // And a shared secret only where it was named.
    let strict = Bench::new(&[public], &ASYMMETRIC);
    let shared =
        encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(&SECRET));
    assert!(strict.refused(&shared.unwrap()).contains("an algorithm"));
}

#[test]
fn without_a_key_id_only_a_single_fitting_key_is_taken() {
    let (one, two) = (Signer::ec("one"), Signer::ec("two"));
    let bare = encode(&Header::new(Algorithm::ES256), &claims(), &one.key).unwrap();
    assert!(Bench::new(&[one.public()], &ASYMMETRIC).at(&bare, NOW).is_ok());
    let both = Bench::new(&[one.public(), two.public()], &ASYMMETRIC);
    assert!(both.refused(&bare).contains("no key that is known"));
}

#[test]
fn a_token_ends_by_the_clock_of_the_store_and_may_be_late_by_the_leeway() {
    let signer = Signer::ec("k");
    let bench = Bench::new(&[signer.public()], &ASYMMETRIC);
    let token = signer.sign(&claims());
    let day = 86_400;
    for (now, holds) in [
        (NOW, true),
        (NOW + 300 + 59, true),
        (NOW + 300 + 60, false),
        (NOW - 10 - 60, true),
        (NOW - 10 - 61, false),
        (NOW + day, false),
        (NOW - day, false),
    ] {
        assert_eq!(bench.at(&token, now).is_ok(), holds, "{now}");
    }
}

#[test]
fn a_claim_that_names_nobody_is_no_principal() {
    let signer = Signer::ec("k");
    let bench = Bench::new(&[signer.public()], &ASYMMETRIC);
    let org = bench.claim("org");
    let of = |claims: &Value| {
        org.verify(&bearing(&signer.sign(claims)), Timestamp::from_unix_ms(NOW * 1000))
    };
    for named in [json!(7), json!(""), json!(null), json!(["alice"]), json!({ "id": "alice" })] {
        let missing = of(&with("org", named.clone()));
        assert!(matches!(missing, Err(Unverified::Missing(_))), "{named}: {missing:?}");
        // Of a registered claim the type is fixed (RFC 7519 §4.1), so some of these are damaged tokens.
        assert!(bench.at(&signer.sign(&with("sub", named.clone())), NOW).is_err(), "{named}");
    }
    assert!(matches!(of(&claims()), Err(Unverified::Missing(_))));
    assert!(matches!(bench.at(&signer.sign(&without("sub")), NOW), Err(Unverified::Missing(_))));
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    let signer = Signer::ec("k");
    let (good, again) = (signer.public(), Signer::ec("k").public());
    let mut private = good.clone();
    private["d"] = json!("c2VjcmV0");
    let mut encrypts = good.clone();
    encrypts["use"] = json!("enc");
    let short = json!({ "kty": "oct", "k": "Wlpa" });
    let hs = [Algorithm::ES256, Algorithm::HS256];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    for (keys, allowed, why) in [
        (vec![], &ASYMMETRIC[..], "none of its 0 keys"),
        (vec![encrypts], &ASYMMETRIC, "none of its 1 keys"),
        (vec![good.clone(), again], &ASYMMETRIC, "two keys go by the id `k`"),
        (vec![private], &ASYMMETRIC, "a private one"),
        (vec![good.clone()], &hs, "names HS256, and no key of kind `oct`"),
        (vec![good.clone(), short], &hs, "names HS256, and no key of kind `oct`"),
    ] {
        write(&path, &keys);
        let said = KeySetFile::open(&path, allowed.to_vec()).unwrap_err().to_string();
        assert!(said.contains(why), "{why}: {said}");
    }
    for text in ["", "{}", "[]", "{\"keys\": {}}"] {
        std::fs::write(&path, text).unwrap();
        assert!(KeySetFile::open(&path, ASYMMETRIC.to_vec()).is_err(), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(KeySetFile::open(&path, ASYMMETRIC.to_vec()).is_err());
    // What a set holds beside is left alone (RFC 7517 §5).
    let unknown = json!({ "kty": "future", "kid": "k" });
    let bench = Bench::new(&[unknown, good], &ASYMMETRIC);
    assert!(bench.at(&signer.sign(&claims()), NOW).is_ok());
}

#[test]
fn a_file_is_followed_and_a_broken_one_changes_nothing() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let bench = Bench::new(&[old.public()], &ASYMMETRIC);
    let holds = |signer: &Signer| bench.at(&signer.sign(&claims()), NOW).is_ok();
    assert_eq!((holds(&old), holds(&new)), (true, false));
    std::fs::write(bench.file(), "{\"keys\": [").unwrap();
    bench.rules.keys.follow();
    assert_eq!((holds(&old), holds(&new)), (true, false), "broken: all stays");
    std::fs::remove_file(bench.file()).unwrap();
    bench.rules.keys.follow();
    assert_eq!((holds(&old), holds(&new)), (true, false), "gone: all stays");
    write(&bench.file(), &[new.public()]);
    bench.rules.keys.follow();
    assert_eq!((holds(&old), holds(&new)), (false, true));
}

#[test]
fn what_is_not_bound_verifies_nobody() {
    let scope = crate::cli::values::scope("jwt:sub").unwrap();
    let semel::http::route::PrincipalSource::Verified(verified) = super::named(&scope) else {
        panic!("a token's claim is verified")
    };
    assert_eq!(verified, Verified::by(super::Unbound("jwt:sub".to_owned())));
    let unbound = super::Unbound(String::new());
    assert!(unbound.verify(&bearing("a.b.c"), Timestamp::ZERO).is_err());
    assert_eq!(unbound.named("alice"), None);
    assert!(super::Principals::default().bind(&scope).is_err());
}
