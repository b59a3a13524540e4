//! The project's names: one word for one thing, and the words that mislead are not used in code.

use super::rust::Source;
use super::{Text, assert_tidy, sources, texts};

/// A word that no identifier may hold, what to say instead, and where it is right all the same:
/// (part of the path, identifier); an empty identifier allows every one there.
struct Banned {
    word: &'static str,
    instead: &'static str,
    right: &'static [(&'static str, &'static str)],
}

const BANNED: [Banned; 9] = [
    // The HTTP header has its own name.
    Banned { word: "cache", instead: "store, or record", right: &[("", "CACHE_CONTROL")] },
    Banned {
        word: "dedup",
        instead: "claim, or fingerprint",
        right: &[("", "dedup"), ("", "dedup_by_key")],
    },
    // The peers of the league have words of their own.
    Banned { word: "ttl", instead: "retention, memory or lease", right: &[("league/rust/", "")] },
    Banned { word: "expiry", instead: "retention, memory or lease", right: &[] },
    // The number used once of an authenticated cipher is called so by its standard (RFC 5116).
    Banned { word: "nonce", instead: "idempotency key, or owner", right: &[("seal", "")] },
    Banned { word: "job", instead: "operation, or attempt", right: &[] },
    // What the standard library calls so; and a process does lock a file of the record log.
    Banned {
        word: "lock",
        instead: "claim, or lease",
        right: &[
            ("", "lock"),
            ("", "try_lock"),
            ("", "LazyLock"),
            ("", "OnceLock"),
            ("", "RwLock"),
            ("store/embedded", ""),
        ],
    },
    // A future is pending, and so is a write that waits for its batch; a record is not.
    Banned {
        word: "pending",
        instead: "in flight, or in doubt",
        right: &[
            ("", "Pending"),
            ("", "pending"),
            ("", "is_pending"),
            ("store/embedded", ""),
            ("semel-server/src/listen", "max_pending_accept_reset_streams"),
        ],
    },
    Banned { word: "request_id", instead: "idempotency key, or owner", right: &[] },
];

/// `RequestId`, `request_id` and `REQUEST_ID` alike as `_request_id_`.
fn spelled(identifier: &str) -> String {
    let mut spelled = String::from("_");
    let mut lower_before = false;
    for c in identifier.chars() {
        if c.is_uppercase() && lower_before {
            spelled.push('_');
        }
        lower_before = c.is_lowercase() || c.is_numeric();
        spelled.extend(c.to_lowercase());
    }
    spelled.push('_');
    spelled
}

fn misleading(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (i, line) in source.code.lines().enumerate() {
        for identifier in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let spelled = spelled(identifier);
            for banned in &BANNED {
                let right = banned.right.iter().any(|(path, name)| {
                    source.path.contains(path) && (name.is_empty() || *name == identifier)
                });
                let one_or_more = [format!("_{}_", banned.word), format!("_{}s_", banned.word)];
                if !right && one_or_more.iter().any(|word| spelled.contains(word)) {
                    faults.push(format!(
                        "{}:{}: '{identifier}': say {} (docs/concepts has the names)",
                        source.path,
                        i + 1,
                        banned.instead
                    ));
                }
            }
        }
    }
    faults
}

/// The draft that names the header has expired, so nobody can fulfil it; one can be compatible.
fn overclaims(file: &Text) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    lines
        .filter(|(_, line)| line.to_lowercase().contains(concat!("compl", "iant")))
        .map(|(i, _)| format!("{}:{}: say 'compatible with'", file.path, i + 1))
        .collect()
}

#[test]
fn identifiers_use_the_projects_names() {
    assert_tidy(&sources().iter().flat_map(misleading).collect::<Vec<_>>());
}

#[test]
fn identifiers_use_the_projects_names_bites() {
    let faults = |path: &str, text: &str| misleading(&Source::new(path, text)).len();
    for banned in &BANNED {
        assert_eq!(faults("a.rs", &format!("let key_{} = 1;", banned.word)), 1, "{}", banned.word);
    }
    assert_eq!(faults("a.rs", "struct ReplyCache; fn f(RequestId(x): R, all_jobs: J) {}"), 3);
    assert_eq!(faults("a.rs", "headers.get(CACHE_CONTROL); // a cache, in a comment"), 0);
    assert_eq!(faults("crates/semel/src/seal.rs", "let nonce = random();"), 0);
    assert_eq!(faults("a.rs", "self.clock.lock(); block(jobless);"), 0);
}

#[test]
fn nothing_claims_more_than_it_can() {
    assert_tidy(&texts().iter().flat_map(overclaims).collect::<Vec<_>>());
}

#[test]
fn nothing_claims_more_than_it_can_bites() {
    let file = Text { path: "a.md".into(), text: concat!("Fully Compl", "iant.\n").into() };
    assert_eq!(overclaims(&file).len(), 1);
}
