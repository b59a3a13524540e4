//! The cases that a run cannot be put to, exactly, and why. A case that is skipped and does not stand here
//! fails the run, and so does one that stands here and is run. The example of a layer uses this list, too.

/// Cases, and why a run has no means for them.
pub(crate) type Skip = (&'static [&'static str], &'static str);

/// On the memory store.
pub(crate) const MEMORY: &[Skip] = &[
    NOTHING_SENT,
    NO_MATCH_DEMANDED,
    OTHER_RUN,
    NO_SECOND_LIFE,
    NO_STORE_APART,
    NO_NETWORK,
    NO_STREAMS,
];
/// On the embedded store.
pub(crate) const EMBEDDED: &[Skip] =
    &[NOTHING_SENT, NO_MATCH_DEMANDED, OTHER_RUN, NO_NETWORK, NO_STREAMS];

const NO_STREAMS: Skip = (
    &[
        "claim/streams-one-millisecond",
        "lost/stream-reset-before-effect",
        "lost/stream-reset-after-effect",
        "lost/stream-reset-in-body",
    ],
    "HTTP/1.1 is spoken, and has no streams",
);

pub(crate) const NOTHING_SENT: Skip = (
    &[
        "side/webhook-retry",
        "side/webhook-lost-reply",
        "side/webhook-duplicates",
        "side/webhook-crash",
        "side/email-retry",
        "side/email-lost-reply",
        "side/email-duplicates",
        "side/email-crash",
        "side/message-retry",
        "side/message-lost-reply",
        "side/message-duplicates",
        "side/message-crash",
    ],
    "its charges send nothing on",
);

pub(crate) const NO_MATCH_DEMANDED: Skip = (
    &["version/match-demanded"],
    "to demand If-Match is the API's decision, and this one does not",
);

pub(crate) const OTHER_RUN: Skip = (
    &[
        "retention/spent-no-second-effect",
        "retention/spent-says-so",
        "retention/replayed-until-it-ends",
        "retention/spent-key-other-body",
        "retention/duplicates-at-the-end",
        "retention/old-key-refused",
        "retention/future-key-refused",
        "retention/new-after-memory",
    ],
    "a run of their own has short times for them",
);

const NO_SECOND_LIFE: Skip = (
    &[
        "mismatch/after-crash",
        "lease/crash-in-handler-one-effect",
        "lease/crash-in-handler-ends",
        "lease/crash-after-effect-one-effect",
        "lease/acknowledged-survives-crash",
        "lease/replay-survives-crash",
        "lease/crashes-in-a-row",
        "lease/crash-with-duplicates",
        "lease/others-work-after-crash",
    ],
    "the memory store promises nothing beyond its process",
);

const NO_STORE_APART: Skip = (
    &[
        "store/down-at-most-once",
        "store/down-says-so",
        "store/back-up-same-key",
        "store/down-known-key",
        "store/down-before-settle-one-effect",
        "store/down-before-settle-told",
        "store/read-only-at-most-once",
        "store/empty-not-new",
        "hygiene/retry-after-503",
    ],
    "the memory of a process cannot be broken from outside without breaking the process",
);

pub(crate) const NO_NETWORK: Skip = (
    &["store/slow-one-effect", "store/answer-lost-one-effect"],
    "a store in the process answers by no network that could be slow or lose an answer; \
     `docs/reference/contract-tests.md` names the tests that do it within the process",
);
