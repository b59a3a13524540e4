//! Who may do what at the admin listener, and what is kept of it.

use serde_json::json;

use crate::harness::client::{Reply, Request, ask};
use crate::harness::semel::{Semel, run, serve};
use crate::harness::upstream::Upstream;

const WATCHER: &str = "watcher-token-0123456789";
const FIXER: &str = "fixer-token-0123456789";

/// A server whose operators are in a file, and that file.
async fn guarded(upstream: &Upstream, more: &[(&str, &str)]) -> (Semel, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let tokens = format!("metadata watcher {WATCHER}\nmetadata,resolve fixer {FIXER}\n");
    std::fs::write(&path, tokens).unwrap();
    let mut start = serve(upstream.addr).arg("--admin-token-file", path.to_str().unwrap());
    for (flag, value) in more {
        start = start.arg(flag, value);
    }
    (start.start().await, dir)
}

async fn post(semel: &Semel, token: &str, act: &str, body: &str) -> Reply {
    let path = format!("/v1/keys/{}/{act}", "ab".repeat(32));
    ask(semel.admin, &Request::post(&path, body).set("Host", "127.0.0.1").bearer(token)).await
}

async fn get(semel: &Semel, token: &str, path: &str) -> Reply {
    ask(semel.admin, &Request::get(path).set("Host", "127.0.0.1").bearer(token)).await
}

#[tokio::test]
async fn a_token_does_what_its_roles_say_and_no_more() {
    let upstream = Upstream::start().await;
    let (semel, _dir) = guarded(&upstream, &[]).await;
    assert_eq!(get(&semel, WATCHER, "/v1/keys").await.status, 200);
    assert_eq!(get(&semel, WATCHER, "/metrics").await.status, 200);
    let refused = post(&semel, WATCHER, "void", "{}").await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (403, Some("application/problem+json"))
    );
    assert!(refused.json()["detail"].as_str().unwrap().contains("`resolve`"), "{}", refused.text());
    assert_eq!(post(&semel, FIXER, "void", "{}").await.status, 404, "it may, but nothing is there");
    assert_eq!(post(&semel, FIXER, "erase", "{}").await.status, 403);
    let none = ask(semel.admin, &Request::get("/v1/keys").set("Host", "127.0.0.1")).await;
    assert_eq!((none.status, none.header("www-authenticate").is_some()), (401, true));
    let document = ask(semel.admin, &Request::get("/openapi.json").set("Host", "127.0.0.1")).await;
    assert_eq!(document.json()["openapi"], "3.1.0");
    let method =
        ask(semel.admin, &Request::new("DELETE", "/v1/keys").set("Host", "127.0.0.1")).await;
    assert_eq!((method.status, method.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn a_guesser_is_not_listened_to_and_is_counted_and_logged() {
    let upstream = Upstream::start().await;
    let (semel, _dir) = guarded(&upstream, &[]).await;
    let scraped = get(&semel, WATCHER, "/metrics").await.text();
    assert!(!scraped.contains("semel_admin_refused_total"), "{scraped}");
    for n in 0..10 {
        let guess = format!("guessed-token-of-length-{n}");
        assert_eq!(get(&semel, &guess, "/v1/keys").await.status, 401, "guess {n}");
    }
    let right = get(&semel, FIXER, "/v1/keys").await;
    assert_eq!(right.status, 429, "even where the next guess is right");
    let after: u64 = right.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&after), "{after}");
    semel.says("a wrong admin token was shown").await;
    let said = semel.stderr();
    assert!(!said.contains("guessed-token") && !said.contains(FIXER), "{said}");
    assert_eq!(
        ask(semel.admin, &Request::get("/health/live").set("Host", "localhost")).await.status,
        200
    );
}

#[tokio::test]
async fn the_audit_file_names_who_did_it_and_shows_what_was_changed() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let (audit, store) = (home.path().join("audit"), home.path().join("data"));
    let store = format!("embedded:{}", store.display());
    let file = audit.to_str().unwrap();
    for _ in 0..2 {
        let (semel, _dir) =
            guarded(&upstream, &[("--audit-file", file), ("--store", &store)]).await;
        let id = post(&semel, FIXER, "resolve", r#"{"outcome":"released"}"#).await;
        assert_eq!(id.status, 404);
        assert!(semel.terminate().await.success());
    }
    let verify = ["audit", "verify", file, "--store", &store];
    let right = run(&[&verify[..], &["--last", "4", "--json"]].concat()).await;
    assert_eq!(right.code, Some(0), "{}{}", right.stdout, right.stderr);
    let told: serde_json::Value = serde_json::from_str(&right.stdout).unwrap();
    assert_eq!((&told["last"], &told["faults"]), (&json!(4), &json!([])));
    let cut = run(&[&verify[..], &["--last", "5"]].concat()).await;
    assert_eq!(cut.code, Some(1), "{}", cut.stdout);
    let text = std::fs::read_to_string(&audit).unwrap();
    assert!(text.contains("\"who\":\"fixer\""), "{text}");
    std::fs::write(&audit, text.replacen("fixer", "other", 1)).unwrap();
    let changed = run(&verify).await;
    assert_eq!(changed.code, Some(1), "{}", changed.stderr);
    assert!(changed.stdout.starts_with("line 1: it was changed"), "{}", changed.stdout);
}

#[tokio::test]
async fn an_act_that_cannot_be_noted_is_not_done() {
    let upstream = Upstream::start().await;
    let (semel, _dir) = guarded(&upstream, &[("--audit-file", "/dev/full")]).await;
    let key = json!({ "key": "key-0001-abcdefgh", "principal": "Bearer caller-one" }).to_string();
    let find = Request::post("/v1/keys/find", &key).set("Host", "127.0.0.1").bearer(FIXER);
    let id = ask(semel.admin, &find).await.json()["id"].as_str().unwrap().to_owned();
    let void = Request::post(&format!("/v1/keys/{id}/void"), &key).set("Host", "127.0.0.1");
    let refused = ask(semel.admin, &void.bearer(FIXER)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.json()["detail"].as_str().unwrap().starts_with("nothing was done"));
    let charge = ask(semel.addr, &Request::charge("key-0001-abcdefgh", "{}")).await;
    assert_eq!(charge.verdict(), Some("executed"), "it was not voided");
}
