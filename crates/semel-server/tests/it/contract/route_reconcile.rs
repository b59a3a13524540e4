//! Doubt settled by the route's look-up: by itself, when a caller's retry meets it, and when an operator
//! asks; and that nothing but a clear answer settles anything.

use std::sync::{Arc, Mutex};

use super::{BEGAN_AND_IN_DOUBT, IN_DOUBT, about, charge, key, said};
use crate::harness::client::{Request, ask};
use crate::harness::eventually;
use crate::harness::semel::{Semel, Serve, run, serve};
use crate::harness::upstream::{Act, Script, Seen, Upstream, reply};

/// What the upstream keeps: the key of each charge that it made.
type Books = Arc<Mutex<Vec<String>>>;

/// An upstream that charges, and loses its reply. `answers` is how it answers a look-up, given whether
/// it knows the key that it is asked about.
async fn upstream(answers: fn(bool) -> Script) -> (Upstream, Books) {
    let books = Books::default();
    let kept = Arc::clone(&books);
    let upstream = Upstream::with(move |seen: &Seen, _| {
        let mut books = kept.lock().unwrap();
        if seen.method == "POST" {
            let key = seen.header("idempotency-key").unwrap_or_default().to_owned();
            books.push(key);
            return vec![Act::Close];
        }
        let asked = seen.target.rsplit(['=', '/']).next().unwrap_or_default();
        answers(books.iter().any(|key| key == asked))
    })
    .await;
    (upstream, books)
}

fn json(body: &str) -> Script {
    reply(200, &[("Content-Type", "application/json")], body)
}

/// A list of the charges with this key.
fn list(known: bool) -> Script {
    json(if known { r#"{"data": [{"id": 7, "amount": 12.50}]}"# } else { r#"{"data": []}"# })
}

const BY_LIST: &str = "[defaults]\nreconcile.lookup = \"GET /charges?key={derived_key}\"
reconcile.found = \"/data/0\"\nreconcile.consistent = true\n";

fn looks(upstream: &Upstream) -> Vec<Seen> {
    upstream.seen().into_iter().filter(|seen| seen.method == "GET").collect()
}

async fn state(semel: &Semel, n: u32) -> String {
    ask(semel.addr, &about("GET", n)).await.json()["state"].as_str().unwrap().to_owned()
}

async fn becomes(semel: &Semel, n: u32, wanted: &str) {
    eventually(wanted, || async { (state(semel, n).await == wanted).then_some(()) }).await;
}

#[tokio::test]
async fn what_the_upstream_knows_settles_a_doubt_by_itself() {
    let (upstream, books) = upstream(list).await;
    let semel = serve(upstream.addr).file(BY_LIST).start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    becomes(&semel, 1, "completed").await;
    let told = ask(semel.addr, &charge(1)).await;
    assert_eq!(said(&told), "200 replayed");
    assert_eq!(told.text(), r#"{"id": 7, "amount": 12.50}"#, "as it is written");
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert_eq!(books.lock().unwrap().len(), 1);
    // It asked about the key that the upstream was shown, and about one that nobody ever used.
    let looks = looks(&upstream);
    let target = format!("/charges?key={}", books.lock().unwrap()[0]);
    assert_eq!(looks.len(), 2);
    assert_eq!(looks.iter().filter(|look| look.target == target).count(), 1);
    assert_eq!(looks[0].header("authorization"), None, "nobody's credentials are kept");
    assert_eq!(looks[0].header("host"), Some(upstream.addr.to_string().as_str()));
    let asked = Request::get("/metrics").set("Host", "127.0.0.1");
    let metrics = ask(semel.admin, &asked).await.text();
    assert!(metrics.contains("semel_reconcile_total{result=\"settled\"} 1"), "{metrics}");
}

#[tokio::test]
async fn what_is_not_found_runs_again_only_after_the_grace_and_two_looks() {
    let (upstream, books) = upstream(|_| list(false)).await;
    let semel = serve(upstream.addr).file(BY_LIST).arg("--max-upstream", "3s").start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    // At once nothing is found, and it proves nothing: the upstream may still be at work.
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
    assert_eq!(looks(&upstream).len(), 1);
    becomes(&semel, 1, "absent").await;
    assert!(looks(&upstream).len() >= 3, "{}", looks(&upstream).len());
    assert_eq!(books.lock().unwrap().len(), 1);
    upstream.next(reply(201, &[], "again"));
    let told = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&told).as_str(), told.text().as_str()), ("201 executed", "again"));
}

#[tokio::test]
async fn a_callers_retry_asks_at_once_with_its_own_credentials_and_not_for_ever() {
    let (upstream, _) = upstream(list).await;
    let semel = serve(upstream.addr)
        .file(
            "[defaults]\nforward = \"caller\"\nreconcile.lookup = \"GET /charges/{key}\"
reconcile.found = \"/data/0\"\n",
        )
        .start()
        .await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    // Who has no time to wait has none to ask.
    let hasty = charge(1).header("Prefer", "wait=0");
    assert_eq!(said(&ask(semel.addr, &hasty).await), IN_DOUBT);
    assert_eq!(looks(&upstream).len(), 0);
    // An answer that is none, and then none is asked for until some seconds have passed.
    upstream.next(reply(503, &[], ""));
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
    assert_eq!(looks(&upstream).len(), 1);
    let told = eventually("it is asked again", || async {
        let told = ask(semel.addr, &charge(1)).await;
        (told.status == 200).then_some(told)
    })
    .await;
    assert_eq!(said(&told), "200 replayed");
    let looks = looks(&upstream);
    assert_eq!(looks[1].target, format!("/charges/{}", key(1)));
    assert_eq!(looks[1].header("authorization"), Some("Bearer caller-one"));
    assert_eq!(looks[1].header("idempotency-key"), None);
}

#[tokio::test]
async fn a_look_up_that_does_not_look_at_the_key_is_never_believed() {
    // It passes over what it does not know, and answers with all charges of the shop.
    let (upstream, _) = upstream(|_| list(true)).await;
    let semel = serve(upstream.addr).file(BY_LIST).start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
    semel.says("a look-up finds something for a key that nobody used").await;
    assert_eq!(state(&semel, 1).await, "in-doubt");
}

#[tokio::test]
async fn an_answer_that_is_neither_leaves_the_doubt() {
    for unclear in [
        (|_| reply(500, &[], "")) as fn(bool) -> Script,
        |_| reply(404, &[], ""),
        |_| reply(401, &[], "{\"data\":[]}"),
        |_| json("{\"error\":\"busy\"}"),
        |_| json("{\"data\":["),
        |_| {
            vec![
                Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"data\":".to_vec()),
                Act::Close,
            ]
        },
        |_| vec![Act::Reset],
    ] {
        let (upstream, books) = upstream(unclear).await;
        let semel = serve(upstream.addr).file(BY_LIST).start().await;
        assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
        // The whole grace (lease, upstream, pause) is over: it is no matter of time.
        eventually("it was asked after the grace", || async {
            let looked = ask_now(&semel, 1).await;
            assert!(looked.contains("nothing certain"), "{looked}");
            (looks(&upstream).len() >= 4).then_some(())
        })
        .await;
        assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
        assert_eq!(books.lock().unwrap().len(), 1);
    }
}

async fn ask_now(semel: &Semel, n: u32) -> String {
    let (key, admin) = (key(n), semel.admin.to_string());
    let which = ["--key", &key, "--principal", "Bearer caller-one", "--admin", &admin];
    let ended = run(&[&["keys", "reconcile"], &which[..]].concat()).await;
    format!("{:?} {} {}", ended.code, ended.stdout, ended.stderr)
}

#[tokio::test]
async fn an_operator_asks_at_once_and_is_told_what_came_of_it() {
    let (upstream, _) = upstream(list).await;
    // A look-up that Semel cannot ask by itself.
    let by_caller = "[defaults]\nforward = \"caller\"\nreconcile.lookup = \"GET /c/{key}\"\n";
    let semel = serve(upstream.addr).file(by_caller).start().await;
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    let told = ask_now(&semel, 1).await;
    assert!(told.contains("no look-up is for this key"), "{told}");
    drop(semel);
    let semel = serve(upstream.addr).file(BY_LIST).start().await;
    let told = ask_now(&semel, 2).await;
    assert!(told.contains("not in doubt"), "{told}");
    assert_eq!(said(&ask(semel.addr, &charge(2)).await), BEGAN_AND_IN_DOUBT);
    let told = ask_now(&semel, 2).await;
    assert!(told.contains("settled by what the upstream knows of it"), "{told}");
    assert!(told.contains("completed"), "{told}");
    assert_eq!(said(&ask(semel.addr, &charge(2)).await), "200 replayed");
}

#[tokio::test]
async fn semel_asks_with_headers_of_its_own_from_a_file_as_it_is_now() {
    let (upstream, _) = upstream(|known| match known {
        true => reply(200, &[("Content-Type", "text/plain"), ("X-Charge", "7")], "charged"),
        false => reply(404, &[], ""),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    std::fs::write(&file, "# for look-ups\nAuthorization: Bearer first\nX-Reader: semel\n")
        .unwrap();
    let toml = format!(
        "[defaults]\nreconcile.lookup = \"GET /by-key/{{derived_key}}\"\nreconcile.not_found = [404]
reconcile.header_file = \"{}\"\n",
        file.display()
    );
    let semel = serve(upstream.addr).file(&toml).start().await;
    std::fs::write(&file, "Authorization: Bearer second\n").unwrap();
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), BEGAN_AND_IN_DOUBT);
    let told = ask(semel.addr, &charge(1)).await;
    assert_eq!((said(&told).as_str(), told.text().as_str()), ("200 replayed", "charged"));
    assert_eq!(told.header("x-charge"), Some("7"));
    let look = &looks(&upstream)[0];
    assert_eq!(look.header("authorization"), Some("Bearer second"), "not the caller's");
    assert_eq!(look.header("x-reader"), None);
    assert!(!semel.stderr().contains("second"), "{}", semel.stderr());
}

fn durable(upstream: &Upstream, store: &std::path::Path, toml: &str) -> Serve {
    serve(upstream.addr).embedded(store).file(toml)
}

#[tokio::test]
async fn a_doubt_is_settled_after_a_restart_but_not_by_another_routes_look_up() {
    let (upstream, books) = upstream(list).await;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let semel = durable(&upstream, &store, "").start().await;
    for n in [1, 2] {
        assert_eq!(said(&ask(semel.addr, &charge(n)).await), BEGAN_AND_IN_DOUBT);
    }
    semel.kill().await;
    // One more route takes a part of what the other took when the key was claimed: which of both it
    // would be now, the record alone cannot tell.
    let split = format!("{BY_LIST}[[route]]\npath = \"/v1\"\n");
    let semel = durable(&upstream, &store, &split).start().await;
    let told = ask_now(&semel, 1).await;
    assert!(told.contains("no look-up is for this key"), "{told}");
    assert_eq!(said(&ask(semel.addr, &charge(1)).await), IN_DOUBT);
    assert_eq!(looks(&upstream).len(), 0);
    semel.kill().await;
    // Under the routes that it was claimed on it is known again, now that they have a look-up.
    let semel = durable(&upstream, &store, BY_LIST).start().await;
    for n in [1, 2] {
        becomes(&semel, n, "completed").await;
        assert_eq!(said(&ask(semel.addr, &charge(n)).await), "200 replayed");
    }
    assert_eq!(books.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_look_up_proves_is_published_as_an_assumption() {
    let (upstream, _) = upstream(list).await;
    let semel = serve(upstream.addr).file(BY_LIST).start().await;
    semel.says("GET /charges?key={derived_key} does not find").await;
}
