//! A record as operators see it: where it stands, and nothing that opens it.

use semel::core::{Doubt, OnLapse, Record, RecordId, Secret, Span, State, StoredReply};
use semel::http::rfc3339;
use serde_json::{Value, json};

/// A record as JSON. Times are RFC 3339, lengths are seconds or `"forever"`.
pub(crate) fn record(id: &RecordId, record: &Record, secret: &Secret) -> Value {
    let mut shown = json!({
        "id": id.to_string(),
        "state": record.state.name(),
        "effect": record.effect().name(),
        "attempt": record.attempt,
        "fence": record.fence.0,
        "since": rfc3339(record.since()),
        "changed": rfc3339(record.stamp),
        "retention": seconds(record.retention),
        "memory": seconds(record.memory),
        "on_lapse": match record.on_lapse {
            OnLapse::Hold => "hold",
            OnLapse::Rerun => "rerun",
        },
        "earlier_doubt": record.earlier_doubt,
        "derived_key": secret.derived_key(id, ""),
    });
    match record.state {
        State::InFlight => {
            shown["began"] = json!(rfc3339(record.began()));
            shown["lease_end"] = json!(rfc3339(record.lease_end()));
        }
        State::InDoubt(doubt) => {
            shown["doubt"] = json!(match doubt {
                Doubt::Lapsed => "lapsed",
                Doubt::Declared => "declared",
            });
            shown["released_from"] = json!(rfc3339(record.grace_end()));
        }
        State::Completed | State::Released | State::Spent | State::Voided => {}
    }
    if let Some(outcome) = &record.outcome {
        shown["status"] = json!(outcome.status);
        shown["reply"] = json!(match &outcome.reply {
            StoredReply::Sealed(_) => "kept",
            StoredReply::NotKept => "not-kept",
            StoredReply::Unknown => "unknown",
            StoredReply::Gone => "gone",
        });
    }
    shown
}

fn seconds(span: Span) -> Value {
    if span.is_forever() { json!("forever") } else { json!(span.as_ms() / 1000) }
}
