//! What is remembered of one operation. A plain value: the store keeps it, the machine changes it.
//!
//! A record holds *lengths* of time, counted from [`Record::stamp`], which the store sets by its own
//! clock at each write; so no engine's clock ever decides a lapse. It never holds the caller's key,
//! a request body or a readable reply.

use bytes::Bytes;

use crate::fingerprint::Fingerprint;
use crate::id::{Digest, Fence, Owner, RouteTag, Version};
use crate::policy::OnLapse;
use crate::time::{Span, Timestamp};

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Claimed; somebody runs it, or did when the lease was last renewed.
    InFlight,
    /// It may have happened. Kept without limit until somebody knows better.
    InDoubt(Doubt),
    /// It ran to an outcome that was settled.
    Completed,
    /// It is known that nothing happened; the key may run again.
    Released,
    /// It ran; its reply is gone; it will not run again while remembered.
    Spent,
    /// It has not run and will not while remembered.
    Voided,
}

impl State {
    /// The word for it in interfaces: `in-flight`, `in-doubt`, `completed`, `released`, `spent`, `void`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InFlight => "in-flight",
            Self::InDoubt(_) => "in-doubt",
            Self::Completed => "completed",
            Self::Released => "released",
            Self::Spent => "spent",
            Self::Voided => "void",
        }
    }
}

/// Who raised the doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// The lease lapsed: the executor may be dead, or only slow. It may still settle.
    Lapsed,
    /// The executor itself said that it does not know. It is finished and renews no more.
    Declared,
}

/// Whether the operation happened, over all its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It did not happen.
    None,
    /// It happened.
    Done,
    /// Nobody here can say.
    Unknown,
}

impl Effect {
    /// `none`, `done` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }

    /// What an HTTP status says of the effect: 2xx and 3xx are done, all else is unknown.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            200..=399 => Self::Done,
            _ => Self::Unknown,
        }
    }
}

/// Under which key a stored reply is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealedUnder {
    /// The caller's idempotency key and the server secret: only a caller who shows the key reads it.
    Caller,
    /// The server secret alone: for a reply that came without a caller (an operator, a look-up).
    Server,
}

/// An encrypted reply: the nonce, the ciphertext and its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub under: SealedUnder,
    /// Nonce, ciphertext, tag.
    pub bytes: Bytes,
}

/// What became of the reply of a settled operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredReply {
    /// Kept, encrypted.
    Sealed(Sealed),
    /// Too large, a stream, or not kept by policy.
    NotKept,
    /// Resolved by somebody who knew that it happened but not what was answered. The executor's
    /// late reply may still fill it in.
    Unknown,
    /// Retention has passed, or the caller acknowledged it.
    Gone,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Of the plain outcome. `None` once only the spent marker is left, and when no outcome was
    /// ever seen (resolved without a reply).
    pub digest: Option<Digest>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// Whether it happened.
    pub effect: Effect,
    /// The reply.
    pub reply: StoredReply,
}

/// One operation as the store remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub state: State,
    /// Orders its executions.
    pub fence: Fence,
    /// Counts the writes under this fence.
    pub revision: u32,
    /// When this was written, by the store's clock. The store sets it; until then it is zero.
    pub stamp: Timestamp,
    /// What the first claim asked for. `None` for a key that was voided before any claim.
    pub fingerprint: Option<Fingerprint>,
    /// Who claimed it last.
    pub owner: Owner,
    /// Executions granted so far, from 1; 0 for a key that was voided before any claim.
    pub attempt: u32,
    /// The last fence under which an execution was granted.
    pub executed_fence: Option<Fence>,
    /// An earlier attempt ended without a known outcome: this one's *released* speaks only for itself.
    pub earlier_doubt: bool,
    /// The policy of the route at the claim.
    pub on_lapse: OnLapse,
    /// While in flight: the lease, from the stamp.
    pub lease: Span,
    /// How long renewals may stretch the attempt, from its claim.
    pub ceiling: Span,
    /// When the present attempt was claimed; `None` in the claim's own write, where it is the stamp.
    pub began: Option<Timestamp>,
    /// Once no longer in flight: when the last lease ended.
    pub lapsed_at: Timestamp,
    /// When the present state began; `None` where it began with this very write.
    pub since: Option<Timestamp>,
    /// How long a reply can be replayed, from `since`.
    pub retention: Span,
    /// How long the key is known to be used, from `since`.
    pub memory: Span,
    /// How long after the end of the lease "nothing there" is proof.
    pub grace: Span,
    /// Keys that carry their own time are not forgotten before this.
    pub keep_until: Timestamp,
    /// While in flight or in doubt: the route that every attempt was claimed on, so that a look-up is
    /// asked only about what it is for. `None` where no route was named, or not always the same.
    pub route: Option<RouteTag>,
    /// The outcome, when completed or spent.
    pub outcome: Option<Settled>,
}

impl Record {
    /// What a compare-and-set on this record compares.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version { fence: self.fence, revision: self.revision }
    }

    /// When the present state began.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since.unwrap_or(self.stamp)
    }

    /// When the present attempt was claimed.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.began.unwrap_or(self.stamp)
    }

    /// The last moment of the last lease.
    #[must_use]
    pub fn lease_end(&self) -> Timestamp {
        match self.state {
            State::InFlight => self.stamp.plus(self.lease),
            State::InDoubt(_)
            | State::Completed
            | State::Released
            | State::Spent
            | State::Voided => self.lapsed_at,
        }
    }

    /// When "nothing there" becomes proof that nothing happened: the first millisecond after the
    /// grace. Within its last one a request that was sent at the very end of the lease may still act.
    #[must_use]
    pub fn grace_end(&self) -> Timestamp {
        self.lease_end().plus(self.grace).plus(Span::from_ms(1))
    }

    /// When the key may be forgotten: the later of memory and, for keys with their own time, the
    /// moment at which they become too old by themselves.
    #[must_use]
    pub fn memory_end(&self) -> Timestamp {
        self.since().plus(self.memory).max(self.keep_until)
    }

    /// When a sweep has something to do here; `None` for a key in doubt, which only knowledge ends.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            State::InFlight => Some(self.lease_end().plus(Span::from_ms(1))),
            State::InDoubt(_) => None,
            State::Completed | State::Released => Some(self.since().plus(self.retention)),
            State::Spent | State::Voided => Some(self.memory_end()),
        }
    }

    /// Whether the operation happened, as far as this record knows.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match (self.state, &self.outcome) {
            (State::Completed | State::Spent, Some(settled)) => settled.effect,
            (State::Released | State::Voided, _) => Effect::None,
            (State::InFlight | State::InDoubt(_) | State::Completed | State::Spent, _) => {
                Effect::Unknown
            }
        }
    }
}
