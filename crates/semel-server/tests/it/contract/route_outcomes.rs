//! What a route of the file makes of time, statuses, quotas and credentials.

use super::{BEGAN_AND_IN_DOUBT, BODY, IN_DOUBT, IN_FLIGHT, about, charge, key, said};
use crate::harness::Gate;
use crate::harness::client::{Client, Request, ask};
use crate::harness::eventually;
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream, after, reply};

const QUOTA: &str = "429 refused SEM-0501 unknown not-run same-key";

fn to(path: &str, n: u32) -> Request {
    Request { target: path.to_owned(), ..charge(n) }
}

#[tokio::test]
async fn a_route_bounds_the_wait_of_its_own_duplicates() {
    let upstream = Upstream::start().await;
    let file =
        "[[route]]\npath = \"/quick\"\nwait = \"0s\"\n[[route]]\npath = \"/slow\"\nwait = \"1s\"\n";
    let semel = serve(upstream.addr).arg("--wait", "20s").file(file).start().await;
    let gate = Gate::closed();
    for n in [1, 2, 3] {
        upstream.next(after(&gate, reply(201, &[], "paid")));
        let path = ["/quick", "/slow", "/patient"][n as usize - 1];
        let mut first = Client::connect(semel.addr).await;
        first.request(&to(path, n)).await;
        gate.reached(1).await;
    }
    assert_eq!(said(&ask(semel.addr, &to("/quick", 1)).await), IN_FLIGHT);
    // A wish is capped by the route's own bound.
    for (path, n, applied) in [("/quick", 1, "wait=0"), ("/slow", 2, "wait=1")] {
        let told = ask(semel.addr, &to(path, n).header("Prefer", "wait=9")).await;
        assert_eq!(said(&told), IN_FLIGHT, "{path}");
        assert_eq!(told.header("preference-applied"), Some(applied), "{path}");
    }
    let mut waiting = Client::connect(semel.addr).await;
    waiting.request(&to("/patient", 3)).await;
    gate.open();
    assert_eq!(said(&waiting.reply("POST").await.unwrap()), "201 replayed");
    assert_eq!(upstream.effects(), 3);
}

#[tokio::test]
async fn a_route_says_which_statuses_prove_that_nothing_happened_and_which_leave_it_open() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/own\"\nno_effect = [402, 409]\ndoubt_on = [500]\n";
    let semel = serve(upstream.addr).file(file).start().await;
    for (n, path, status, first, second) in [
        (1, "/own", 402, "402 released", "201 executed"),
        (2, "/own", 409, "409 released", "201 executed"),
        (3, "/own", 429, "429 executed", "429 replayed"),
        (4, "/own", 503, "503 executed", "503 replayed"),
        (5, "/own", 500, "500 in-doubt", IN_DOUBT),
        (6, "/rest", 402, "402 executed", "402 replayed"),
        (7, "/rest", 429, "429 released", "201 executed"),
        (8, "/rest", 500, "500 executed", "500 replayed"),
        (9, "/rest", 503, "503 in-doubt", IN_DOUBT),
    ] {
        upstream.next(reply(status, &[], "no"));
        assert_eq!(said(&ask(semel.addr, &to(path, n)).await), first, "{path} {status}");
        assert_eq!(said(&ask(semel.addr, &to(path, n)).await), second, "{path} {status}");
    }
    let published = ask(semel.addr, &Request::get("/.well-known/idempotency")).await.json();
    let assumed = published["routes"][0]["assumptions"][0].as_str().unwrap();
    assert!(assumed.contains("402 or 409"), "{assumed}");
}

#[tokio::test]
async fn the_callers_own_key_goes_on_where_the_route_says_so() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/own\"\nforward = \"caller\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let forging = to("/own", 1).header("Idempotency-Attempt", "7").header("Idempotency-Fence", "9");
    assert_eq!(said(&ask(semel.addr, &forging).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &to("/rest", 2)).await), "201 executed");
    let seen = upstream.seen();
    assert_eq!(seen[0].all("idempotency-key"), [key(1)]);
    assert_eq!(seen[0].all("idempotency-attempt"), ["1"]);
    assert_ne!(seen[0].all("idempotency-fence"), ["9"], "Semel's own");
    assert_ne!(seen[1].all("idempotency-key"), [key(2)]);
}

#[tokio::test]
async fn a_full_quota_turns_new_keys_away_and_answers_known_ones_as_ever() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/few\"\nquota.keys = \"2/1h\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    for n in [1, 2] {
        assert_eq!(said(&ask(semel.addr, &to("/few", n)).await), "201 executed");
    }
    let refused = ask(semel.addr, &to("/few", 3)).await;
    assert_eq!(said(&refused), QUOTA);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&after), "when the window ends: {after}");
    assert_eq!(said(&ask(semel.addr, &to("/few", 1)).await), "201 replayed");
    assert_eq!(
        ask(semel.addr, &about("GET", 3)).await.json()["state"],
        "absent",
        "nothing is claimed"
    );
    // Another principal, another route.
    assert_eq!(said(&ask(semel.addr, &to("/few", 3).bearer("caller-two")).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &to("/rest", 4)).await), "201 executed");
    // A released key gives no place back: it has run.
    assert_eq!(upstream.effects(), 4);
}

#[tokio::test]
async fn executions_at_once_bytes_and_keys_in_a_second_are_bounded_for_each_principal() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/once\"\nquota.in_flight = 1\n[[route]]\npath = \"/bytes\"
quota.bytes = \"1/1h\"\n[[route]]\npath = \"/slow\"\nquota.per_second = 1\n";
    let semel = serve(upstream.addr).file(file).start().await;
    // Its caller leaves, and it runs on.
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "late")));
    let mut first = Client::connect(semel.addr).await;
    first.request(&to("/once", 1)).await;
    gate.reached(1).await;
    first.reset();
    assert_eq!(said(&ask(semel.addr, &to("/once", 2)).await), QUOTA);
    assert_eq!(said(&ask(semel.addr, &to("/once", 2).bearer("caller-two")).await), "201 executed");
    gate.open();
    eventually("there is room again", || async {
        (said(&ask(semel.addr, &to("/once", 2)).await) == "201 executed").then_some(())
    })
    .await;

    assert_eq!(said(&ask(semel.addr, &to("/bytes", 3)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &to("/bytes", 4)).await), QUOTA);
    assert_eq!(said(&ask(semel.addr, &to("/bytes", 3)).await), "201 replayed");

    assert_eq!(said(&ask(semel.addr, &to("/slow", 5)).await), "201 executed");
    let refused = ask(semel.addr, &to("/slow", 6)).await;
    assert_eq!((said(&refused).as_str(), refused.header("retry-after")), (QUOTA, Some("1")));
    eventually("a second passes", || async {
        (said(&ask(semel.addr, &to("/slow", 6)).await) == "201 executed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replay_is_asked_about_first_and_a_no_is_passed_on() {
    let upstream = Upstream::with(|seen, n| match seen.header("authorization") {
        Some("Bearer gone") if seen.target == "/me" => reply(403, &[("X-Why", "left")], "who?"),
        _ if seen.target == "/me" => reply(204, &[], ""),
        _ => reply(201, &[], format!("charge {n}")),
    })
    .await;
    let file = "[defaults]\nscope = \"header:X-Customer\"\n[[route]]\npath = \"/v1/charges\"\nreauthorize = \"GET /me\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let by = |token: &str| charge(1).bearer(token).header("X-Customer", "7");
    assert_eq!(said(&ask(semel.addr, &by("here")).await), "201 executed");
    assert_eq!(upstream.effects_at("/me"), 0, "not before an execution");
    assert_eq!(said(&ask(semel.addr, &by("here")).await), "201 replayed");
    let refused = ask(semel.addr, &by("gone")).await;
    assert_eq!((said(&refused).as_str(), refused.text().as_str()), ("403 refused", "who?"));
    assert_eq!(refused.header("x-why"), Some("left"));
    assert_eq!(said(&ask(semel.addr, &by("here")).await), "201 replayed", "the record stays");
    let asked: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.target == "/me").collect();
    assert_eq!(asked.len(), 3);
    for asked in &asked {
        assert_eq!((asked.method.as_str(), asked.body.len()), ("GET", 0));
        assert_eq!(
            (asked.header("x-customer"), asked.header("host")),
            (Some("7"), Some("shop.test"))
        );
        let of_the_request = ["idempotency-key", "idempotency-attempt", "content-type"];
        assert_eq!(of_the_request.map(|name| asked.header(name)), [None; 3]);
    }
    assert_eq!(upstream.effects_at("/v1/charges"), 1);
}

#[tokio::test]
async fn what_may_have_been_lost_runs_again_under_the_same_key_where_the_route_says_so() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let file =
        "[[route]]\npath = \"/again\"\non_lapse = \"rerun\"\nattempts_max = 3\nwait = \"0s\"\n";
    let server = || serve(upstream.addr).embedded(&home.path().join("data")).file(file);
    let semel = server().start().await;
    // Its executor dies.
    let gate = Gate::closed();
    upstream.next(after(&gate, reply(201, &[], "late")));
    let mut lost = Client::connect(semel.addr).await;
    lost.request(&to("/again", 1)).await;
    gate.reached(1).await;
    semel.kill().await;
    gate.open();
    // No reply comes: in doubt for who began it, and the retry runs it again.
    let semel = server().start().await;
    upstream.next(vec![Act::Reset]);
    let told = eventually("the lease has ended", || async {
        let told = said(&ask(semel.addr, &to("/again", 1)).await);
        (told != IN_FLIGHT).then_some(told)
    })
    .await;
    assert_eq!(told, BEGAN_AND_IN_DOUBT);
    assert_eq!(said(&ask(semel.addr, &to("/again", 1)).await), "201 executed");
    assert_eq!(said(&ask(semel.addr, &to("/again", 1)).await), "201 replayed");
    let seen = upstream.seen();
    let header = |name: &str| seen.iter().map(|s| s.header(name).unwrap()).collect::<Vec<_>>();
    assert_eq!(header("idempotency-attempt"), ["1", "2", "3"]);
    let keys = header("idempotency-key");
    assert!(keys.iter().all(|key| key == &keys[0]), "the same at each attempt: {keys:?}");

    // Not more often than the route allows, and not on another route.
    for path in ["/again", "/rest"] {
        let n = if path == "/again" { 2 } else { 3 };
        let most = if path == "/again" { 3 } else { 1 };
        for _ in 0..most {
            upstream.next(vec![Act::Close]);
            assert_eq!(said(&ask(semel.addr, &to(path, n)).await), BEGAN_AND_IN_DOUBT, "{path}");
        }
        assert_eq!(said(&ask(semel.addr, &to(path, n)).await), IN_DOUBT, "{path}");
    }
    assert_eq!(upstream.effects(), 3 + 3 + 1);
}

#[tokio::test]
async fn a_route_holds_a_claim_and_keeps_a_reply_as_long_as_it_says() {
    let upstream = Upstream::start().await;
    let file = "[[route]]\npath = \"/short\"\nretention = \"2s\"\nmemory = \"1h\"\n[[route]]\npath = \"/ever\"
retention = \"forever\"\nmemory = \"forever\"\n";
    let semel = serve(upstream.addr).file(file).start().await;
    let kept = |reply: &crate::harness::client::Reply| {
        (super::parameter(reply, "retention"), super::parameter(reply, "memory"))
    };
    let some = |text: &str| Some(text.to_owned());
    let first =
        ask(semel.addr, &Request::post("/short", BODY).key(&key(1)).bearer("caller-one")).await;
    assert_eq!(kept(&first), (some("2"), some("3600")));
    let ever = ask(semel.addr, &to("/ever", 2)).await;
    let default = ask(semel.addr, &to("/rest", 3)).await;
    assert_eq!(kept(&default), (some("86400"), some("2592000")));
    assert_ne!(kept(&ever), kept(&default), "{:?}", ever.headers);
    eventually("the reply is no longer kept", || async {
        (ask(semel.addr, &to("/short", 1)).await.status == 410).then_some(())
    })
    .await;
    assert_eq!(said(&ask(semel.addr, &to("/rest", 3)).await), "201 replayed");
    assert_eq!(upstream.effects(), 3);
}
