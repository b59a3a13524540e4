//! An inquiry where routes read keys, or whose they are, in ways of their own.
//!
//! It was judged by the default route: a key of another principal was called absent though it had run, and
//! a void held for nothing.

use super::{BODY, INQUIRY, key, said};
use crate::harness::client::{Request, ask};
use crate::harness::semel::{Semel, serve};
use crate::harness::timed;
use crate::harness::upstream::Upstream;

const UNNAMED: &str = "400 refused SEM-0111 unknown not-run never";
const FILE: &str =
    "[[route]]\npath = \"/tenants\"\nscope = \"header:X-Tenant\"\n[[route]]\npath = \"/uuid\"
key_format = \"uuid\"\n[[route]]\npath = \"/put\"\nmatch_methods = [\"PUT\"]\nmethods = [\"PUT\"]
key_in = \"header:X-Key\"\nscope = \"header:X-Tenant\"\n";

fn asking(method: &str, query: &str, n: u32) -> Request {
    Request::new(method, &format!("{INQUIRY}{query}")).key(&key(n)).bearer("caller-one")
}

async fn state(semel: &Semel, request: &Request) -> String {
    let told = ask(semel.addr, request).await;
    assert_eq!(told.status, 200, "{}", told.text());
    told.json()["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_is_refused_until_it_names_the_route_that_it_is_about() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let tenant = |n| {
        Request::post("/tenants/7", BODY).key(&key(n)).header("X-Tenant", "a").bearer("caller-one")
    };
    assert_eq!(said(&ask(semel.addr, &tenant(1)).await), "201 executed");
    for method in ["GET", "DELETE"] {
        let refused = ask(semel.addr, &asking(method, "", 1).header("X-Tenant", "a")).await;
        assert_eq!(said(&refused), UNNAMED, "{method}");
    }
    let named = asking("GET", "?path=/tenants/7", 1).header("X-Tenant", "a");
    assert_eq!(state(&semel, &named).await, "completed");
    let encoded = asking("GET", "?path=%2Ftenants", 1).header("X-Tenant", "a");
    assert_eq!(state(&semel, &encoded).await, "completed");
    // Another tenant's key looks like an unknown one, and on another route it is one.
    let other = asking("GET", "?path=/tenants", 1).header("X-Tenant", "b");
    assert_eq!(state(&semel, &other).await, "absent");
    assert_eq!(state(&semel, &asking("GET", "?path=/elsewhere", 1)).await, "absent");
    let nobody = ask(semel.addr, &asking("GET", "?path=/tenants", 1)).await;
    assert_eq!(said(&nobody), "400 refused SEM-0105 unknown not-run never");
}

#[tokio::test]
async fn a_void_holds_on_the_route_that_it_names() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).file(FILE).start().await;
    let void = asking("DELETE", "?path=/tenants", 1).header("X-Tenant", "a");
    assert_eq!(state(&semel, &void).await, "void");
    let late = Request::post("/tenants", BODY).key(&key(1)).header("X-Tenant", "a");
    assert_eq!(said(&ask(semel.addr, &late).await), super::VOID);
    let put = Request::new("PUT", "/put").header("X-Key", &key(2)).header("X-Tenant", "a");
    assert_eq!(said(&ask(semel.addr, &put).await), "201 executed");
    let about_put = |query: &str| {
        Request::new("GET", &format!("{INQUIRY}{query}"))
            .header("X-Key", &key(2))
            .header("X-Tenant", "a")
    };
    assert_eq!(state(&semel, &about_put("?path=/put&method=PUT")).await, "completed");
    let ack = Request::new("POST", &format!("{INQUIRY}/ack?path=/put&method=PUT"));
    let ack = ack.header("X-Key", &key(2)).header("X-Tenant", "a");
    assert_eq!(ask(semel.addr, &ack).await.status, 204);
    assert_eq!(state(&semel, &about_put("?path=/put&method=PUT")).await, "spent");
    assert_eq!(upstream.effects(), 1);
}

#[tokio::test]
async fn where_all_routes_read_the_key_alike_none_needs_to_be_named() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/uuid\"\nkey_format = \"uuid\"\n[[route]]\npath = \"/watch\"
mode = \"observe\"\nscope = \"header:X-Tenant\"\n[[route]]\npath = \"/body\"\nkey_in = \"body:/key\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let upper = key(1).to_ascii_uppercase();
    let charge = Request::post("/uuid", BODY).key(&upper).bearer("caller-one");
    assert_eq!(said(&ask(semel.addr, &charge).await), "201 executed");
    assert_eq!(state(&semel, &asking("GET", "", 1)).await, "completed");
    // In capitals it is another key elsewhere.
    let capitals = asking("GET", "", 1).key(&upper);
    assert_eq!(said(&ask(semel.addr, &capitals).await), UNNAMED);
    let capitals = asking("GET", "?path=/uuid", 1).key(&upper);
    assert_eq!(state(&semel, &capitals).await, "completed");
    // No UUID, so of no such route.
    let other = asking("GET", "", 1).key("order-7-Zk93JsT0qLx2");
    assert_eq!(state(&semel, &other).await, "absent");
}

#[tokio::test]
async fn a_route_that_is_named_wrongly_is_not_guessed() {
    let upstream = Upstream::start().await;
    let file = "[defaults]\nmethods = [\"POST\", \"PATCH\"]\n[[route]]\npath = \"/put\"\nmatch_methods = [\"PUT\"]
methods = [\"PUT\"]\nkey_in = \"header:X-Key\"\nscope = \"header:X-Tenant\"\n[[route]]
path = \"/free\"\nrequired = \"off\"\n[[route]]\npath = \"/watch\"\nmode = \"observe\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let about =
        |query: &str| asking("GET", query, 1).header("X-Key", &key(1)).header("X-Tenant", "a");
    for (query, told) in [
        // PUT is read in one way there and POST in another.
        ("?path=/put", "names no method"),
        ("?path=/put&method=PTU", "PTU"),
        ("?path=/put&method=P%20T", "method"),
        ("?path=/put&method=put", "Did you mean `PUT`?"),
        ("?path=/put&method=GET", "GET"),
        ("?path=/elsewhere&method=DELETE", "DELETE"),
        ("?path=/free", "/free"),
        ("?path=/watch", "/watch"),
        ("?path=put", "begin with `/`"),
        ("?path=", "begin with `/`"),
        ("?path=/put?x=1&method=PUT", "query"),
        ("?path=/put&path=/elsewhere&method=PUT", "twice"),
        ("?path=/put&method=PUT&method=POST", "twice"),
        ("?method=PUT", "names no path"),
    ] {
        for verb in ["GET", "DELETE"] {
            let refused =
                ask(semel.addr, &Request { method: verb.to_owned(), ..about(query) }).await;
            assert_eq!(said(&refused), UNNAMED, "{verb} {query}: {}", refused.text());
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(told), "{query}: {told:?} is not in {detail:?}");
        }
    }
    for query in ["?path=/put&method=PUT", "?path=/put&method=POST", "?path=/elsewhere"] {
        assert_eq!(state(&semel, &about(query)).await, "absent", "{query}");
    }
    assert_eq!(upstream.effects(), 0);
}

const TOO_OLD: &str = "410 refused SEM-0206 unknown not-run never";
const HOUR: i64 = 3_600_000;

/// The longest memory of all routes judged it: of a key that may have run on a route and been forgotten
/// there, an inquiry said that nothing had happened, and a void that nothing ever would.
#[tokio::test]
async fn a_timed_key_is_judged_by_the_memory_of_the_route_that_it_is_about() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/short\"\nretention = \"1h\"\nmemory = \"1h\"\n[[route]]\npath = \"/off\"
required = \"off\"\nretention = \"90d\"\nmemory = \"90d\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let old = timed(-2 * HOUR, 1);
    let charge = Request::post("/short", BODY).key(&old).bearer("caller-one");
    assert_eq!(said(&ask(semel.addr, &charge).await), TOO_OLD);
    // Where no route is named it may be about any that forgets.
    for query in ["?path=/short", "?path=/short&method=POST", ""] {
        let inquiry = asking("GET", query, 1).key(&old);
        assert_eq!(state(&semel, &inquiry).await, "too-old", "{query}");
        let void = asking("DELETE", query, 1).key(&old);
        assert_eq!(said(&ask(semel.addr, &void).await), TOO_OLD, "{query}");
    }
    let elsewhere = asking("GET", "?path=/elsewhere", 1).key(&old);
    assert_eq!(state(&semel, &elsewhere).await, "absent");
    // A void holds as long as any route remembers on which keys count.
    let young = timed(-HOUR / 2, 2);
    assert_eq!(state(&semel, &asking("DELETE", "?path=/short", 1).key(&young)).await, "void");
    let known = ask(semel.addr, &asking("GET", "?path=/short", 1).key(&young)).await.json();
    let days = known["memory"].as_u64().unwrap() / 86_400;
    assert!((29..=30).contains(&days), "{known}");
    assert_eq!(upstream.effects(), 0);
}

#[tokio::test]
async fn two_keys_of_two_routes_in_one_inquiry_are_not_guessed_between() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/x\"\nkey_in = \"header:X-Key\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let charge = Request::post("/x", BODY).header("X-Key", &key(2)).bearer("caller-one");
    assert_eq!(said(&ask(semel.addr, &charge).await), "201 executed");
    for method in ["GET", "DELETE"] {
        let both = asking(method, "", 1).header("X-Key", &key(2));
        assert_eq!(said(&ask(semel.addr, &both).await), UNNAMED, "{method}");
    }
    let named = asking("GET", "?path=/x", 1).header("X-Key", &key(2));
    assert_eq!(state(&semel, &named).await, "completed");
    // A key is the same key in whichever header it came.
    assert_eq!(state(&semel, &asking("GET", "", 2)).await, "completed");
}
