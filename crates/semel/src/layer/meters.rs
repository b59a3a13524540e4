//! What is counted of keyed requests. Never a key, a principal or a path: labels are words of a fixed
//! list.
//!
//! The handles are made once, with the layer, so that counting costs no allocation: whoever records
//! metrics installs its recorder before the layer is made.
//!
//! | metric | counts |
//! |---|---|
//! | `semel_keyed_requests_total{answer}` | answers to requests that bear a key, by the word of `Idempotency-Status` |
//! | `semel_execution_seconds` | time of the inner service, to the end of its reply where that is kept |
//! | `semel_keyed_body_bytes` | bodies of keyed requests |
//! | `semel_observed_total{would}` | requests on a route in observe mode, by the answer that enforcing would have given; `unknown` where that cannot be told |
//! | `semel_principal_changed_total` | keys met with the same request under another principal |

use std::fmt;

use http::HeaderMap;
use metrics::{Counter, Histogram, counter, histogram};

use crate::http::Word;
use crate::http::status::IDEMPOTENCY_STATUS;

/// The handles of one layer.
pub(super) struct Meters {
    answers: [Counter; Word::ALL.len()],
    would: [Counter; Word::ALL.len()],
    would_unknown: Counter,
    pub(super) execution: Histogram,
    pub(super) body: Histogram,
    pub(super) principal_changed: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            answers: Word::ALL
                .map(|word| counter!("semel_keyed_requests_total", "answer" => word.name())),
            would: Word::ALL.map(|word| counter!("semel_observed_total", "would" => word.name())),
            would_unknown: counter!("semel_observed_total", "would" => "unknown"),
            execution: histogram!("semel_execution_seconds"),
            body: histogram!("semel_keyed_body_bytes"),
            principal_changed: counter!("semel_principal_changed_total"),
        }
    }

    /// Counts what enforcing would have answered.
    pub(super) fn would(&self, word: Option<Word>) {
        let at = word.and_then(|word| Word::ALL.iter().position(|known| *known == word));
        match at.and_then(|at| self.would.get(at)) {
            Some(counter) => counter.increment(1),
            None => self.would_unknown.increment(1),
        }
    }

    /// Counts an answer by its `Idempotency-Status`; one without is none to a key.
    pub(super) fn answered(&self, headers: &HeaderMap) {
        let Some(value) = headers.get(IDEMPOTENCY_STATUS) else { return };
        let word = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        for (known, counter) in Word::ALL.iter().zip(&self.answers) {
            if known.name().as_bytes() == word {
                counter.increment(1);
            }
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters(..)")
    }
}
