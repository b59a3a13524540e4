//! A thousand tenants who all choose the same keys, each with a canary in its replies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use semel::http::Route;
use semel::layer::Body;
use tokio::task::JoinSet;

use super::{Chance, INQUIRY, inquiry, number};
use crate::door::{Door, Got, key, post};

const TENANTS: u64 = 1000;
const KEYS: u64 = 40;
/// Requests in the air at once.
const CROWD: usize = 64;

/// What only this tenant may see.
fn canary(tenant: u64) -> String {
    format!("canary-{:016x}", Chance(tenant).next())
}

fn token(tenant: u64) -> String {
    format!("tenant-{tenant}")
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Charge,
    OtherBody,
    Inquire,
    Void,
    Acknowledge,
}

fn ask(chance: &mut Chance) -> Ask {
    match chance.below(100) {
        0..70 => Ask::Charge,
        70..80 => Ask::OtherBody,
        80..96 => Ask::Inquire,
        96..98 => Ask::Void,
        _ => Ask::Acknowledge,
    }
}

/// A handler that tells each tenant its canary, fails for one key in ten, and has no answer for another.
fn handler(
    effects: Arc<Vec<AtomicU32>>,
) -> impl Fn(Request<Body>) -> std::future::Ready<Response<Full<Bytes>>> + Clone {
    move |request| {
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        let tenant: u64 =
            header("authorization").trim_start_matches("Bearer tenant-").parse().unwrap();
        let n: u64 = header("x-number").parse().unwrap();
        effects[usize::try_from(tenant * KEYS + n).unwrap()].fetch_add(1, Ordering::SeqCst);
        assert!(n % 10 != 9, "this key's handler breaks down over {}", canary(tenant));
        let status = if n % 10 == 8 { 500 } else { 201 };
        let reply = Response::builder().status(status).header("x-canary", canary(tenant));
        std::future::ready(reply.body(Full::from(format!("{} and more", canary(tenant)))).unwrap())
    }
}

/// Every canary that is seen is the caller's own; true when it was seen.
fn own_canary(got: &Got, tenant: u64, asked: Ask) -> bool {
    let seen = format!("{:?} {}", got.headers, String::from_utf8_lossy(&got.body));
    let own = canary(tenant);
    let foreign = seen.match_indices("canary-").find(|(at, _)| !seen[*at..].starts_with(&own));
    assert_eq!(foreign, None, "tenant {tenant}, {asked:?}: {seen}");
    seen.contains(&own)
}

async fn sent(door: Arc<Door>, tenant: u64, n: u64, asked: Ask) -> (String, bool) {
    let (number, token) = (u32::try_from(n).unwrap(), token(tenant));
    let (bearer, n) = (format!("Bearer {token}"), n.to_string());
    let headers = [("authorization", bearer.as_str()), ("x-number", n.as_str())];
    let got = match asked {
        Ask::Charge => door.send(post(number, &headers, "1200")).await,
        Ask::OtherBody => door.send(post(number, &headers, "other")).await,
        Ask::Inquire => door.send(inquiry("GET", INQUIRY, &key(number), &token)).await,
        Ask::Void => door.send(inquiry("DELETE", INQUIRY, &key(number), &token)).await,
        Ask::Acknowledge => {
            let path = format!("{INQUIRY}/ack");
            door.send(inquiry("POST", &path, &key(number), &token)).await
        }
    };
    let seen = own_canary(&got, tenant, asked);
    let told = matches!(got.word(), "executed" | "replayed");
    assert_eq!(told, seen, "tenant {tenant}, {asked:?}: {got:?}");
    (format!("{asked:?} {} {}", got.status, got.word()), seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tenants_with_the_same_keys_see_no_canary_but_their_own() {
    let (operations, mut chance) = (number("SEMEL_SECRECY", 20_000), Chance::seeded());
    let slots = usize::try_from(TENANTS * KEYS).unwrap();
    let effects: Arc<Vec<AtomicU32>> = Arc::new((0..slots).map(|_| AtomicU32::new(0)).collect());
    let door = Arc::new(Door::new(Route::default(), handler(Arc::clone(&effects))).await);
    let (mut crowd, mut counts, mut seen) = (JoinSet::new(), BTreeMap::new(), 0_u64);
    for n in 0..operations + CROWD as u64 {
        if n >= CROWD as u64 {
            let (word, own) = crowd.join_next().await.expect("somebody is there").unwrap();
            *counts.entry(word).or_insert(0_u64) += 1;
            seen += u64::from(own);
        }
        if n < operations {
            // A few tenants do most of the traffic, so that keys are met again.
            let spread = if chance.below(2) == 0 { 20 } else { TENANTS };
            let (tenant, key) = (chance.below(spread), chance.below(KEYS));
            crowd.spawn(sent(Arc::clone(&door), tenant, key, ask(&mut chance)));
        }
    }
    println!(
        "{operations} operations of {TENANTS} tenants: {seen} canaries seen by their owners, 0 by others"
    );
    println!("{counts:#?}");
    assert!(effects.iter().all(|effects| effects.load(Ordering::SeqCst) <= 1), "a key ran twice");
    let words = counts.keys().filter_map(|word| word.split(' ').next_back());
    let words: std::collections::BTreeSet<&str> = words.collect();
    for word in ["executed", "replayed", "mismatch", "in-doubt", "void", "spent"] {
        assert!(words.contains(word), "{word} was never said: {words:?}");
    }
}
