//! Which claim of a token names the principal.

use std::fmt;

use serde_json::Value;

/// A claim by its name (`sub`, `https://example.com/tenant`) or by a JSON pointer (`/org/id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    written: String,
    pointer: String,
}

impl Claim {
    /// Reads what stands behind `jwt:`.
    ///
    /// # Errors
    /// What to write instead.
    pub(crate) fn parse(given: &str) -> Result<Self, String> {
        let pointer = if given.starts_with('/') {
            given.to_owned()
        } else {
            format!("/{}", given.replace('~', "~0").replace('/', "~1"))
        };
        let escapes_end = |rest: &str| rest.starts_with('0') || rest.starts_with('1');
        if pointer.len() < 2 || !pointer.split('~').skip(1).all(escapes_end) {
            return Err(
                "write the claim that names the caller, like `jwt:sub`, or `jwt:/org/id` for one \
                 within another"
                    .to_owned(),
            );
        }
        Ok(Self { written: given.to_owned(), pointer })
    }

    /// The claim's value, where it is a text that says something.
    pub(super) fn of<'a>(&self, claims: &'a Value) -> Option<&'a str> {
        claims.pointer(&self.pointer)?.as_str().filter(|text| !text.is_empty())
    }

    /// The same for the same claim, however it was written.
    pub(super) fn pointer(&self) -> &str {
        &self.pointer
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_pointer() {
        let claims = json!({
            "sub": "alice", "https://x.example/t": "acme", "org": { "id": "o1" }, "n": 7, "e": "",
        });
        let of = |given| Claim::parse(given).unwrap().of(&claims).map(str::to_owned);
        assert_eq!(of("sub").as_deref(), Some("alice"));
        assert_eq!(of("/sub").as_deref(), Some("alice"));
        assert_eq!(of("https://x.example/t").as_deref(), Some("acme"));
        assert_eq!(of("/org/id").as_deref(), Some("o1"));
        for nobody in ["n", "e", "org", "missing", "/org/missing"] {
            assert_eq!(of(nobody), None, "{nobody}");
        }
        assert_eq!(Claim::parse("sub").unwrap().pointer(), Claim::parse("/sub").unwrap().pointer());
        for wrong in ["", "/", "/a~2b"] {
            assert!(Claim::parse(wrong).is_err(), "{wrong}");
        }
    }
}
