//! What a reply tells of the outcome, whatever the dialect.

use crate::case::{Outcome, expect};
use crate::wire::Reply;

/// Words that say that the outcome is not known.
const UNKNOWN: [&str; 13] = [
    "unknown",
    "doubt",
    "indeterminate",
    "undetermined",
    "uncertain",
    "not certain",
    "not known",
    "may have",
    "might have",
    "unconfirmed",
    "not confirmed",
    "cannot tell",
    "ambiguous",
];

/// Whether it is an answer that another retry does not change: not "later".
pub(super) const fn is_final(reply: &Reply) -> bool {
    !reply.says_later() && reply.status != 202
}

/// Whether it says that nobody knows whether the operation had its effect.
pub(super) fn says_unknown(reply: &Reply) -> bool {
    let about = |name: &str| name.contains("idempot") || name.contains("status");
    let headers = reply.headers.iter().filter(|(name, _)| about(name));
    let headers = headers.map(|(_, value)| String::from_utf8_lossy(value).to_lowercase());
    let text = reply.text().to_lowercase();
    let says = |text: &str| UNKNOWN.iter().any(|word| text.contains(word));
    says(&text) || headers.into_iter().any(|value| says(&value))
}

/// Whether it reads as "it failed": neither a success, nor "later", nor "not known". 504 says by its
/// very meaning that no answer came in time.
pub(super) fn plain_failure(reply: &Reply) -> bool {
    let open = reply.says_later() || reply.status == 504;
    !reply.success() && !open && !says_unknown(reply)
}

/// Expects that a retry of what had its effect is not told that it failed.
///
/// # Errors
/// [`crate::case::Halt::Failed`] with what it was told.
pub(super) fn not_told_failed(reply: Option<&Reply>) -> Outcome {
    let expected = "the retry gets the success, or is told that the outcome is not known (409, 504, or a problem that says so)";
    match reply {
        Some(reply) => expect(!plain_failure(reply), expected, reply.brief()),
        None => expect(false, expected, "no whole reply"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        Reply { status, headers: Vec::new(), body: body.into() }
    }

    #[test]
    fn a_plain_error_is_told_from_one_that_does_not_know() {
        for (status, body, failure) in [
            (500, "it broke", true),
            (502, "bad gateway", true),
            (400, "no", true),
            (500, "It MAY HAVE been charged", false),
            (410, r#"{"effect":"unknown"}"#, false),
            (409, "", false),
            (504, "", false),
            (201, "", false),
        ] {
            assert_eq!(plain_failure(&reply(status, body)), failure, "{status} {body}");
        }
        let header = ("idempotency-status".to_owned(), b"in-doubt".to_vec());
        let marked = Reply { status: 502, headers: vec![header], body: "".into() };
        assert!(says_unknown(&marked));
    }
}
