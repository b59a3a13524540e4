//! Whose key it is, and which: one caller never gets another's reply, and two keys are never one.

mod callers;
mod keys;

use super::case;
use crate::case::{Case, Need};

pub(super) const CASES: &[Case] = &[
    case!(
        "identity/two-tenants", Must, callers::two_tenants, needs: [Need::TenantB],
        "A request of another caller's with the same key and body does not get the first caller's reply.",
        "draft-ietf-httpapi-idempotency-key-header-07 §5: a composite key; a pen-test of hono-idempotency; eight published libraries"
    ),
    case!(
        "identity/canary", Must, callers::canary, needs: [Need::TenantB],
        "Whatever another caller sends under a used key, nothing of the first reply stands in the answer.",
        "draft-ietf-httpapi-idempotency-key-header-07 §5; OWASP API1:2023"
    ),
    case!(
        "identity/two-tenants-at-once", Must, callers::tenants_at_once, needs: [Need::TenantB],
        "Two callers that use one key at the same time do not get one reply.",
        "a pen-test of hono-idempotency; a duplicate that waits must wait for its own caller's original"
    ),
    case!(
        "identity/pre-claimed", Must, callers::pre_claimed, needs: [Need::TenantB],
        "A key that another caller used first is free: nobody can keep an operation from happening.",
        "OWASP API6:2023; keys such as 1 or telegram:7:42 that others can guess"
    ),
    case!(
        "identity/two-hosts", Must, callers::two_hosts, needs: [Need::OtherHost],
        "Another operation under a key that was used at another host gets nothing of that one's reply.",
        "CVE-2026-2836: a proxy's default key left out the host"
    ),
    case!(
        "identity/two-routes", Must, callers::two_routes, needs: [Need::OtherOperation],
        "Another operation under a key that was used on another route gets nothing of that one's reply.",
        "two published libraries replay one route's reply on another"
    ),
    case!(
        "identity/rotated-credential", Info, callers::rotated, needs: [Need::Rotated],
        "A retry with the caller's new credential is the same operation.",
        "Modern Treasury: a key rotated between two attempts doubles the operation"
    ),
    case!(
        "identity/no-credential", Must, callers::no_credential, needs: [],
        "Whoever shows a key without a credential does not get the reply that is kept under it.",
        "draft-ietf-httpapi-idempotency-key-header-07 §5; RFC 9110 §11.6.2"
    ),
    case!(
        "identity/quoted-and-bare", Should, keys::quoted_and_bare, needs: [],
        "A key in quotes and the same key without them are one.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.1: an RFC 9651 string; most clients send it bare"
    ),
    case!(
        "identity/surrounding-space", Must, keys::surrounding_space, needs: [Need::Http1],
        "Spaces and tabs around a key are no part of it: a retry that has them does not run again.",
        "RFC 9110 §5.5: a field value does not include surrounding whitespace"
    ),
    case!(
        "identity/doubled-line", Should, keys::doubled_line, needs: [],
        "Of requests that bear the caller's key and another one beside it, at most one has the effect.",
        "RFC 9110 §5.3; peers that take the first line, the last one, or both: a proxy that adds its own doubles the operation"
    ),
    case!(
        "identity/doubled-line-refused", Should, keys::doubled_line_refused, needs: [],
        "A request with two keys is refused.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.1: an item, of which there is one; RFC 9651 §4.2"
    ),
    case!(
        "identity/comma-list", Must, keys::comma_list, needs: [],
        "A key with a comma is one key or none: it is not taken for its first part, and a retry does not run again.",
        "RFC 9651 §4.2; RFC 9110 §5.3"
    ),
    case!(
        "identity/comma-list-refused", Should, keys::comma_list_refused, needs: [],
        "A list of two keys is refused as two lines are: any proxy may join them.",
        "RFC 9110 §5.3; RFC 9651 §4.2"
    ),
    case!(
        "identity/empty", Should, keys::empty_refused, needs: [],
        "An empty key is refused, and not run unprotected without a word.",
        "RFC 9651 §3.3: an item is not empty; six published libraries run it unprotected"
    ),
    case!(
        "identity/empty-apart", Must, keys::empty_apart, needs: [],
        "Of two operations with an empty key, none is answered with the other's reply.",
        "an empty key says nothing, and is every careless caller's"
    ),
    case!(
        "identity/255-bytes", Should, keys::accepted_255, needs: [],
        "A key of 255 bytes is accepted, and protects.",
        "the limit that most published APIs name"
    ),
    case!(
        "identity/long-keys", Must, keys::long_keys, needs: [],
        "Long keys that differ in their last byte alone are two keys, or are refused.",
        "columns that cut what is too long"
    ),
    case!(
        "identity/odd-bytes", Must, keys::odd_bytes, needs: [],
        "Keys that differ in a byte that is no printable ASCII are two keys, or are refused.",
        "RFC 9651 §3.3.3; decoders that put one sign in place of all they cannot read"
    ),
    case!(
        "identity/non-ascii-refused", Should, keys::non_ascii_refused, needs: [],
        "A key with bytes beyond ASCII is refused.",
        "draft-ietf-httpapi-idempotency-key-header-07 §2.1; RFC 9651 §3.3.3: printable ASCII"
    ),
    case!(
        "identity/control-refused", Should, keys::control_refused, needs: [],
        "A key with a control byte is refused.",
        "RFC 9110 §5.5; RFC 9651 §3.3.3"
    ),
    case!(
        "identity/case", Must, keys::case_apart, needs: [],
        "Another operation under a key that differs in letter case alone is not answered with the first one's reply.",
        "RFC 9651 §3.3.3: a string is its characters"
    ),
    case!(
        "identity/case-matters", Should, keys::case_matters, needs: [],
        "Keys that differ in letter case alone are two keys.",
        "RFC 9651 §3.3.3; EC2's client tokens are case-sensitive"
    ),
];
