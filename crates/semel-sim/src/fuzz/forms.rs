//! Fingerprints of forms: URL-encoded, and in parts.

use semel_core::fingerprint::FingerprintRules;

use super::feed::Feed;
use super::json::of;

const ENCODED: &[u8] = b"application/x-www-form-urlencoded";

pub(super) fn run(data: &[u8]) {
    let mut feed = Feed::new(data);
    match feed.byte() % 3 {
        0 => encoded(feed),
        1 => built(feed),
        _ => any_parts(feed),
    }
}

/// Two URL-encoded forms are the same when their pairs are; where one is not UTF-8, when their bytes are.
fn encoded(feed: Feed<'_>) {
    let mut halves = feed.rest().splitn(2, |byte| *byte == 0);
    let one = halves.next().unwrap_or_default();
    let other = halves.next().unwrap_or_default();
    let equal = match (pairs(one), pairs(other)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => one == other,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let rules = FingerprintRules::default();
    let same = of(&rules, ENCODED, one).matches(&of(&rules, ENCODED, other));
    let shown = || format!("{} | {}", String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    assert_eq!(same, equal, "{}", shown());
}

/// The pairs of a form (WHATWG URL, "application/x-www-form-urlencoded parsing").
fn pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for piece in body.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
        let at = piece.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((piece, &b""[..]), |at| (&piece[..at], &piece[at + 1..]));
        pairs.push((decoded(name)?, decoded(value)?));
    }
    Some(pairs)
}

/// A text that holds the decoder's replacement has no form: it may stand for what is not UTF-8.
fn decoded(text: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let hex = |n: usize| text.get(at + n).and_then(|byte| char::from(*byte).to_digit(16));
        match (text[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two digits are a byte"));
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).ok().filter(|text| !text.contains('\u{fffd}'))
}

/// A part: header lines, and content.
type Part = (Vec<(String, String)>, Vec<u8>);

fn parts(feed: &mut Feed<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    for _ in 0..=feed.below(3) {
        let mut head = Vec::new();
        for _ in 0..feed.below(3) {
            let name = ["Content-Disposition", "content-type", "X-a"][feed.below(3)];
            let value = feed.bytes(12).iter().filter(|byte| (b'!'..=b'~').contains(byte));
            head.push((name.to_owned(), value.map(|byte| char::from(*byte)).collect()));
        }
        parts.push((head, feed.bytes(40).to_vec()));
    }
    parts
}

fn written(parts: &[Part], boundary: &str, loud: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (head, content) in parts {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        for (name, value) in head {
            let name = if loud { name.to_ascii_uppercase() } else { name.clone() };
            let space = if loud { "" } else { " " };
            out.extend_from_slice(format!("{name}:{space}{value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

/// The boundary does not count, nor how names are written; what the parts hold does.
fn built(mut feed: Feed<'_>) {
    let (quiet, loud) = ("semel-a-7f31", "----SemelBoundaryb90c");
    let first = parts(&mut feed);
    let second = if feed.flag() { first.clone() } else { parts(&mut feed) };
    let of_parts = |parts: &[Part], boundary: &str, loud: bool| {
        let content_type = format!("multipart/form-data; boundary=\"{boundary}\"");
        let body = written(parts, boundary, loud);
        of(&FingerprintRules::default(), content_type.as_bytes(), &body)
    };
    let named = |boundary: &str| {
        let named = format!("--{boundary}");
        let holds = |(_, content): &Part| {
            content.windows(named.len()).any(|window| window == named.as_bytes())
        };
        first.iter().chain(&second).any(holds)
    };
    if named(quiet) || named(loud) {
        return;
    }
    let same = of_parts(&first, quiet, false).matches(&of_parts(&second, loud, true));
    let plain = |parts: &[Part]| -> Vec<Part> {
        let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
        parts
            .iter()
            .map(|(head, content)| (head.iter().map(lower).collect(), content.clone()))
            .collect()
    };
    assert_eq!(same, plain(&first) == plain(&second), "{first:?} | {second:?}");
}

/// Any two bodies that look alike have the same lines, but for what does not count in a line.
fn any_parts(feed: Feed<'_>) {
    let mut halves = feed.rest().splitn(2, |byte| *byte == 0);
    let one = halves.next().unwrap_or_default();
    let other = halves.next().unwrap_or_default();
    let content_type = b"multipart/mixed; boundary=x";
    let rules = FingerprintRules::default();
    if of(&rules, content_type, one).matches(&of(&rules, content_type, other)) {
        assert_eq!(lines(one), lines(other), "{one:?} | {other:?}");
    }
}

/// The lines of a body, without letter case and blanks, and without what ends the last delimiter.
fn lines(body: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let plain = line.iter().filter(|byte| !byte.is_ascii_whitespace());
        lines.push(plain.map(u8::to_ascii_lowercase).collect());
    }
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}
