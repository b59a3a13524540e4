//! The other fields: a wish to wait, and what Semel says of a key.

use http::{HeaderMap, HeaderValue};
use semel::http::prefer::{PREFER, wait};
use semel::http::{Status, Word};
use semel_core::Span;

use super::feed::Feed;
use super::item;

pub(super) fn run(data: &[u8]) {
    let mut feed = Feed::new(data);
    match feed.byte() % 3 {
        0 => any_wish(feed),
        1 => a_known_wish(feed),
        _ => said(feed),
    }
}

/// Any lines: the bound of the route stands above all of them.
fn any_wish(mut feed: Feed<'_>) {
    let bound = Span::from_ms(u64::from(feed.u32()));
    let mut headers = HeaderMap::new();
    for line in feed.rest().split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(PREFER, value);
        }
    }
    let wait = wait(&headers, bound);
    assert!(wait.bound <= bound, "a wish prolongs no wait");
    match wait.applied {
        None => assert_eq!(wait.bound, bound, "without a wish the route's own bound holds"),
        Some(applied) => assert_eq!(
            applied.to_str().ok(),
            Some(format!("wait={}", wait.bound.as_ms() / 1000).as_str()),
            "what was applied is what is said"
        ),
    }
}

/// A wish among others, in any spelling that RFC 7240 allows.
fn a_known_wish(mut feed: Feed<'_>) {
    let bound = Span::from_ms(u64::from(feed.u32()));
    let seconds = u64::from(feed.u16());
    let space = |feed: &mut Feed<'_>| ["", " ", "\t"][feed.below(3)];
    let mut line = String::new();
    for _ in 0..feed.below(4) {
        let other =
            ["respond-async", "return=minimal", "x=\"a, wait=1\"", "y=\"\\\", wait=2\"", "waits=3"];
        line += &format!("{}{},", other[feed.below(5)], space(&mut feed));
    }
    let name = ["wait", "WAIT", "Wait"][feed.below(3)];
    let quote = ["", "\""][feed.below(2)];
    line += space(&mut feed);
    line += &format!("{name}{}={}", space(&mut feed), space(&mut feed));
    line += &format!("{quote}{seconds}{quote}{}", space(&mut feed));
    line += ["", ";a=b", "; a=\"c\"", ", wait=9"][feed.below(4)];
    let value = HeaderValue::try_from(line.as_str()).expect("spaces and words are a header value");
    let wait = wait(&HeaderMap::from_iter([(PREFER, value)]), bound);
    assert_eq!(wait.bound, Span::from_secs(seconds).min(bound), "{line:?}");
    assert!(wait.applied.is_some(), "{line:?}");
}

/// The status header is an item whose value is a token, whatever the numbers.
fn said(mut feed: Feed<'_>) {
    let word = Word::ALL[feed.below(Word::ALL.len())];
    let mut status = Status::new(word);
    if feed.flag() {
        status = status.attempt(feed.u32());
    }
    if feed.flag() {
        status = status.retention(Span::from_ms(feed.u64()));
    }
    if feed.flag() {
        status = status.memory(Span::from_ms(feed.u64()));
    }
    if feed.flag() {
        status = status.age(Span::from_ms(feed.u64()));
    }
    let value = status.to_value();
    assert!(item::is_token_item(value.as_bytes()), "{value:?} is no item");
    assert!(value.as_bytes().starts_with(word.name().as_bytes()), "{value:?}");
}
