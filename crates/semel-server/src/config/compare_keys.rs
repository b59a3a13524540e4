//! `fingerprint.*`: what of a request is compared with the first one under its key.

use semel::http::Route;
use semel_core::fingerprint::{FormBodies, JsonBodies, Pointer};
use serde_json::{Value, json};

use super::given::Given;
use super::key::{Key, texts, word};

/// How bodies are compared, as the file says it: of JSON also how numbers are, in a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Value,
    Bytes,
}

const BY: [(&str, By); 2] = [("value", By::Value), ("bytes", By::Bytes)];
const NUMBERS: [(&str, bool); 2] = [("value", false), ("exact-spelling", true)];

/// `json` stands before `numbers`, which it is checked against.
pub(super) const KEYS: [Key<Route>; 6] = [
    Key { name: "fingerprint.json", set: set_json, get: get_json, flag: None },
    Key { name: "fingerprint.numbers", set: set_numbers, get: get_numbers, flag: None },
    Key {
        name: "fingerprint.forms",
        set: |route, given| {
            let forms = match given.word(&BY)? {
                By::Value => FormBodies::ByValue,
                By::Bytes => FormBodies::Bytes,
            };
            route.fingerprint.forms = forms;
            Ok(())
        },
        get: |route| match route.fingerprint.forms {
            FormBodies::ByValue => json!("value"),
            FormBodies::Bytes => json!("bytes"),
        },
        flag: None,
    },
    Key {
        name: "fingerprint.exclude",
        set: |route, given| pointers(given).map(|list| route.fingerprint.exclude = list),
        get: |route| texts(&route.fingerprint.exclude),
        flag: None,
    },
    Key {
        name: "fingerprint.include",
        set: |route, given| pointers(given).map(|list| route.fingerprint.include = list),
        get: |route| texts(&route.fingerprint.include),
        flag: None,
    },
    Key {
        name: "fingerprint.headers",
        set: |route, given| given.headers().map(|list| route.fingerprint.headers = list),
        get: |route| texts(&route.fingerprint.headers),
        flag: None,
    },
];

fn set_json(route: &mut Route, given: &Given) -> Result<(), String> {
    route.fingerprint.json = match given.word(&BY)? {
        By::Value => JsonBodies::ByValue,
        By::Bytes => JsonBodies::Bytes,
    };
    Ok(())
}

fn get_json(route: &Route) -> Value {
    word(&BY, &if route.fingerprint.json == JsonBodies::Bytes { By::Bytes } else { By::Value })
}

fn set_numbers(route: &mut Route, given: &Given) -> Result<(), String> {
    match (given.word(&NUMBERS)?, route.fingerprint.json) {
        (true, JsonBodies::Bytes) => Err("JSON is compared by its bytes here, so numbers have no \
            rule of their own: leave it out, or set `fingerprint.json = \"value\"`"
            .to_owned()),
        (true, _) => {
            route.fingerprint.json = JsonBodies::ExactSpelling;
            Ok(())
        }
        (false, _) => Ok(()),
    }
}

fn get_numbers(route: &Route) -> Value {
    word(&NUMBERS, &(route.fingerprint.json == JsonBodies::ExactSpelling))
}

/// Pointers to a member or an element; the whole body is none.
fn pointers(given: &Given) -> Result<Vec<Pointer>, String> {
    given.list(|one| {
        one.read(|text| {
            let pointer: Pointer = text.parse().map_err(|e| format!("{e}"))?;
            if pointer.tokens().next().is_none() {
                return Err("it names the whole body; name a member, like \"/sent_at\"".to_owned());
            }
            Ok(pointer)
        })
    })
}
