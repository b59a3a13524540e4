//! `quota.*`: what one principal may take of a route.

use semel::http::Route;
use semel::http::quota::PerWindow;
use serde_json::{Value, json};

use super::key::{Key, bytes, span};
use crate::cli::values;

pub(super) const KEYS: [Key<Route>; 4] = [
    Key {
        name: "quota.keys",
        set: |route, given| {
            let many = |text: &str| text.parse().map_err(|_| "a whole number is wanted".to_owned());
            given.read(|text| window(text, "1000/1h", many)).map(|keys| route.quota.keys = keys)
        },
        get: |route| shown(route.quota.keys, |most| json!(most)),
        flag: None,
    },
    Key {
        name: "quota.bytes",
        set: |route, given| {
            let read = |text: &str| window(text, "64MiB/24h", values::bytes);
            given.read(read).map(|bytes| route.quota.bytes = bytes)
        },
        get: |route| shown(route.quota.bytes, bytes),
        flag: None,
    },
    Key {
        name: "quota.per_second",
        set: |route, given| {
            route.quota.per_second = Some(given.count(0)?).filter(|most| *most > 0);
            Ok(())
        },
        get: |route| json!(route.quota.per_second.unwrap_or(0)),
        flag: None,
    },
    Key {
        name: "quota.in_flight",
        set: |route, given| {
            route.quota.in_flight = Some(given.count(0)?).filter(|most| *most > 0);
            Ok(())
        },
        get: |route| json!(route.quota.in_flight.unwrap_or(0)),
        flag: None,
    },
];

/// `MANY/WINDOW`, or `off`.
fn window(
    given: &str,
    like: &str,
    many: impl Fn(&str) -> Result<u64, String>,
) -> Result<Option<PerWindow>, String> {
    if given == "off" {
        return Ok(None);
    }
    let form =
        || format!("write how much and in which length of time, like \"{like}\", or \"off\"");
    let (most, window) = given.split_once('/').ok_or_else(form)?;
    let most = many(most.trim()).map_err(|why| format!("{why}; {}", form()))?;
    Ok(Some(PerWindow { most, window: values::span(window.trim())? }))
}

fn shown(per: Option<PerWindow>, many: impl Fn(u64) -> Value) -> Value {
    let Some(PerWindow { most, window }) = per else { return json!("off") };
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    json!(format!("{}/{}", text(many(most)), text(span(window))))
}
