use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::secret::Secret;

fn secret() -> Secret {
    Secret::new(&[7; 32])
}

fn charge<'a>(headers: &'a HeaderMap, content_type: &'a str, body: &'a [u8]) -> RequestParts<'a> {
    RequestParts {
        method: "POST",
        host: "api.example",
        path: "/v1/charges",
        query: None,
        content_type: Some(content_type.as_bytes()),
        content_encoding: None,
        headers,
        body,
    }
}

fn of(request: &RequestParts<'_>) -> Fingerprint {
    fingerprint(&secret(), &FingerprintRules::default(), request)
}

fn typed(content_type: &str, body: &[u8]) -> Fingerprint {
    of(&charge(&HeaderMap::new(), content_type, body))
}

/// The fingerprints of rules version 1. They stand in stores: when this test fails, retries of
/// requests that were sent before an upgrade are refused as mismatches. A change here needs a new
/// `RULES_VERSION`, so that such a refusal says `rules-changed`.
#[test]
fn version_1_stays_as_it_is() {
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("stripe-version"),
        HeaderValue::from_static("2026-03-25"),
    )]);
    let rules = FingerprintRules {
        headers: vec![HeaderName::from_static("stripe-version")],
        exclude: vec!["/sent_at".parse().unwrap(), "/items/0/n".parse().unwrap()],
        ..FingerprintRules::default()
    };
    let json = br#"{"items":[{"n":1,"p":-12.50e3},"\u00e9"],"amount":1e999999999,"sent_at":7}"#;
    let form = b"amount=10&note=a+b";
    let multipart = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
    let large = format!("{{\"b\":\"{}\",\"a\":null}}", "x".repeat(2000));
    for (content_type, body, pinned) in [
        ("application/json; charset=utf-8", &json[..], PINNED_JSON),
        ("application/vnd.api+json", large.as_bytes(), PINNED_LARGE),
        ("application/x-www-form-urlencoded", form, PINNED_FORM),
        ("multipart/form-data; boundary=x", multipart, PINNED_MULTIPART),
        ("application/octet-stream", &[0, 255], PINNED_BYTES),
    ] {
        let request = RequestParts {
            host: "API.example:443",
            path: "/v1/./charges%2f%7e",
            query: Some("expand=%2a"),
            ..charge(&headers, content_type, body)
        };
        let made = fingerprint(&secret(), &rules, &request);
        let digest = format!("{:032x}", u128::from_be_bytes(made.digest));
        let [method, host, path, query, body, headers] = made.parts;
        let found = format!("{digest} {body:08x}");
        assert_eq!((made.rules, found.as_str()), (1, pinned), "{content_type}");
        assert_eq!([method, host, path, query, headers], PINNED_PARTS);
    }
}

const PINNED_PARTS: [u32; 5] = [0x9a3712de, 0xf518e3ba, 0xb6a3aac6, 0xd3a5d47f, 0x60a13871];
const PINNED_JSON: &str = "19f8d8516436b659adbdc074cedfaab9 6d229db3";
const PINNED_LARGE: &str = "2d40ca44a94425ec676dda5d9076377a e23436f3";
const PINNED_FORM: &str = "da97a960b8d19356a45ce1f7be93ab48 6316b329";
const PINNED_MULTIPART: &str = "8bdb6ad36b3b444b831d621cf8060ad1 a4fe2bfe";
const PINNED_BYTES: &str = "eb5737d882aba68d21042b5e356fee3d cf433a76";

#[test]
fn the_secret_and_the_rules_are_part_of_it() {
    let headers = HeaderMap::new();
    let request = charge(&headers, "application/json", b"[1.0]");
    let other = fingerprint(&Secret::new(&[8; 32]), &FingerprintRules::default(), &request);
    assert!(!other.matches(&of(&request)));
    assert!(other.parts.iter().zip(of(&request).parts).all(|(a, b)| *a != b));
    for json in [JsonBodies::ExactSpelling, JsonBodies::Bytes] {
        let rules = FingerprintRules { json, ..FingerprintRules::default() };
        assert!(!fingerprint(&secret(), &rules, &request).matches(&of(&request)));
    }
}

#[test]
fn each_part_is_named_when_it_differs() {
    let (headers, other) = (
        HeaderMap::new(),
        HeaderMap::from_iter([(
            HeaderName::from_static("x-tenant"),
            HeaderValue::from_static("a"),
        )]),
    );
    let rules = FingerprintRules {
        headers: vec![HeaderName::from_static("x-tenant")],
        ..FingerprintRules::default()
    };
    let first = charge(&headers, "application/json", b"1");
    for (second, expected) in [
        (RequestParts { method: "PUT", ..first }, "method"),
        (RequestParts { host: "b", ..first }, "host"),
        (RequestParts { path: "/", ..first }, "path"),
        (RequestParts { query: Some(""), ..first }, "query"),
        (RequestParts { body: b"2", ..first }, "body"),
        (RequestParts { content_type: Some(b"text/plain"), ..first }, "body"),
        (RequestParts { content_type: None, ..first }, "body"),
        (RequestParts { content_encoding: Some(b"gzip"), ..first }, "body"),
        (RequestParts { headers: &other, ..first }, "headers"),
        (RequestParts { method: "PUT", body: b"2", ..first }, "method, body"),
    ] {
        let made = [&first, &second].map(|request| fingerprint(&secret(), &rules, request));
        let Difference::Parts(parts) = made[0].differs(&made[1]) else { panic!("{expected}") };
        assert_eq!(parts.to_string(), expected);
        assert!(!made[0].matches(&made[1]));
    }
}

#[test]
fn what_does_not_count_changes_nothing() {
    let headers =
        HeaderMap::from_iter([(HeaderName::from_static("date"), HeaderValue::from_static("x"))]);
    let first = of(&charge(&headers, "application/json", br#"{"a":1}"#));
    let empty = HeaderMap::new();
    let second = RequestParts {
        host: "API.example:443",
        path: "/v1/x/../%63harges",
        content_encoding: Some(b" Identity "),
        ..charge(&empty, "Application/JSON ; charset=utf-8", br#" {"a": 1.0} "#)
    };
    assert_eq!(first, of(&second));
}

#[test]
fn media_types_choose_how_a_body_is_compared() {
    let same = |content_type, one: &[u8], other: &[u8]| {
        typed(content_type, one).matches(&typed(content_type, other))
    };
    for json in ["application/json", "application/vnd.api+json", "application/problem+JSON"] {
        assert!(same(json, b"[1]", b"[ 1.0 ]"), "{json}");
    }
    for bytes in ["text/plain", "application/jsonx", "application/json+x", ""] {
        assert!(!same(bytes, b"[1]", b"[ 1.0 ]"), "{bytes}");
    }
    assert!(same("application/x-www-form-urlencoded", b"a=x+y", b"a=x%20y"));
    assert!(same("application/json", b"{\"a\":1,\"a\":2}", b"{\"a\":1,\"a\":2}"));
    assert!(!same("application/json", b"{\"a\":1,\"a\":2}", b"{\"a\":1, \"a\":2}"));
    let part = |boundary: &str| format!("--{boundary}\r\n\r\n1\r\n--{boundary}--").into_bytes();
    let one = typed("multipart/mixed; boundary=x", &part("x"));
    assert!(one.matches(&typed("multipart/mixed; boundary=yy", &part("yy"))));
    assert!(!one.matches(&typed("multipart/form-data; boundary=x", &part("x"))));
}

#[test]
fn forms_can_be_compared_by_bytes() {
    let rules = FingerprintRules { forms: FormBodies::Bytes, ..FingerprintRules::default() };
    let headers = HeaderMap::new();
    let made = [&b"a=x+y"[..], b"a=x%20y"].map(|body| {
        let request = charge(&headers, "application/x-www-form-urlencoded", body);
        fingerprint(&secret(), &rules, &request)
    });
    assert!(!made[0].matches(&made[1]));
}

#[test]
fn an_encoded_body_is_compared_by_its_bytes() {
    let headers = HeaderMap::new();
    let encoded = |body| {
        let request = charge(&headers, "application/json", body);
        of(&RequestParts { content_encoding: Some(b"gzip"), ..request })
    };
    assert!(!encoded(b"[1]").matches(&encoded(b"[ 1]")));
    assert!(encoded(b"[1]").matches(&encoded(b"[1]")));
}

#[test]
fn a_body_by_bytes_never_spells_one_by_value() {
    let view = Some(pointer::View::default());
    let key = secret();
    let form = json::canonical(b"[1]", json::Numbers::ByValue, view, key.fingerprints()).unwrap();
    assert!(!typed("application/json", b"[1]").matches(&typed("application/json", &form)));
    let form = form::canonical(b"a=1", view).unwrap();
    let urlencoded = "application/x-www-form-urlencoded";
    assert!(!typed(urlencoded, b"a=1").matches(&typed(urlencoded, &form)));
}

#[test]
fn chosen_headers_count_with_all_their_values() {
    let names = ["x-a", "x-b"].map(HeaderName::from_static);
    let rules = FingerprintRules { headers: names.to_vec(), ..FingerprintRules::default() };
    let made = |pairs: &[(usize, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(&names[*name], HeaderValue::from_static(value));
        }
        fingerprint(&secret(), &rules, &charge(&headers, "text/plain", b""))
    };
    let all = [
        made(&[]),
        made(&[(0, "")]),
        made(&[(0, "1")]),
        made(&[(1, "1")]),
        made(&[(0, "1"), (0, "2")]),
        made(&[(0, "2"), (0, "1")]),
        made(&[(0, "1"), (1, "2")]),
        made(&[(0, "1, 2")]),
    ];
    for (n, one) in all.iter().enumerate() {
        assert!(all[n + 1..].iter().all(|other| !other.matches(one)), "{n}");
    }
    let turned = FingerprintRules {
        headers: vec![names[1].clone(), names[0].clone(), names[1].clone()],
        ..FingerprintRules::default()
    };
    let none = HeaderMap::new();
    let request = charge(&none, "text/plain", b"");
    assert_eq!(fingerprint(&secret(), &turned, &request), made(&[]));
}

#[test]
fn a_nesting_bomb_is_compared_by_its_bytes() {
    let bomb = "[".repeat(1 << 20);
    assert!(
        typed("application/json", bomb.as_bytes())
            .matches(&typed("application/json", bomb.as_bytes()))
    );
}

type Plain = (String, String, String, Option<String>, Option<String>, Vec<u8>);

/// Parts from so few characters that what ends one part often begins another. All of them are in
/// their normal form already.
fn plain() -> impl Strategy<Value = Plain> {
    (
        "[AB]{0,2}",
        "[ab]{0,2}",
        "/[ab/]{0,2}",
        prop::option::of("[ab/]{0,2}"),
        prop::option::of("[ab/]{0,2}"),
        prop::collection::vec(prop::sample::select(&b"ab/\0"[..]), 0..3),
    )
}

proptest! {
    #[test]
    fn no_two_requests_share_a_fingerprint(one in plain(), other in plain(), copy in 0..64_u8) {
        let pick = |n: u8| copy & (1 << n) != 0;
        // Most parts equal, so that a border between two is what tells the requests apart.
        let other = (
            if pick(0) { one.0.clone() } else { other.0 },
            if pick(1) { one.1.clone() } else { other.1 },
            if pick(2) { one.2.clone() } else { other.2 },
            if pick(3) { one.3.clone() } else { other.3 },
            if pick(4) { one.4.clone() } else { other.4 },
            if pick(5) { one.5.clone() } else { other.5 },
        );
        let headers = HeaderMap::new();
        let made = [&one, &other].map(|(method, host, path, query, content_type, body)| {
            of(&RequestParts {
                method,
                host,
                path,
                query: query.as_deref(),
                content_type: content_type.as_deref().map(str::as_bytes),
                content_encoding: None,
                headers: &headers,
                body,
            })
        });
        prop_assert_eq!(made[0].matches(&made[1]), one == other);
    }

    /// Whatever arrives has a fingerprint, the same one each time.
    #[test]
    fn every_request_has_a_fingerprint(
        host in "\\PC{0,8}",
        path in "[/.%2eEfF\u{e9}a]{0,12}",
        content_type in prop::sample::select(&[
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/form-data; boundary=\"",
        ][..]),
        body in prop::collection::vec(prop_oneof![
            prop::sample::select(&b"--x\r\n:%&=+[]{}\"\\,"[..]), any::<u8>(),
        ], 0..40),
    ) {
        let headers = HeaderMap::new();
        let request = charge(&headers, content_type, &body);
        let request = RequestParts { host: &host, path: &path, query: Some(&path), ..request };
        prop_assert_eq!(of(&request), of(&request));
        let shorter = &body[..body.len().saturating_sub(1)];
        let cut = of(&RequestParts { body: shorter, ..request });
        prop_assert_eq!(cut.parts[..4].to_vec(), of(&request).parts[..4].to_vec());
    }

    /// RFC 3986 §6.2.2: a normal path is its own normal form, and has no dot segments.
    #[test]
    fn normal_paths_stay(segments in prop::collection::vec("(%2e|%2E|\\.|a|%2f|%41|%C3|){0,3}", 0..5)) {
        let path: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
        let normal = target::path(&path);
        prop_assert_eq!(target::path(&normal), normal.as_str());
        prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."));
    }
}

#[test]
fn a_body_in_pieces_compares_by_its_bytes_however_it_is_cut() {
    let (secret, headers) = (secret(), HeaderMap::new());
    let of_pieces = |content_type: &str, pieces: &[&[u8]]| {
        let mut hasher = BodyHasher::new(&secret);
        for piece in pieces {
            hasher.update(piece);
        }
        let request = charge(&headers, content_type, b"not looked at");
        let rules = FingerprintRules::default();
        fingerprint_of_digest(&secret, &rules, &request, &hasher.finish())
    };
    let json = "application/json";
    let whole = of_pieces(json, &[b"{\"a\": 1}"]);
    assert_eq!(of_pieces(json, &[b"{\"a\"", b"", b": 1}"]), whole);
    // By value these two are the same.
    assert!(!of_pieces(json, &[b"{\"a\":1}"]).matches(&whole));
    let other_type = of_pieces("application/octet-stream", &[b"{\"a\": 1}"]);
    assert!(!other_type.matches(&whole));
    assert!(!typed(json, b"{\"a\": 1}").matches(&whole), "no way of comparing spells another");
    let Difference::Parts(parts) = of_pieces(json, &[b"2"]).differs(&whole) else { panic!() };
    assert_eq!(parts.iter().collect::<Vec<_>>(), [Part::Body]);
}

/// Stands in stores like the others.
#[test]
fn version_1_of_a_body_in_pieces_stays_as_it_is() {
    let mut hasher = BodyHasher::new(&secret());
    hasher.update(b"large");
    let (rules, headers) = (FingerprintRules::default(), HeaderMap::new());
    let request = charge(&headers, "text/plain", b"");
    let made = fingerprint_of_digest(&secret(), &rules, &request, &hasher.finish());
    assert_eq!(format!("{:032x}", u128::from_be_bytes(made.digest)), PINNED_PIECES);
}

const PINNED_PIECES: &str = "cd2d18bf1ab9156d58265e3cb8f4f2cc";
