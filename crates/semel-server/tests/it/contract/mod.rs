//! Each row of the HTTP contract that a gateway can show, over real sockets: what the caller is
//! told, and how often the upstream was asked.

mod broken_store;
mod browsers;
mod canary;
mod crowd;
mod disk;
mod framing;
mod inquiry;
mod keys;
mod late;
mod leaving;
mod observed;
mod outcomes;
mod payload;
mod route_compare;
mod route_inquiry;
mod route_keys;
mod route_outcomes;
mod route_reconcile;
mod route_rerun;
mod scope;
mod stored;
mod streams;
mod tokens;
mod verbs;
mod waiting;

use crate::harness::client::{Reply, Request};

/// The body of the usual charge.
const BODY: &str = "{\"amount\":1200,\"currency\":\"eur\"}";

/// The inquiry's path.
const INQUIRY: &str = "/.well-known/idempotency/key";

/// A keyed charge; `n` makes the key, which has bits enough to be no weak one.
fn charge(n: u32) -> Request {
    Request::charge(&key(n), BODY)
}

fn key(n: u32) -> String {
    format!("8e03978e-40d5-43dd-bc93-{n:012}")
}

/// An inquiry, void or acknowledgement about `n`'s key, by the same caller.
fn about(method: &str, n: u32) -> Request {
    let path = if method == "POST" { format!("{INQUIRY}/ack") } else { INQUIRY.to_owned() };
    Request::new(method, &path).key(&key(n)).bearer("caller-one")
}

/// A reply in one line. Of a handler: `201 executed`. Of Semel itself, after checking the frame of the
/// problem: `409 in-doubt SEM-0203 unknown ran same-key`, where `ran` says that this request began
/// something and `not-run` that it did not.
fn said(reply: &Reply) -> String {
    let word = reply.verdict().unwrap_or("-");
    if reply.header("content-type") != Some("application/problem+json") {
        return format!("{} {word}", reply.status);
    }
    let told = reply.json();
    let text = |name: &str| told[name].as_str().unwrap_or("?").to_owned();
    assert_eq!(told["status"], reply.status, "the status in the body is the reply's: {told}");
    let slug = text("type");
    let slug = slug.strip_prefix("/.well-known/idempotency/problems/").unwrap_or("?");
    assert!(!slug.is_empty() && slug != "?", "each problem has a type of its own: {told}");
    for sentence in ["title", "detail", "advice"] {
        assert!(!told[sentence].as_str().unwrap_or_default().is_empty(), "{sentence}: {told}");
    }
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{told}");
    let ran = if told["ran"].as_bool().expect("ran is yes or no") { "ran" } else { "not-run" };
    let (code, effect, retry) = (text("code"), text("effect"), text("retry"));
    format!("{} {word} {code} {effect} {ran} {retry}", reply.status)
}

/// The parameters of `Idempotency-Status`, as written.
fn parameters(reply: &Reply) -> Vec<(String, String)> {
    let value = reply.header("idempotency-status").unwrap_or_default();
    value
        .split(';')
        .skip(1)
        .map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        })
        .collect()
}

fn parameter(reply: &Reply, name: &str) -> Option<String> {
    parameters(reply).into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

const SPENT: &str = "410 spent SEM-0205 done not-run never";
const IN_DOUBT: &str = "409 in-doubt SEM-0203 unknown not-run same-key";
const BEGAN_AND_IN_DOUBT: &str = "409 in-doubt SEM-0203 unknown ran same-key";
const IN_FLIGHT: &str = "409 in-flight SEM-0202 unknown not-run same-key";
const REUSED: &str = "422 mismatch SEM-0201 done not-run never";
const VOID: &str = "409 void SEM-0207 none not-run new-key";
