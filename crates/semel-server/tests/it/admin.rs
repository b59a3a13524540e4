//! The admin listener, and the commands that speak to it.

use serde_json::{Value, json};

use crate::harness::client::{Request, ask};
use crate::harness::eventually;
use crate::harness::semel::{Ended, Semel, run, serve};
use crate::harness::timed;
use crate::harness::upstream::{Act, Upstream};

const BODY: &str = "{\"amount\":1200}";

fn local(request: Request) -> Request {
    request.set("Host", "127.0.0.1")
}

async fn get(semel: &Semel, path: &str) -> crate::harness::client::Reply {
    ask(semel.admin, &local(Request::get(path))).await
}

/// `semel keys VERB ARGS`, against this server.
async fn keys(semel: &Semel, args: &[&str]) -> Ended {
    let admin = semel.admin.to_string();
    let mut all = vec!["keys"];
    all.extend_from_slice(args);
    all.extend_from_slice(&["--admin", &admin, "--json"]);
    run(&all).await
}

fn object(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {:?}", ended.stdout))
}

async fn show(semel: &Semel, key: &str) -> Value {
    let principal = "Bearer caller-one";
    object(&keys(semel, &["show", "--key", key, "--principal", principal]).await)
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    assert_eq!(get(&semel, "/health/live").await.status, 200);
    assert_eq!(get(&semel, "/health/ready").await.json(), json!({ "ready": true }));
    let request = Request::charge("key-0001-abcdefgh", BODY);
    ask(semel.addr, &request).await;
    ask(semel.addr, &request).await;
    ask(semel.addr, &Request::get("/")).await;
    // An execution ends a moment after its reply has left.
    let metrics = eventually("nothing is in flight", || async {
        let metrics = get(&semel, "/metrics").await.text();
        metrics.contains("semel_in_flight 0").then_some(metrics)
    })
    .await;
    for line in [
        "semel_requests_total{answer=\"executed\",status=\"201\"} 1",
        "semel_requests_total{answer=\"replayed\",status=\"201\"} 1",
        "semel_requests_total{answer=\"unkeyed\",status=\"201\"} 1",
        "semel_keyed_requests_total{answer=\"replayed\"} 1",
        "semel_keyed_body_bytes_bucket{le=\"256\"} 2",
        "semel_store_seconds_bucket{call=\"swap\",outcome=\"ok\"",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("key-0001"), "no key is told");
    assert_eq!(get(&semel, "/v1/store").await.json()["kind"], "memory");
}

#[tokio::test]
async fn the_store_tells_what_a_key_takes_and_where_the_disk_will_be() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let semel = serve(upstream.addr).embedded(&home.path().join("data")).start().await;
    let admin = semel.admin.to_string();
    let stats = || async { object(&run(&["store", "stats", "--admin", &admin, "--json"]).await) };
    let told = stats().await;
    assert_eq!(told["forecast"], Value::Null, "nothing was observed");
    assert!(told["outlook"].as_str().unwrap().starts_with("no new key"), "{told}");
    for n in 0..3 {
        let request = Request::charge(&format!("key-2{n:03}-abcdefgh"), BODY);
        ask(semel.addr, &request).await;
        ask(semel.addr, &request).await;
    }
    let told = stats().await;
    let forecast = &told["forecast"];
    assert_eq!(forecast["new_keys"], 3, "a replay is no new key");
    for number in ["keys_a_second", "log_bytes_a_key", "bytes_at_end_of_memory", "free_bytes"] {
        assert!(forecast[number].as_f64() > Some(0.0), "{number}: {told}");
    }
    let outlook = told["outlook"].as_str().unwrap();
    assert!(outlook.contains("as observed over the last") && outlook.contains("30 d"), "{outlook}");
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_reach_it() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    let foreign = Request::get("/v1/keys").set("Host", "evil.test");
    assert_eq!(ask(semel.admin, &foreign).await.status, 403);
    let page = local(Request::get("/v1/keys")).header("Origin", "https://evil.test");
    assert_eq!(ask(semel.admin, &page).await.status, 403);
    let id = "ab".repeat(32);
    let form = local(Request::new("POST", &format!("/v1/keys/{id}/void")));
    assert_eq!(ask(semel.admin, &form).await.status, 415);
    assert_eq!(get(&semel, "/v1/keys").await.json()["keys"], json!([]));
}

#[tokio::test]
async fn where_a_token_is_set_it_must_be_shown() {
    let upstream = Upstream::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a-token-of-some-length\n").unwrap();
    let path = file.path().to_str().unwrap();
    let semel = serve(upstream.addr).arg("--admin-token-file", path).start().await;
    assert_eq!(get(&semel, "/v1/keys").await.status, 401);
    assert_eq!(get(&semel, "/metrics").await.status, 401);
    assert_eq!(get(&semel, "/health/ready").await.status, 200);
    let refused = keys(&semel, &["list"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let listed = keys(&semel, &["list", "--admin-token-file", path]).await;
    assert_eq!((listed.code, listed.stdout.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn keys_are_listed_and_shown_without_what_opens_them() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    for n in 0..3 {
        ask(semel.addr, &Request::charge(&format!("key-1{n:03}-abcdefgh"), BODY)).await;
    }
    let listed = keys(&semel, &["list", "--state", "completed"]).await;
    assert_eq!(listed.stdout.lines().count(), 3, "{}", listed.stderr);
    assert_eq!(keys(&semel, &["list", "--state", "in-doubt"]).await.stdout, "");
    let two = keys(&semel, &["list", "--limit", "2"]).await;
    assert_eq!(two.stdout.lines().count(), 2);
    assert!(two.stderr.contains("raise --limit"));
    let record = show(&semel, "key-1001-abcdefgh").await;
    assert_eq!((&record["state"], &record["status"]), (&json!("completed"), &json!(201)));
    let derived = upstream.seen()[1].header("idempotency-key").unwrap().to_owned();
    assert_eq!(record["derived_key"], json!(derived), "to search the upstream's books by");
    for secret in ["key-1001", "caller-one", "charge"] {
        assert!(!record.to_string().contains(secret), "{record}");
    }
    let other =
        keys(&semel, &["show", "--key", "key-1001-abcdefgh", "--principal", "Bearer x"]).await;
    assert_eq!(other.code, Some(1), "another principal's key is another one");
}

#[tokio::test]
async fn a_key_in_doubt_is_resolved_as_done() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).start().await;
    upstream.next(vec![Act::Reset]);
    let request = Request::charge("key-2000-abcdefgh", BODY);
    ask(semel.addr, &request).await;
    let id = show(&semel, "key-2000-abcdefgh").await["id"].as_str().unwrap().to_owned();
    let unasked = keys(&semel, &["resolve", &id, "--done"]).await;
    assert_eq!(unasked.code, Some(2), "a script must say --yes");
    let done = object(&keys(&semel, &["resolve", &id, "--done", "--status", "201", "--yes"]).await);
    assert_eq!((&done["state"], &done["effect"]), (&json!("completed"), &json!("done")));
    let told = ask(semel.addr, &request).await;
    assert_eq!((told.status, &told.json()["effect"]), (410, &json!("done")));
    let again = keys(&semel, &["resolve", &id, "--released", "--yes"]).await;
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn a_key_in_doubt_is_released_only_after_the_grace() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--max-upstream", "1s").start().await;
    upstream.next(vec![Act::Reset]);
    let request = Request::charge("key-3000-abcdefgh", BODY);
    ask(semel.addr, &request).await;
    let id = show(&semel, "key-3000-abcdefgh").await["id"].as_str().unwrap().to_owned();
    let early = keys(&semel, &["resolve", &id, "--released", "--yes"]).await;
    assert_eq!(early.code, Some(1));
    assert!(early.stderr.contains("not before"), "{}", early.stderr);
    eventually("the grace passes", || async {
        let now = keys(&semel, &["resolve", &id, "--released", "--yes"]).await;
        (now.code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(ask(semel.addr, &request).await.verdict(), Some("executed"));
    assert_eq!(upstream.effects(), 2);
}

#[tokio::test]
async fn keys_are_voided_and_erased_and_each_act_is_noted() {
    let upstream = Upstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit");
    let semel = serve(upstream.addr).arg("--audit-file", audit.to_str().unwrap()).start().await;
    let which = ["--key", "key-4000-abcdefgh", "--principal", "Bearer caller-one", "--yes"];
    let voided = keys(&semel, &[&["void"][..], &which[..]].concat()).await;
    assert_eq!(object(&voided)["state"], "void");
    let refused = ask(semel.addr, &Request::charge("key-4000-abcdefgh", BODY)).await;
    assert_eq!((refused.status, refused.verdict()), (409, Some("void")));
    ask(semel.addr, &Request::charge("key-4001-abcdefgh", BODY)).await;
    let which = ["--key", "key-4001-abcdefgh", "--principal", "Bearer caller-one", "--yes"];
    let erased = keys(&semel, &[&["erase"][..], &which[..]].concat()).await;
    assert_eq!(object(&erased)["state"], "spent");
    assert_eq!(ask(semel.addr, &Request::charge("key-4001-abcdefgh", BODY)).await.status, 410);
    let noted = std::fs::read_to_string(&audit).unwrap();
    let acts: Vec<Value> = noted.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let names: Vec<&Value> = acts.iter().map(|act| &act["act"]).collect();
    assert_eq!(names, ["void", "void-ended", "erase", "erase-ended"]);
    assert_eq!((&acts[0]["who"], &acts[0]["peer"]), (&json!("local"), &json!("127.0.0.1")));
    assert!(!noted.contains("key-400") && !noted.contains("caller-one"), "{noted}");
    assert_eq!(upstream.effects(), 1);
}

/// Operators found keys as the default route reads them: those of other routes were not known, and a void
/// held for nothing.
#[tokio::test]
async fn a_key_is_found_on_the_route_that_reads_it_in_its_own_way() {
    let upstream = Upstream::start().await;
    let file = "[defaults]\nmemory = \"60d\"\n[[route]]\npath = \"/tenants\"\nscope = \"header:X-Tenant\"\nmemory = \"90d\"
[[route]]\npath = \"/put\"\nmatch_methods = [\"PUT\"]\nmethods = [\"PUT\"]\nkey_in = \"header:X-Key\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let charge = |key: &str| Request::post("/tenants", BODY).key(key).header("X-Tenant", "a");
    ask(semel.addr, &charge("key-0001-abcdefgh")).await;
    let named = ["--principal", "a", "--path", "/tenants"];
    let found = keys(&semel, &[&["show", "--key", "key-0001-abcdefgh"], &named[..]].concat()).await;
    assert_eq!(object(&found)["state"], "completed");

    let unnamed = keys(&semel, &["show", "--key", "key-0001-abcdefgh", "--principal", "a"]).await;
    assert_eq!(unnamed.code, Some(2), "{}", unnamed.stderr);
    assert!(unnamed.stderr.contains("--path"), "{}", unnamed.stderr);
    let method = ["--path", "/put", "--method", "PTU"];
    let wrong =
        keys(&semel, &[&["show", "--key", "key-0001-abcdefgh"], &method[..]].concat()).await;
    assert!(wrong.stderr.contains("PTU"), "{}", wrong.stderr);

    let voided = [&["void", "--yes", "--key", "key-0002-abcdefgh"], &named[..]].concat();
    assert_eq!(object(&keys(&semel, &voided).await)["state"], "void");
    let late = ask(semel.addr, &charge("key-0002-abcdefgh")).await;
    assert_eq!(late.json()["code"], "SEM-0207");
    assert_eq!(upstream.effects(), 1);
    // It holds as long as any route remembers.
    let about = Request::new("GET", "/.well-known/idempotency/key?path=/tenants");
    let about = about.key("key-0002-abcdefgh").header("X-Tenant", "a");
    let memory = ask(semel.addr, &about).await.json()["memory"].as_u64().unwrap();
    assert!(memory > 89 * 86_400, "{memory}");
}

/// Operators' voids dropped the key's own time: of one that may have run and been forgotten they said that
/// it never would.
#[tokio::test]
async fn a_void_of_a_key_that_nobody_remembers_is_refused() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/short\"\nretention = \"1h\"\nmemory = \"1h\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let old = timed(-7_200_000, 1);
    let which = ["--key", &old, "--principal", "Bearer caller-one", "--yes"];
    for path in [&[][..], &["--path", "/short"]] {
        let void = keys(&semel, &[&["void"], &which[..], path].concat()).await;
        assert_eq!(void.code, Some(1), "{path:?}: {}{}", void.stdout, void.stderr);
        assert!(void.stderr.contains("own time"), "{}", void.stderr);
    }
    // An id says nothing of when its key was made.
    let unknown = keys(&semel, &["void", &"ab".repeat(32), "--yes"]).await;
    assert_eq!(unknown.code, Some(1), "{}{}", unknown.stdout, unknown.stderr);
    assert!(unknown.stderr.contains("--key"), "{}", unknown.stderr);
    let other = json!({ "key": old, "principal": "Bearer caller-one", "path": "/elsewhere" });
    let path = format!("/v1/keys/{}/void", "ab".repeat(32));
    let wrong = local(Request::post(&path, &other.to_string()));
    assert_eq!(ask(semel.admin, &wrong).await.status, 400, "the id is another key's");
    assert_eq!(get(&semel, "/v1/keys").await.json()["keys"], json!([]));
    let elsewhere = [&["void"], &which[..], &["--path", "/elsewhere"]].concat();
    assert_eq!(object(&keys(&semel, &elsewhere).await)["state"], "void");
}
