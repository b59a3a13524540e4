//! Every error that a caller can see: one entry a code, with fixed words.
//!
//! The codes are stable: one that was published is never given another meaning and never reused.
//! 01xx the request, 02xx the state of its key, 03xx the store, 04xx the upstream, 05xx limits.
//! Each has a page under `docs/errors/` (a test checks both directions) and a text that the listener
//! serves itself under the problem's `type`.

use super::status::Word;

/// Names an error. What each means stands in its [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// `SEM-0101`, 400: `key-missing`.
    KeyMissing,
    /// `SEM-0102`, 400: `key-malformed`.
    KeyMalformed,
    /// `SEM-0103`, 400: `key-weak`.
    KeyWeak,
    /// `SEM-0104`, 400: `key-ahead`.
    KeyAhead,
    /// `SEM-0105`, 400: `scope-missing`.
    ScopeMissing,
    /// `SEM-0106`, 400: `scope-unstable`.
    ScopeUnstable,
    /// `SEM-0107`, 413: `body-too-large`.
    BodyTooLarge,
    /// `SEM-0108`, 400: `body-incomplete`.
    BodyIncomplete,
    /// `SEM-0109`, 404: `path-unknown`.
    PathUnknown,
    /// `SEM-0110`, 405: `method-unknown`.
    MethodUnknown,
    /// `SEM-0111`, 400: `route-unnamed`.
    RouteUnnamed,
    /// `SEM-0112`, 400: `not-unary`.
    NotUnary,
    /// `SEM-0113`, 401: `scope-unverified`.
    ScopeUnverified,
    /// `SEM-0201`, 422: `key-reused`.
    KeyReused,
    /// `SEM-0202`, 409: `in-flight`.
    InFlight,
    /// `SEM-0203`, 409: `in-doubt`.
    InDoubt,
    /// `SEM-0204`, 410: `key-spent`.
    KeySpent,
    /// `SEM-0205`, 410: `reply-not-kept`.
    ReplyNotKept,
    /// `SEM-0206`, 410: `key-too-old`.
    KeyTooOld,
    /// `SEM-0207`, 409: `key-void`.
    KeyVoid,
    /// `SEM-0208`, 409: `key-used`.
    KeyUsed,
    /// `SEM-0209`, 404: `key-unknown`.
    KeyUnknown,
    /// `SEM-0301`, 503: `store-unavailable`.
    StoreUnavailable,
    /// `SEM-0302`, 503: `store-full`.
    StoreFull,
    /// `SEM-0303`, 503: `not-recorded`.
    NotRecorded,
    /// `SEM-0304`, 500: `record-unreadable`.
    RecordUnreadable,
    /// `SEM-0305`, 503: `recording-stopped`.
    RecordingStopped,
    /// `SEM-0306`, 500: `outcome-lost`.
    OutcomeLost,
    /// `SEM-0401`, 502: `upstream-unreachable`.
    UpstreamUnreachable,
    /// `SEM-0501`, 429: `quota`.
    Quota,
    /// `SEM-0502`, 503: `overloaded`.
    Overloaded,
    /// `SEM-0503`, 503: `draining`.
    Draining,
    /// `SEM-0504`, 503: `body-not-spooled`.
    BodyNotSpooled,
}

/// What is fixed about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in this program.
    pub code: Code,
    /// Its number: `101` is written `SEM-0101`.
    pub number: u16,
    /// Its name in the problem's `type`.
    pub slug: &'static str,
    /// The HTTP status that it is answered with.
    pub status: u16,
    /// The problem's `title` (RFC 9457 §3.1.3): the same at each occurrence.
    pub title: &'static str,
    /// What happened, in a sentence.
    pub cause: &'static str,
    /// What to do, in a sentence or two.
    pub advice: &'static str,
    /// The word in `Idempotency-Status`.
    pub word: Word,
    /// `Stripe-Should-Retry`, where it changes what the Stripe SDKs do by themselves: they retry 409
    /// and 5xx after half a second, and neither 429 nor any other 4xx; they ignore `Retry-After`.
    pub should_retry: Option<bool>,
}

impl Code {
    /// All that is fixed about it.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        let entry = ENTRIES.iter().find(|entry| entry.code == self);
        entry.expect("every code has an entry: a test walks them")
    }

    /// `SEM-0101`.
    #[must_use]
    pub fn id(self) -> String {
        format!("SEM-{:04}", self.entry().number)
    }

    /// The code with this slug.
    #[must_use]
    pub fn by_slug(slug: &str) -> Option<Self> {
        ENTRIES.iter().find(|entry| entry.slug == slug).map(|entry| entry.code)
    }
}

const fn entry(
    code: Code,
    number: u16,
    slug: &'static str,
    status: u16,
    title: &'static str,
) -> Entry {
    Entry {
        code,
        number,
        slug,
        status,
        title,
        cause: "",
        advice: "",
        word: Word::Refused,
        should_retry: None,
    }
}

/// Every error, by number.
pub const ENTRIES: [Entry; 33] = [
    Entry {
        cause: "This operation needs an idempotency key, and the request carries none.",
        advice: "Make a random key (a UUID) for the operation, keep it, and send it with this request and with every retry of it.",
        ..entry(Code::KeyMissing, 101, "key-missing", 400, "Idempotency key missing")
    },
    Entry {
        cause: "The idempotency key cannot be read: it must be given once, as 1 to 255 characters of printable ASCII.",
        advice: "Send one key, bare or as a quoted string. Do not make a new key for an operation that was already sent under a readable one.",
        ..entry(Code::KeyMalformed, 102, "key-malformed", 400, "Idempotency key malformed")
    },
    Entry {
        cause: "The idempotency key is easy to guess or likely to be chosen twice, and this route refuses such keys.",
        advice: "Use a random key of at least 64 bits, such as a UUIDv4 or UUIDv7. Find out first whether the operation was already sent under the weak key.",
        ..entry(Code::KeyWeak, 103, "key-weak", 400, "Idempotency key too weak")
    },
    Entry {
        cause: "The time inside the key (UUIDv7) lies further ahead than clocks may differ, so the key would never grow old.",
        advice: "Set the clock that makes the keys right, then make a key for the operation anew.",
        ..entry(Code::KeyAhead, 104, "key-ahead", 400, "Idempotency key dated ahead")
    },
    Entry {
        cause: "A key is only meant for its owner, and the request does not say who that is.",
        advice: "Send the credentials that this API asks for, once, and the same key.",
        ..entry(Code::ScopeMissing, 105, "scope-missing", 400, "No principal for the key")
    },
    Entry {
        cause: "This authentication scheme has another value at each attempt, so a retry would look like another caller and run again.",
        advice: "Ask the operator to name a stable principal for this route; only Bearer and Basic need no such setting.",
        ..entry(Code::ScopeUnstable, 106, "scope-unstable", 400, "No stable principal for the key")
    },
    Entry {
        cause: "The body is larger than this route reads whole, and a keyed request runs only after its body was read whole.",
        advice: "Send a smaller body, or ask the operator to raise the route's limit.",
        ..entry(Code::BodyTooLarge, 107, "body-too-large", 413, "Request body too large")
    },
    Entry {
        cause: "The body broke off before its end, so nothing was started.",
        advice: "Send the whole request again with the same key.",
        // A connection that can still carry this answer can carry the request again.
        should_retry: Some(true),
        ..entry(Code::BodyIncomplete, 108, "body-incomplete", 400, "Request body incomplete")
    },
    Entry {
        cause: "Nothing is found at this path; all paths below /.well-known/idempotency are reserved.",
        advice: "GET /.well-known/idempotency says what can be asked.",
        ..entry(Code::PathUnknown, 109, "path-unknown", 404, "Reserved path not found")
    },
    Entry {
        cause: "This reserved path does not answer to this method.",
        advice: "Use one of the methods in the Allow header.",
        ..entry(
            Code::MethodUnknown,
            110,
            "method-unknown",
            405,
            "Method not allowed on a reserved path",
        )
    },
    Entry {
        cause: "It is not certain which route this inquiry is about.",
        advice: "Name the path that the key was sent to, and the method where it matters, as in /.well-known/idempotency/key?path=/v1/charges&method=PUT.",
        ..entry(Code::RouteUnnamed, 111, "route-unnamed", 400, "Inquiry names no route")
    },
    Entry {
        cause: "The request bears an idempotency key, but it is no unary gRPC call: its body is not one message.",
        advice: "Send keys with unary calls only. For a call that streams requests, send none, or have its route set to required = off.",
        ..entry(Code::NotUnary, 112, "not-unary", 400, "Keyed gRPC call is not unary")
    },
    Entry {
        cause: "The credential that says whose key it is was shown, and does not hold.",
        advice: "Get a credential that holds for the same caller, and send the same request with the same key.",
        ..entry(
            Code::ScopeUnverified,
            113,
            "scope-unverified",
            401,
            "Principal of the key not verified",
        )
    },
    Entry {
        cause: "The key belongs to another request: this one differs from the first that was sent with it.",
        advice: "Do not send this request again under this key. Look at the state of the key before sending it under a new one.",
        word: Word::Mismatch,
        ..entry(
            Code::KeyReused,
            201,
            "key-reused",
            422,
            "Idempotency key belongs to another request",
        )
    },
    Entry {
        cause: "The first request with this key is still running.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        word: Word::InFlight,
        ..entry(Code::InFlight, 202, "in-flight", 409, "First request still in flight")
    },
    Entry {
        cause: "The operation was started and its outcome is not known: it may have happened.",
        advice: "Never send it under a new key. Ask for the state of the key, or send the same request with the same key later.",
        word: Word::InDoubt,
        // By their own rule the SDKs would ask twice more within a second or so. Doubt ends by a look-up,
        // a person or a late executor, seldom that soon.
        should_retry: Some(false),
        ..entry(Code::InDoubt, 203, "in-doubt", 409, "Outcome in doubt")
    },
    Entry {
        cause: "The key was used, and the reply is no longer kept.",
        advice: "Do not send it again. Read the state of your resource to learn the result.",
        word: Word::Spent,
        ..entry(Code::KeySpent, 204, "key-spent", 410, "Reply no longer kept")
    },
    Entry {
        cause: "The operation ran, and its reply was not kept: it was too large, a stream, or known only from outside.",
        advice: "Do not send it again. Read the state of your resource to learn the result.",
        word: Word::Spent,
        ..entry(Code::ReplyNotKept, 205, "reply-not-kept", 410, "Reply was not kept")
    },
    Entry {
        cause: "The time inside the key (UUIDv7) lies before all that is remembered here: the operation may have run and been forgotten.",
        advice: "Do not send it again before you have found out whether it happened.",
        ..entry(Code::KeyTooOld, 206, "key-too-old", 410, "Idempotency key too old")
    },
    Entry {
        cause: "The key was voided: the operation did not run under it and will not.",
        advice: "If the operation is wanted after all, send it under a new key.",
        word: Word::Void,
        // The same key will be answered the same for as long as it is known.
        should_retry: Some(false),
        ..entry(Code::KeyVoid, 207, "key-void", 409, "Idempotency key voided")
    },
    Entry {
        cause: "The key cannot be voided: its operation has already ended.",
        advice: "Send the original request with this key to get its reply.",
        // Voiding again is answered the same again.
        should_retry: Some(false),
        ..entry(Code::KeyUsed, 208, "key-used", 409, "Idempotency key already used")
    },
    Entry {
        cause: "There is no reply to acknowledge under this key.",
        advice: "Check the key and the credentials: a key is only known to its owner.",
        ..entry(Code::KeyUnknown, 209, "key-unknown", 404, "No reply under this key")
    },
    Entry {
        cause: "The store of keys does not answer, so nothing was started by this request.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        ..entry(Code::StoreUnavailable, 301, "store-unavailable", 503, "Store of keys unavailable")
    },
    Entry {
        cause: "The store of keys has no room for another key, so nothing was started by this request.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        ..entry(Code::StoreFull, 302, "store-full", 503, "Store of keys full")
    },
    Entry {
        cause: "The operation ran, and its outcome is not yet safely written down.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        word: Word::InFlight,
        ..entry(Code::NotRecorded, 303, "not-recorded", 503, "Outcome not yet recorded")
    },
    Entry {
        cause: "What is stored under this key cannot be read, so it is not known whether the operation happened.",
        advice: "Never send it under a new key. Tell the operator; the same request with the same key will be answered once the store is repaired.",
        // Only a person ends this.
        should_retry: Some(false),
        ..entry(Code::RecordUnreadable, 304, "record-unreadable", 500, "Record unreadable")
    },
    Entry {
        cause: "The operation ran, and the store of keys stopped before its outcome was safely written down. This server writes it no more.",
        advice: "Keep what `effect` says, and never send it under a new key. Send the same request with the same key again: once the server was restarted, it is answered by what reached the disk, with the reply or as in doubt.",
        word: Word::InDoubt,
        ..entry(
            Code::RecordingStopped,
            305,
            "recording-stopped",
            503,
            "Recording of the outcome stopped",
        )
    },
    Entry {
        cause: "The operation ran, and its outcome can never be written down: its record is gone or unreadable, or the store of keys is not the one that it was begun on.",
        advice: "Keep what `effect` says. Do not send it again, under this key or another, before you have found out whether it happened: it might run a second time.",
        word: Word::InDoubt,
        // A retry could run.
        should_retry: Some(false),
        ..entry(Code::OutcomeLost, 306, "outcome-lost", 500, "Outcome lost")
    },
    Entry {
        cause: "No connection to the upstream was obtained, so this request started nothing.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        word: Word::Released,
        ..entry(Code::UpstreamUnreachable, 401, "upstream-unreachable", 502, "Upstream unreachable")
    },
    Entry {
        cause: "This caller has taken as much of this route as it may at present, and this key is not a known one.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        ..entry(Code::Quota, 501, "quota", 429, "Quota exceeded")
    },
    Entry {
        cause: "As many keyed requests are running as may run at once, so this one was not started.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        ..entry(Code::Overloaded, 502, "overloaded", 503, "Too many requests in flight")
    },
    Entry {
        cause: "This server is shutting down and starts nothing new.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        ..entry(Code::Draining, 503, "draining", 503, "Server is draining")
    },
    Entry {
        cause: "The body is too large to be held in memory, and there is no room on disk to put it aside, so nothing was started.",
        advice: "Send the same request with the same key again, after the time in Retry-After.",
        ..entry(Code::BodyNotSpooled, 504, "body-not-spooled", 503, "No room for the request body")
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_finds_its_own_entry_and_every_slug_its_code() {
        for entry in &ENTRIES {
            assert_eq!(entry.code.entry(), entry);
            assert_eq!(Code::by_slug(entry.slug), Some(entry.code));
        }
        assert_eq!(Code::by_slug("nothing"), None);
        // The last code by order of declaration: a code without an entry would be counted here.
        assert_eq!(Code::BodyNotSpooled as usize + 1, ENTRIES.len());
    }

    #[test]
    fn numbers_ascend_and_slugs_and_titles_are_unique() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.number < b.number));
        for pick in [|e: &Entry| e.slug, |e: &Entry| e.title] {
            let seen: HashSet<_> = ENTRIES.iter().map(pick).collect();
            assert_eq!(seen.len(), ENTRIES.len());
        }
    }

    #[test]
    fn every_entry_has_its_sentences() {
        for entry in &ENTRIES {
            assert!(entry.cause.ends_with('.') && entry.advice.ends_with('.'), "{entry:?}");
        }
    }

    #[test]
    fn should_retry_is_sent_only_where_it_changes_what_the_sdks_do() {
        for entry in &ENTRIES {
            let by_status = entry.status == 409 || entry.status >= 500;
            assert!(entry.should_retry.is_none_or(|said| said != by_status), "{entry:?}");
        }
    }
}
