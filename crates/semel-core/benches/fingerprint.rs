//! What a fingerprint of a request with a body of 1 KiB costs, by the way its body is compared.
//!
//! `cargo bench -p semel-core --bench fingerprint`

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderMap;
use semel_core::Secret;
use semel_core::fingerprint::{FingerprintRules, RequestParts, fingerprint};

/// Orders with nested lines, up to 1 KiB: members out of order, numbers with fractions, escapes.
fn json() -> String {
    let mut lines = String::new();
    let mut n = 0;
    while lines.len() < 880 {
        let comma = if n == 0 { "" } else { "," };
        write!(
            lines,
            r#"{comma}{{"sku":"item-{n:04}","quantity":{n},"price":{n}.50,"name":"caf\u00e9 {n}"}}"#
        )
        .expect("writing to a string");
        n += 1;
    }
    format!(r#"{{"order":"8e03978e","currency":"EUR","customer":{{"id":42}},"lines":[{lines}]}}"#)
}

fn form() -> String {
    (0..48).map(|n| format!("line[{n}][price]=10+%2B{n}")).collect::<Vec<_>>().join("&")
}

fn fingerprints(c: &mut Criterion) {
    let (secret, headers) = (Secret::new(&[7; 32]), HeaderMap::new());
    let whole = FingerprintRules::default();
    let pruned = FingerprintRules {
        exclude: ["/customer/id", "/lines/0/sku"]
            .map(|text| text.parse().expect("a pointer"))
            .into(),
        ..FingerprintRules::default()
    };
    let (json, form) = (json(), form());
    for (name, rules, content_type, body) in [
        ("json", &whole, "application/json", json.as_bytes()),
        ("json without two fields", &pruned, "application/json", json.as_bytes()),
        ("form", &whole, "application/x-www-form-urlencoded", form.as_bytes()),
        ("bytes", &whole, "application/octet-stream", json.as_bytes()),
    ] {
        let request = RequestParts {
            method: "POST",
            host: "api.example",
            path: "/v1/charges",
            query: None,
            content_type: Some(content_type.as_bytes()),
            content_encoding: None,
            headers: &headers,
            body,
        };
        c.bench_function(&format!("fingerprint/{name}/{} bytes", body.len()), |b| {
            b.iter(|| fingerprint(black_box(&secret), rules, black_box(&request)));
        });
    }
}

criterion_group!(benches, fingerprints);
criterion_main!(benches);
