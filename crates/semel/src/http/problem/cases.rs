//! A constructor for each row of the contract's reply table: what is certain, and what to send next.
//!
//! Each states effect, `ran` and advice by itself, so that no caller of it has to know them. A new key
//! is advised only where it is certain that nothing happened and nothing will.

use http::Method;
use semel_core::fingerprint::{Difference, Part};
use semel_core::{Effect, Span, StoreError, Timestamp};

use super::{Problem, Retry};
use crate::http::catalogue::Code;
use crate::http::status::{Status, Word};

impl Problem {
    /// A request that must be corrected before it can be looked at: `code` is one of the 01xx.
    /// Whether the operation happened under another request is unknown here.
    #[must_use]
    pub fn request(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::new(code, Effect::Unknown, false, Retry::Never) }
    }

    /// The body broke off before its end.
    #[must_use]
    pub fn body_incomplete() -> Self {
        Self::new(Code::BodyIncomplete, Effect::Unknown, false, Retry::SameKey)
    }

    /// The body is larger than `max` bytes.
    #[must_use]
    pub fn body_too_large(max: u64) -> Self {
        let detail = format!("The limit of this route is {max} bytes.");
        Self::request(Code::BodyTooLarge, detail).with_extra("limit", max)
    }

    /// The body is larger than what is held in memory, and no file could take it.
    #[must_use]
    pub fn body_not_spooled(after: Span) -> Self {
        Self::new(Code::BodyNotSpooled, Effect::Unknown, false, Retry::SameKey).after(after)
    }

    /// A reserved path that answers to nothing.
    #[must_use]
    pub fn path_unknown() -> Self {
        Self::request(Code::PathUnknown, "")
    }

    /// A reserved path that answers to `allow` alone.
    #[must_use]
    pub fn method_unknown(allow: &[Method]) -> Self {
        Self { allow: allow.to_vec(), ..Self::request(Code::MethodUnknown, "") }
    }

    /// An inquiry of which it is not certain which record it is about.
    #[must_use]
    pub fn route_unnamed(why: impl Into<String>) -> Self {
        Self::request(Code::RouteUnnamed, why)
    }

    /// The key belongs to another request, whose effect is `effect`.
    #[must_use]
    pub fn mismatch(effect: Effect, difference: Difference) -> Self {
        match difference {
            Difference::RulesChanged => Self::rules_changed(effect),
            Difference::Parts(parts) => {
                Self::key_reused(effect, parts.iter().map(Part::name).collect())
            }
            Difference::Nothing => Self::key_reused(effect, Vec::new()),
        }
    }

    /// The key belongs to another request, whose effect is `effect`; `differs` names the parts.
    #[must_use]
    pub fn key_reused(effect: Effect, differs: Vec<&'static str>) -> Self {
        let problem = Self { differs, ..Self::new(Code::KeyReused, effect, false, Retry::Never) };
        problem.inquire()
    }

    /// The key's first request was remembered under older rules of comparison, so that it cannot be
    /// told whether this is the same one.
    #[must_use]
    pub fn rules_changed(effect: Effect) -> Self {
        let detail = "The rules by which requests are compared have changed since the first one.";
        Self {
            reason: Some("rules-changed"),
            detail: detail.to_owned(),
            ..Self::key_reused(effect, Vec::new())
        }
    }

    /// The original runs. `after`: when it is worth asking again.
    #[must_use]
    pub fn in_flight(after: Span) -> Self {
        let problem = Self::new(Code::InFlight, Effect::Unknown, false, Retry::SameKey);
        problem.after(after).inquire()
    }

    /// It may have happened. `ran`: this request is the one whose outcome is unknown.
    #[must_use]
    pub fn in_doubt(ran: bool, since: Option<Timestamp>) -> Self {
        let problem = Self::new(Code::InDoubt, Effect::Unknown, ran, Retry::SameKey);
        Self { since, ..problem }.inquire()
    }

    /// The key was used and its reply is gone; `status` is the HTTP status that it had.
    #[must_use]
    pub fn key_spent(effect: Effect, status: Option<u16>) -> Self {
        Self::new(Code::KeySpent, effect, false, Retry::Never).recorded(status)
    }

    /// The operation ran and its reply was never kept.
    #[must_use]
    pub fn reply_not_kept(effect: Effect, status: Option<u16>) -> Self {
        Self::new(Code::ReplyNotKept, effect, false, Retry::Never).recorded(status)
    }

    /// The key's own time lies before all that is remembered.
    #[must_use]
    pub fn key_too_old() -> Self {
        Self::new(Code::KeyTooOld, Effect::Unknown, false, Retry::Never).inquire()
    }

    /// The key's own time lies more than `skew` ahead.
    #[must_use]
    pub fn key_ahead(skew: Span) -> Self {
        let detail = format!("Clocks may differ by {skew}.");
        Self::request(Code::KeyAhead, detail)
    }

    /// The key was voided.
    #[must_use]
    pub fn key_void(since: Option<Timestamp>) -> Self {
        Self { since, ..Self::new(Code::KeyVoid, Effect::None, false, Retry::NewKey) }
    }

    /// To a void: the operation has ended already, with this effect and HTTP status.
    #[must_use]
    pub fn key_used(effect: Effect, status: Option<u16>, since: Option<Timestamp>) -> Self {
        let problem = Self::new(Code::KeyUsed, effect, false, Retry::SameKey);
        Self { since, ..problem }.recorded(status)
    }

    /// To an acknowledgement: there is nothing under this key.
    #[must_use]
    pub fn key_unknown() -> Self {
        Self::new(Code::KeyUnknown, Effect::Unknown, false, Retry::Never)
    }

    /// The store did not answer before anything was started.
    #[must_use]
    pub fn store_unavailable(after: Span) -> Self {
        let problem = Self::new(Code::StoreUnavailable, Effect::Unknown, false, Retry::SameKey);
        problem.after(after)
    }

    /// The store has no room for a new key.
    #[must_use]
    pub fn store_full(after: Span) -> Self {
        Self::new(Code::StoreFull, Effect::Unknown, false, Retry::SameKey).after(after)
    }

    /// Before anything was started, the store failed like this. Its words are for the operator's log,
    /// not for the caller.
    #[must_use]
    pub fn store(error: &StoreError, after: Span) -> Self {
        match error {
            StoreError::Full { .. } => Self::store_full(after),
            StoreError::Undecodable { .. } | StoreError::Damaged { .. } => {
                Self::record_unreadable()
            }
            _ => Self::store_unavailable(after),
        }
    }

    /// The operation ran with this effect, and the settle is not durable yet.
    #[must_use]
    pub fn not_recorded(effect: Effect, after: Span) -> Self {
        Self::new(Code::NotRecorded, effect, true, Retry::SameKey).after(after)
    }

    /// The operation ran with this effect, and the store takes no settle from this process any more.
    #[must_use]
    pub fn recording_stopped(effect: Effect, after: Span) -> Self {
        Self::new(Code::RecordingStopped, effect, true, Retry::SameKey).after(after)
    }

    /// The operation ran with this effect, and there is no record that could say so later.
    #[must_use]
    pub fn outcome_lost(effect: Effect) -> Self {
        Self::new(Code::OutcomeLost, effect, true, Retry::Never)
    }

    /// The key's record is damaged or of an unknown version.
    #[must_use]
    pub fn record_unreadable() -> Self {
        Self::new(Code::RecordUnreadable, Effect::Unknown, false, Retry::SameKey)
    }

    /// No connection was obtained, so nothing of this request was acted on. `earlier_doubt`: an
    /// earlier attempt may have done it all the same.
    #[must_use]
    pub fn upstream_unreachable(earlier_doubt: bool, after: Span) -> Self {
        let effect = if earlier_doubt { Effect::Unknown } else { Effect::None };
        let mut problem = Self::new(Code::UpstreamUnreachable, effect, false, Retry::SameKey);
        if earlier_doubt {
            problem.status = Status::new(Word::InDoubt);
            problem.detail = "An earlier attempt may have done it.".to_owned();
        }
        problem.after(after)
    }

    /// The principal has taken as much of the route as it may at present, and this key is new.
    #[must_use]
    pub fn quota(after: Span) -> Self {
        Self::new(Code::Quota, Effect::Unknown, false, Retry::SameKey).after(after)
    }

    /// As many executions as may run at once are running.
    #[must_use]
    pub fn overloaded(after: Span) -> Self {
        Self::new(Code::Overloaded, Effect::Unknown, false, Retry::SameKey).after(after)
    }

    /// The process is going down and starts nothing new.
    #[must_use]
    pub fn draining(after: Span) -> Self {
        Self::new(Code::Draining, Effect::Unknown, false, Retry::SameKey).after(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's reply table: code, status, effect, ran, retry, word.
    #[test]
    fn each_row_of_the_contract_is_answered_as_it_says() {
        let s = Span::from_secs(1);
        let done = Effect::Done;
        let rows = [
            (Problem::key_reused(done, vec![]), "key-reused 422 done false never mismatch"),
            (
                Problem::mismatch(done, Difference::RulesChanged),
                "key-reused 422 done false never mismatch",
            ),
            (Problem::in_flight(s), "in-flight 409 unknown false same-key in-flight"),
            (Problem::in_doubt(true, None), "in-doubt 409 unknown true same-key in-doubt"),
            (Problem::key_spent(done, None), "key-spent 410 done false never spent"),
            (Problem::reply_not_kept(done, None), "reply-not-kept 410 done false never spent"),
            (Problem::key_too_old(), "key-too-old 410 unknown false never refused"),
            (Problem::key_ahead(s), "key-ahead 400 unknown false never refused"),
            (Problem::key_void(None), "key-void 409 none false new-key void"),
            (
                Problem::upstream_unreachable(false, s),
                "upstream-unreachable 502 none false same-key released",
            ),
            (
                Problem::upstream_unreachable(true, s),
                "upstream-unreachable 502 unknown false same-key in-doubt",
            ),
            (Problem::store_unavailable(s), "store-unavailable 503 unknown false same-key refused"),
            (Problem::store_full(s), "store-full 503 unknown false same-key refused"),
            (Problem::not_recorded(done, s), "not-recorded 503 done true same-key in-flight"),
            (
                Problem::recording_stopped(done, s),
                "recording-stopped 503 done true same-key in-doubt",
            ),
            (Problem::outcome_lost(done), "outcome-lost 500 done true never in-doubt"),
            (Problem::quota(s), "quota 429 unknown false same-key refused"),
            (Problem::overloaded(s), "overloaded 503 unknown false same-key refused"),
            (Problem::draining(s), "draining 503 unknown false same-key refused"),
            (Problem::body_too_large(9), "body-too-large 413 unknown false never refused"),
            (Problem::body_incomplete(), "body-incomplete 400 unknown false same-key refused"),
            (Problem::body_not_spooled(s), "body-not-spooled 503 unknown false same-key refused"),
            (Problem::record_unreadable(), "record-unreadable 500 unknown false same-key refused"),
            (Problem::key_used(done, None, None), "key-used 409 done false same-key refused"),
            (Problem::key_unknown(), "key-unknown 404 unknown false never refused"),
        ];
        for (problem, row) in rows {
            let entry = problem.code.entry();
            let said = format!(
                "{} {} {} {} {} {}",
                entry.slug,
                entry.status,
                problem.effect.name(),
                problem.ran,
                problem.retry.name(),
                problem.status.word().name()
            );
            assert_eq!(said, row);
            // A new key after doubt is a second charge.
            assert!(problem.retry != Retry::NewKey || problem.effect == Effect::None, "{said}");
        }
    }

    #[test]
    fn a_store_that_fails_is_told_from_one_that_is_full_or_damaged() {
        let what = || "/var/lib/semel".to_owned();
        for (error, code) in [
            (StoreError::Timeout, Code::StoreUnavailable),
            (StoreError::Unavailable { reason: what() }, Code::StoreUnavailable),
            (StoreError::Full { what: what() }, Code::StoreFull),
            (StoreError::Damaged { what: what() }, Code::RecordUnreadable),
        ] {
            let problem = Problem::store(&error, Span::from_secs(1));
            assert_eq!(problem.code, code);
            let body = String::from_utf8(problem.to_json().to_vec()).unwrap();
            assert!(!body.contains("/var/lib"), "the store's words are not the caller's");
        }
    }
}
