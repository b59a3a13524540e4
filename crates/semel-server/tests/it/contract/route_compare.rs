//! What a route of the file compares, and how much of a body it takes.

use super::{REUSED, charge, said};
use crate::harness::client::{Request, ask};
use crate::harness::semel::{Semel, serve};
use crate::harness::upstream::{Upstream, reply};

const FILE: &str =
    "[[route]]\npath = \"/exclude\"\nfingerprint.exclude = [\"/sent_at\", \"/items/0/seen\"]
[[route]]\npath = \"/include\"\nfingerprint.include = [\"/amount\"]
[[route]]\npath = \"/headers\"\nfingerprint.headers = [\"X-Tenant\"]
[[route]]\npath = \"/bytes\"\n[route.fingerprint]\njson = \"bytes\"\nforms = \"bytes\"
[[route]]\npath = \"/exact\"\nfingerprint.numbers = \"exact-spelling\"
[[route]]\npath = \"/small\"\nbody_max = \"1KiB\"\nreply_max = 16
[[route]]\npath = \"/spool\"\nbody_memory_max = 8\n";

fn to(path: &str, n: u32, body: &str) -> Request {
    Request { target: path.to_owned(), ..charge(n) }.body(body)
}

/// What is said to `other` after `one` has run.
async fn second(semel: &Semel, one: Request, other: Request) -> String {
    assert_eq!(said(&ask(semel.addr, &one).await), "201 executed");
    said(&ask(semel.addr, &other).await)
}

#[tokio::test]
async fn members_are_left_out_or_named_alone_and_headers_added() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let first = "{\"amount\":1,\"sent_at\":1,\"items\":[{\"seen\":1,\"id\":1}]}";
    for (n, path, other, told) in [
        (1, "/exclude", "{\"items\":[{\"id\":1}],\"amount\":1.0,\"sent_at\":9}", "201 replayed"),
        (2, "/exclude", "{\"amount\":2,\"sent_at\":1,\"items\":[{\"seen\":1,\"id\":1}]}", REUSED),
        (3, "/exclude", "{\"amount\":1,\"sent_at\":1,\"items\":[{\"seen\":1,\"id\":2}]}", REUSED),
        (4, "/include", "{\"amount\":1,\"other\":true}", "201 replayed"),
        (5, "/include", "{\"amount\":2}", REUSED),
    ] {
        let told_now = second(&semel, to(path, n, first), to(path, n, other)).await;
        assert_eq!(told_now, told, "{path} {other}");
    }
    let tenant = |n, name: &str| to("/headers", n, first).header("X-Tenant", name);
    assert_eq!(second(&semel, tenant(6, "a"), tenant(6, "a")).await, "201 replayed");
    assert_eq!(second(&semel, tenant(7, "a"), tenant(7, "b")).await, REUSED);
    assert_eq!(second(&semel, tenant(8, "a"), to("/headers", 8, first)).await, REUSED);
    let told = ask(semel.addr, &tenant(7, "b")).await.json();
    assert_eq!(told["differs"], serde_json::json!(["headers"]));
    assert_eq!(upstream.effects(), 8);
}

#[tokio::test]
async fn bytes_and_the_spelling_of_numbers_count_where_the_route_says_so() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    for (n, path, other, told) in [
        (1, "/bytes", "{\"a\": 1,\"b\":2}", REUSED),
        (2, "/bytes", "{\"a\":1,\"b\":2}", "201 replayed"),
        (3, "/exact", "{ \"b\":2,\"a\":1}", "201 replayed"),
        (4, "/exact", "{\"a\":1.0,\"b\":2}", REUSED),
        (5, "/elsewhere", "{\"b\":2e0,\"a\":1.0}", "201 replayed"),
    ] {
        let first = to(path, n, "{\"a\":1,\"b\":2}");
        assert_eq!(second(&semel, first, to(path, n, other)).await, told, "{path} {other}");
    }
    let form = |path: &str, n, body: &str| {
        to(path, n, body).set("Content-Type", "application/x-www-form-urlencoded")
    };
    for (n, path, told) in [(6, "/bytes", REUSED), (7, "/elsewhere", "201 replayed")] {
        let (one, other) = (form(path, n, "a=%62"), form(path, n, "a=b"));
        assert_eq!(second(&semel, one, other).await, told, "{path}");
    }
}

#[tokio::test]
async fn each_route_has_its_own_bounds_of_bodies_and_replies() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let large = "x".repeat(1025);
    let plain = |path, n| to(path, n, &large).set("Content-Type", "text/plain");
    let refused = ask(semel.addr, &plain("/small", 1)).await;
    assert_eq!(said(&refused), "413 refused SEM-0107 unknown not-run never");
    assert_eq!(refused.json()["limit"], 1024);
    assert_eq!(said(&ask(semel.addr, &plain("/elsewhere", 1)).await), "201 executed");
    for (path, n, told) in [
        ("/small", 2, "410 spent SEM-0205 unknown not-run never"),
        ("/elsewhere", 3, "201 replayed"),
    ] {
        upstream.next(reply(201, &[], "seventeen bytes!!"));
        assert_eq!(second(&semel, to(path, n, "{}"), to(path, n, "{}")).await, told, "{path}");
    }
    // What is spooled goes on whole, and compares by its bytes.
    let body = "{\"amount\": 1200}";
    assert_eq!(second(&semel, to("/spool", 4, body), to("/spool", 4, body)).await, "201 replayed");
    assert_eq!(upstream.seen().last().unwrap().body, body.as_bytes());
    let other = to("/spool", 4, "{\"amount\":1200 }");
    assert_eq!(said(&ask(semel.addr, &other).await), REUSED);
}
