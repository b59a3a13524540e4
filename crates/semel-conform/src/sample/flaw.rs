//! What can be broken about the sample's protection: each flaw was seen in the world, or follows from
//! one that was.

macro_rules! flaws {
    ($($variant:ident, $name:literal, $what:literal;)*) => {
        /// One thing that is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Flaw {
            $(#[doc = $what] $variant,)*
        }

        impl Flaw {
            /// All of them, by topic.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name, as `--sample` takes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What is wrong, and where it was seen.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$variant => $what,)*
                }
            }
        }
    };
}

flaws! {
    // The claim.
    HeedsNoKey, "heeds-no-key", "No key is heeded at all: most APIs.";
    GetThenSet, "get-then-set", "The claim is a look and then a write, and two get between them: IdempotentAPI, axum-idempotent, a payment plug-in of 2025.";
    ShortClaim, "short-claim", "The claim holds shorter than the handler runs, and a retry takes it over: Svix's 5 s, a 10 s lock under a 60 s handler.";
    UnfencedSettle, "unfenced-settle", "An owner whose claim was taken over writes its outcome over the new owner's: Powertools, Diom, josipmusa.";
    LateRelease, "late-release", "An owner whose claim was taken over deletes the new owner's record, and a third run follows: Powertools, Quarkus.";
    WaitersDelete, "waiters-delete", "A waiting duplicate that loses patience deletes the record of the live owner: arun0009/idempotent.";
    LeaverCancels, "leaver-cancels", "A caller that leaves frees the key, while what it started goes on: bookkeeping on the connection's own task.";
    MarksFirst, "marks-first", "An operation is marked as done before it is: Watermill, and whoever records in front of the effect.";
    OneAtATime, "one-at-a-time", "Every key waits for every other that is in flight: one guard for the whole table of keys.";
    // Outcomes.
    ErrorReleases, "error-releases", "A 5xx after the effect frees the key, and the retry runs again: idemkit, express-idempotency, hono-idempotency.";
    BreakReleases, "break-releases", "A handler that breaks off frees the key, whatever it had done: Powertools deletes the record on an exception.";
    TimeOutReleases, "time-out-releases", "A time-out is taken for a failure and frees the key: idempotent-proxy.";
    TruncatedKept, "truncated-kept", "Half a reply is kept and replayed as a whole one.";
    InvalidSticks, "invalid-sticks", "A request that was refused as invalid leaves its claim behind, and the key is stuck: asgi-idempotency-header.";
    DeclineReruns, "decline-reruns", "A declined payment is not final: its retry is tried again under the same key.";
    RateLimitSticks, "rate-limit-sticks", "A 401 or 429 that came before anything happened is kept, and the key is stuck with it: node-idempotency, asgi-idempotency-header.";
    RecordAfterEffect, "record-after-effect", "The claim is only in memory until the effect has happened: a crash in between, and the retry runs again.";
    CrashReruns, "crash-reruns", "What a crash left undecided is run again: every library with a lease and no word for doubt.";
    RunNotOperation, "run-not-operation", "What a crash left undecided is run again, and what it sends on is named after the run: thMenu 2026.";
    StuckAfterCrash, "stuck-after-crash", "One time for claim and record: after a crash the key is in flight for as long as a record lives: node-idempotency, express-idempotency.";
    CrashShutsOut, "crash-shuts-out", "After a crash with a key in flight the next caller is turned away, whatever its key: what was left is sorted out on somebody else's time.";
    ReplyBeforeCommit, "reply-before-commit", "The reply leaves before the record is written: idemkit, node-idempotency, idempot-js.";
    // Identity.
    KeyWithoutTenant, "key-without-tenant", "The key is everybody's, and one customer gets another's reply: asgi-idempotency-header, Restate, a pen-test of hono-idempotency.";
    OthersKeyBlocks, "others-key-blocks", "The key is everybody's, and whoever claims it first shuts the others out.";
    AnybodyReplays, "anybody-replays", "Whoever shows a key gets what is kept under it, without a credential: a replay in front of the authentication.";
    BodyIsKey, "body-is-key", "Equal bodies are taken for one operation whatever their keys: idempot-js's guard against duplicates.";
    KeyWithoutHost, "key-without-host", "The host is no part of the request's identity: the default of Pingora until CVE-2026-2836.";
    KeyWithoutRoute, "key-without-route", "The path is no part of the request's identity, and one route replays another's reply: axum-idempotent, idempotent-proxy.";
    KeyWithoutMethod, "key-without-method", "The method is no part of the request's identity.";
    NoFingerprint, "no-fingerprint", "Another body under a used key gets the old reply as if it had been done: Restate, axum-idempotent, asgi-idempotency-header.";
    FingerprintFirstKb, "fingerprint-first-kb", "Bodies are compared by their first KiB: Quarkus compares large ones by length.";
    FingerprintWithoutQuery, "fingerprint-without-query", "The query is not compared: hono-idempotency, asgi-idempotency-header.";
    MismatchRuns, "mismatch-runs", "Another body under a used key is taken for another key, and runs: Traefik and APISIX plug-ins.";
    MismatchJoins, "mismatch-joins", "Another body is not noticed while the first is in flight: it waits, and gets the first one's reply.";
    TakeoverForgets, "takeover-forgets", "Another body takes a key over whose outcome is undecided: idemkit.";
    LeaksOnMismatch, "leaks-on-mismatch", "The refusal of a mismatch shows what is stored under the key, to another customer, too.";
    // The key itself.
    FirstOfTwoKeys, "first-of-two-keys", "Of two key headers the first wins: asgi-idempotency-header, idempotent.";
    CommaFirst, "comma-first", "Of a list in one line the first key is taken.";
    EmptyKeyUnprotected, "empty-key-unprotected", "An empty key is none, and the request runs unprotected: six of the peers measured.";
    EmptyKeyShared, "empty-key-shared", "An empty key is a key, and every careless caller gets the first one's reply.";
    OddKeyUnprotected, "odd-key-unprotected", "A key that is no ASCII text is none, and the request runs unprotected.";
    OddBytesReplaced, "odd-bytes-replaced", "Bytes of a key that are no text are all read as one sign, and two keys are one.";
    ControlDropped, "control-dropped", "Control bytes of a head are dropped on the way, and two keys are one.";
    KeyFolded, "key-folded", "Keys are compared without letter case, and two operations are taken for one.";
    KeyFoldedBlind, "key-folded-blind", "Keys are compared without letter case and bodies not at all: another operation gets a reply that is not its own.";
    KeyTruncated, "key-truncated", "A key that is too long is cut to fit its column, and two operations are taken for one.";
    QuotedDiffers, "quoted-differs", "A quoted key and the same key bare are two: nearly all peers.";
    // The replay.
    NoContentNotKept, "no-content-not-kept", "A 204 is taken for no reply, and the retry runs again: idemkit, node-idempotency, asgi-idempotency-header.";
    EmptyNotKept, "empty-not-kept", "A reply with an empty body is taken for none, and the retry runs again.";
    BigReplyReruns, "big-reply-reruns", "A reply over 1 MiB is not kept, and the retry runs again: idemkit, idempotent, axum-idempotent.";
    RedirectReruns, "redirect-reruns", "A redirect is not kept, and the retry runs again: libraries that keep 2xx alone.";
    BinaryAsText, "binary-as-text", "Bodies are kept as text, and bytes that are none are replaced: node-idempotency turned 256 into 940.";
    CodingLost, "coding-lost", "The content coding is not kept: a compressed reply is replayed as if it were plain.";
    StreamEmpty, "stream-empty", "A streamed reply is replayed empty: a body that was read already.";
    CookiesReplayed, "cookies-replayed", "Set-Cookie is replayed, and whoever shows the key gets the session: Fiber, idempotent, idempot-js.";
    DateReplayed, "date-replayed", "A replay bears the date of the first reply, and any age is reckoned from it.";
    CredentialsReplayed, "credentials-replayed", "A replay shows the credential that was sent with it: Apache Polaris issue 3803.";
    HeadersMerged, "headers-merged", "Of a repeated header the last line alone is replayed: idemkit.";
    HeadersLost, "headers-lost", "Content-Type alone is replayed; Location is lost: idemkit, node-idempotency, express-idempotency.";
    StatusLost, "status-lost", "Every replay is a 200.";
    ErrorsChanged, "errors-changed", "A stored failure is replayed as another one: Uber Eats and Paytm in 2019, where it was read as success.";
    // Time.
    RetentionReruns, "retention-reruns", "A key is forgotten with its reply: the retry after that runs again.";
    // The store.
    FailsOpen, "fails-open", "While its store is down it runs everything unprotected: axum-idempotent.";
    AnswerLostRuns, "answer-lost-runs", "A claim whose answer was lost is taken back, and the request runs without one.";
    StoreErrorSticks, "store-error-sticks", "A key that met the store's trouble is refused for good: a rejected promise that is kept.";
    SettleFailureFails, "settle-failure-fails", "An operation that ran and could not be recorded is told to have failed: Fiber.";
    EmptyBelieved, "empty-believed", "A store that comes back empty is believed: Twilio in July 2013.";
    SettleFailureReleases, "settle-failure-releases", "An outcome whose writing failed frees the key: Quarkus.";
    SlowFailsOpen, "slow-fails-open", "A store that does not answer in time is passed by, and the request runs unprotected.";
    // Methods and versions.
    GetReplays, "get-replays", "A GET with a key gets what was read before, however old.";
    ReadGetsReply, "read-gets-reply", "A read with a used key gets the reply of the operation that used it.";
    LostUpdate, "lost-update", "If-Match is not looked at, and the later of two writers wins.";
    WonWriteConflicts, "won-write-conflicts", "The retry of a write that won is told 412: it loses against itself.";
    RetryOverwrites, "retry-overwrites", "A retry of a write is let through without its precondition, over what others wrote since.";
    NoEtag, "no-etag", "A read does not say which version it shows.";
    PutOnce, "put-once", "A second PUT is refused: it exists already.";
    DeleteAgainFails, "delete-again-fails", "A DELETE of what is gone is an error of the server's.";
    NoPrecondition, "no-precondition", "A write without If-Match is let through where one is demanded.";
    // What is sent on.
    WebhookFreshId, "webhook-fresh-id", "Each delivery of a webhook has an id of its own.";
    EmailTwice, "email-twice", "A retry sends the email again, under an id of its own.";
    MessageTwice, "message-twice", "A retry publishes the message again, under an id of its own.";
    // On the wire.
    UnreadBody, "unread-body", "A replay leaves without reading the request's body, whose bytes become the next request: CVE-2025-4366.";
    LaxFraming, "lax-framing", "Of two lengths the first counts, chunks beside a length leave the connection open, and a folded header is dropped: CVE-2026-2835 and its like.";
    TwoFramings, "two-framings", "A length beside chunks makes neither count, and the body becomes the next request.";
    HeaderInjection, "header-injection", "The key is written into the reply's head, line ends and all.";
    // Manners.
    NoRetryAfter, "no-retry-after", "A duplicate in flight is refused without a word on when to come again.";
    NoMarker, "no-marker", "A replay looks like a first reply.";
    PlainErrors, "plain-errors", "Refusals are plain text, which a program cannot tell apart.";
    MismatchAs409, "mismatch-as-409", "A mismatch is told as a conflict, which clients try again.";
    PublishesNothing, "publishes-nothing", "Nobody is told for how long a key is known.";
}

impl Flaw {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|flaw| flaw.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_are_never_twice() {
        for flaw in Flaw::ALL {
            assert_eq!(Flaw::named(flaw.name()), Some(*flaw));
            assert!(flaw.what().ends_with('.'), "{}", flaw.name());
        }
        assert_eq!(Flaw::named("reference"), None);
    }
}
