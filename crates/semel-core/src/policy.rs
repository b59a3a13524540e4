//! What a route decides about time and doubt. Plain values; who may send what lives in the layer.

use crate::id::RouteTag;
use crate::time::{Span, Timestamp};

/// What becomes of a key whose executor was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnLapse {
    /// Hold it: the key is *in doubt* until a person, a look-up or the late executor says what
    /// happened. The default, and the only safe choice for an effect that is not idempotent.
    #[default]
    Hold,
    /// Run it again under the next fence. Only for effects that are idempotent under the derived
    /// key, or harmless twice.
    Rerun,
}

/// A memory that was in force before, and shorter: what ran under it is forgotten sooner than today's
/// memory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// How long keys were known: the shortest memory of all routes.
    pub memory: Span,
    /// The latest own time of a key that may have run under it: when it ended, by the store's clock, and
    /// the skew beyond.
    pub until: Timestamp,
}

/// The rules of one route as the machine needs them. All spans are by the store's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a claim holds without being renewed.
    pub lease: Span,
    /// How long renewals may stretch one execution; then it is *in doubt*.
    pub ceiling: Span,
    /// What becomes of a key whose lease lapsed. Written into the record at the claim.
    pub on_lapse: OnLapse,
    /// Executions that [`OnLapse::Rerun`] may start in all, the first included.
    pub attempts_max: u32,
    /// How long a reply can be replayed, counted from the settle.
    pub retention: Span,
    /// How long a key is known to be used up, counted from the settle.
    pub memory: Span,
    /// The longest that the upstream may still work on a request after it was sent.
    pub max_upstream: Span,
    /// The longest pause of a process (virtual machine moved, garbage collected) between its last
    /// look at the lease and the first byte sent.
    pub pause: Span,
    /// How far a client's clock may differ from the store's. Judges keys that carry their own time.
    pub skew: Span,
    /// The birth of the store's present life, when an operator has accepted a new one: keys whose
    /// own time is not later by more than the skew are too old, for they may have run before it.
    /// [`Timestamp::ZERO`] for a store that was never replaced.
    pub birth: Timestamp,
    /// What was remembered before memory was made longer on a store that is in use. Without it, a key
    /// with its own time that ran and was forgotten would look new under the longer memory, and run
    /// again. `semel serve` notes it; who opens a store themselves notes it themselves.
    pub earlier: Option<Earlier>,
    /// Which route this is; written into the record at the claim. The layer names its own.
    pub route: Option<RouteTag>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Span::from_secs(10),
            ceiling: Span::from_secs(15 * 60),
            on_lapse: OnLapse::Hold,
            attempts_max: 5,
            retention: Span::from_secs(24 * 3600),
            memory: Span::from_secs(30 * 24 * 3600),
            max_upstream: Span::from_secs(60),
            pause: Span::from_secs(10),
            skew: Span::from_secs(5 * 60),
            birth: Timestamp::ZERO,
            earlier: None,
            route: None,
        }
    }
}

/// Why a policy could never keep its promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A lease of nothing lapses before the handler starts.
    #[error("the lease is zero: every claim would lapse at once; set it to some seconds")]
    NoLease,
    /// The ceiling bounds renewals, so it cannot lie below one lease.
    #[error(
        "the ceiling ({ceiling}) is shorter than the lease ({lease}); raise it to the longest run you allow"
    )]
    CeilingBelowLease {
        /// As configured.
        ceiling: Span,
        /// As configured.
        lease: Span,
    },
    /// The deadline of a write must be shorter than the lease.
    #[error(
        "the store deadline ({deadline}) is not shorter than the lease ({lease}): a late claim could outlive its lease; shorten the deadline or lengthen the lease"
    )]
    DeadlineNotBelowLease {
        /// As configured.
        deadline: Span,
        /// As configured.
        lease: Span,
    },
    /// Retention and memory must outlast every write that is still under way.
    #[error(
        "{what} ({span}) is shorter than ten store deadlines ({least}): a late write could find its key forgotten; lengthen it"
    )]
    TooShort {
        /// `retention` or `memory`.
        what: &'static str,
        /// As configured.
        span: Span,
        /// The least that is allowed.
        least: Span,
    },
    /// Memory counts from the same moment as retention.
    #[error(
        "memory ({memory}) is shorter than retention ({retention}): a reply cannot outlive the knowledge that its key was used"
    )]
    MemoryBelowRetention {
        /// As configured.
        memory: Span,
        /// As configured.
        retention: Span,
    },
    /// At least the first execution is an attempt.
    #[error("attempts_max is 0: nothing could ever run; use 1 for a single attempt")]
    NoAttempts,
}

impl Policy {
    /// Checks the bounds that the proofs lean on, for a store whose writes carry `deadline`.
    ///
    /// # Errors
    /// The first bound that does not hold, with the values that broke it.
    pub fn check(&self, deadline: Span) -> Result<(), PolicyError> {
        if self.lease == Span::ZERO {
            return Err(PolicyError::NoLease);
        }
        if self.ceiling < self.lease {
            return Err(PolicyError::CeilingBelowLease {
                ceiling: self.ceiling,
                lease: self.lease,
            });
        }
        if deadline >= self.lease {
            return Err(PolicyError::DeadlineNotBelowLease { deadline, lease: self.lease });
        }
        let least = deadline.times(10);
        for (what, span) in [("retention", self.retention), ("memory", self.memory)] {
            if span < least {
                return Err(PolicyError::TooShort { what, span, least });
            }
        }
        if self.memory < self.retention {
            let (memory, retention) = (self.memory, self.retention);
            return Err(PolicyError::MemoryBelowRetention { memory, retention });
        }
        if self.attempts_max == 0 {
            return Err(PolicyError::NoAttempts);
        }
        Ok(())
    }

    /// How long after the end of a lease "nothing there" becomes proof that nothing happened.
    #[must_use]
    pub fn grace(&self) -> Span {
        self.max_upstream.plus(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_keeps_its_bounds() {
        assert_eq!(Policy::default().check(Span::from_secs(5)), Ok(()));
    }

    #[test]
    fn each_bound_is_refused_by_name() {
        let ok = Policy::default;
        let deadline = Span::from_secs(5);
        let s = Span::from_secs;
        for (policy, error) in [
            (Policy { lease: s(0), ..ok() }, PolicyError::NoLease),
            (
                Policy { ceiling: s(9), ..ok() },
                PolicyError::CeilingBelowLease { ceiling: s(9), lease: s(10) },
            ),
            (
                Policy { lease: s(5), ..ok() },
                PolicyError::DeadlineNotBelowLease { deadline, lease: s(5) },
            ),
            (
                Policy { retention: s(49), ..ok() },
                PolicyError::TooShort { what: "retention", span: s(49), least: s(50) },
            ),
            (
                Policy { memory: s(3600), ..ok() },
                PolicyError::MemoryBelowRetention { memory: s(3600), retention: s(86_400) },
            ),
            (Policy { attempts_max: 0, ..ok() }, PolicyError::NoAttempts),
        ] {
            assert_eq!(policy.check(deadline), Err(error));
        }
    }
}
