//! What a case is: an id that never changes, a requirement with its source, and a closure that tries
//! it.

use std::pin::Pin;

use crate::behaviour::Behaviour;
use crate::target::{SideEffectKind, Target};
use crate::trial::Trial;
use crate::wire::Http;

/// How much a case weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Without it a retry can do harm.
    Must,
    /// What a caller may expect of a good API; counts with `--strict`.
    Should,
    /// Good to know; never counts.
    Info,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::Info];

    /// As reports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Info => "INFO",
        }
    }
}

/// What a failure does to whoever relies on the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Neither of the others.
    Other,
    /// The operation had its effect once too often.
    Doubled,
    /// Somebody got what belongs to another caller.
    Leaked,
}

impl Harm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Other, Self::Doubled, Self::Leaked];

    /// As reports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Doubled => "doubled-effect",
            Self::Leaked => "another-callers-reply",
        }
    }
}

/// How a case ended when it did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The target does not do what is required.
    Failed {
        /// What was expected.
        expected: String,
        /// What came.
        observed: String,
    },
    /// The same, and it is known what harm that does.
    Harmed {
        /// Which.
        harm: Harm,
        /// What was expected.
        expected: String,
        /// What came.
        observed: String,
    },
    /// The target lacks what the case needs.
    Skipped(String),
    /// It could not be told: neither a pass nor a failure.
    Inconclusive(String),
    /// The tester or what it leans on broke.
    Broken(String),
}

/// What the closure of a case returns.
pub type Outcome = Result<(), Halt>;

/// What a case needs of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// An operation that goes this way.
    Behaves(Behaviour),
    /// A second caller.
    TenantB,
    /// A second credential of the first caller.
    Rotated,
    /// A second host that the API answers to.
    OtherHost,
    /// A second operation.
    OtherOperation,
    /// A body with padding before the amount.
    Pad,
    /// A JSON body.
    Json,
    /// A read without effect.
    Read,
    /// Kill and start.
    Crash,
    /// How long a claim holds.
    Lease,
    /// How long replies are kept.
    Retention,
    /// How long keys are known.
    Memory,
    /// How long a gateway waits for its upstream.
    UpstreamTimeout,
    /// A store that goes down and comes back.
    StoreDown,
    /// A store that turns slow.
    StoreSlow,
    /// A store that turns read-only.
    StoreReadOnly,
    /// A store that comes back empty.
    StoreEmpty,
    /// A store that loses an answer.
    StoreAnswerLost,
    /// A resource that is written whole.
    Resource,
    /// One with versions.
    Versioned,
    /// One that demands `If-Match`.
    RequiresMatch,
    /// Something that is sent on.
    Sends(SideEffectKind),
    /// A page that tells what the API promises.
    Published,
    /// That it speaks HTTP/1.1, whose framing the case is about.
    Http1,
    /// That it speaks HTTP/2, whose streams the case is about.
    Http2,
}

impl Need {
    /// As reports write it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Behaves(behaviour) => format!("behaviour.{}", behaviour.name()),
            Self::TenantB => "tenant-b".to_owned(),
            Self::Rotated => "rotated".to_owned(),
            Self::OtherHost => "other-host".to_owned(),
            Self::OtherOperation => "other-operation".to_owned(),
            Self::Pad => "pad".to_owned(),
            Self::Json => "json".to_owned(),
            Self::Read => "read".to_owned(),
            Self::Crash => "crash".to_owned(),
            Self::Lease => "timing.lease".to_owned(),
            Self::Retention => "timing.retention".to_owned(),
            Self::Memory => "timing.memory".to_owned(),
            Self::UpstreamTimeout => "timing.upstream-timeout".to_owned(),
            Self::StoreDown => "store-down".to_owned(),
            Self::StoreSlow => "store-slow".to_owned(),
            Self::StoreReadOnly => "store-read-only".to_owned(),
            Self::StoreEmpty => "store-empty".to_owned(),
            Self::StoreAnswerLost => "store-answer-lost".to_owned(),
            Self::Resource => "resource".to_owned(),
            Self::Versioned => "resource.versioned".to_owned(),
            Self::RequiresMatch => "resource.requires-match".to_owned(),
            Self::Sends(kind) => format!("side-effect.{}", kind.name()),
            Self::Published => "published".to_owned(),
            Self::Http1 => "http-1.1".to_owned(),
            Self::Http2 => "http-2".to_owned(),
        }
    }

    /// Why the target cannot be put to the case, if so.
    #[must_use]
    pub fn missing(self, target: &Target) -> Option<String> {
        let control = &target.control;
        let lacks = |held: bool, what: &str| (!held).then(|| format!("the target has no {what}"));
        match self {
            Self::Behaves(behaviour) => lacks(
                target.behaviours.contains_key(&behaviour),
                &format!("[behaviour.{}]", behaviour.name()),
            ),
            Self::TenantB => lacks(target.tenant_b.is_some(), "[tenant_b]"),
            Self::Rotated => lacks(target.rotated.is_some(), "[rotated]"),
            Self::OtherHost => lacks(target.other_host.is_some(), "other_host"),
            Self::OtherOperation => lacks(target.other_operation.is_some(), "[other_operation]"),
            Self::Pad => lacks(target.operation.body.mentions("pad"), "{pad} in operation.body"),
            Self::Json => lacks(target.sends_json(), "JSON body"),
            Self::Read => lacks(target.read.is_some(), "read"),
            Self::Crash => {
                lacks(control.kill.is_some() && control.start.is_some(), "control.kill and start")
            }
            Self::Lease => lacks(target.timing.lease.is_some(), "timing.lease"),
            Self::Retention => lacks(target.timing.retention.is_some(), "timing.retention"),
            Self::Memory => lacks(target.timing.memory.is_some(), "timing.memory"),
            Self::UpstreamTimeout => {
                lacks(target.timing.upstream_timeout.is_some(), "timing.upstream_timeout")
            }
            Self::StoreDown => lacks(
                control.store_down.is_some() && control.store_up.is_some(),
                "control.store_down and store_up",
            ),
            Self::StoreSlow => lacks(
                control.store_slow.is_some() && control.store_up.is_some(),
                "control.store_slow and store_up",
            ),
            Self::StoreReadOnly => lacks(
                control.store_read_only.is_some() && control.store_up.is_some(),
                "control.store_read_only and store_up",
            ),
            Self::StoreEmpty => lacks(
                control.store_empty.is_some()
                    && control.stop.is_some()
                    && control.start.is_some()
                    && control.store_up.is_some(),
                "control.store_empty, stop, start and store_up",
            ),
            Self::StoreAnswerLost => lacks(
                control.store_answer_lost.is_some() && control.store_up.is_some(),
                "control.store_answer_lost and store_up",
            ),
            Self::Resource => lacks(target.resource.is_some(), "[resource]"),
            Self::Versioned => {
                lacks(target.resource.as_ref().is_some_and(|r| r.versioned), "versioned [resource]")
            }
            Self::RequiresMatch => lacks(
                target.resource.as_ref().is_some_and(|r| r.requires_match),
                "[resource] that requires_match",
            ),
            Self::Sends(kind) => lacks(
                target.side_effects.iter().any(|effect| effect.kind == kind),
                &format!("[[side_effect]] of kind {}", kind.name()),
            ),
            Self::Published => lacks(target.published.is_some(), "published"),
            Self::Http1 => (target.address.http() != Http::One)
                .then(|| "it is about the framing of HTTP/1.1, and HTTP/2 is spoken".to_owned()),
            Self::Http2 => (target.address.http() != Http::Two)
                .then(|| "it is about streams, and HTTP/1.1 has none".to_owned()),
        }
    }
}

/// What a closure of a case looks like.
pub type Run = for<'a> fn(&'a Trial) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A case.
pub struct Case {
    /// `topic/what-it-shows`; it never changes.
    pub id: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// What must, should or may hold, as a sentence.
    pub requirement: &'static str,
    /// Where the requirement comes from.
    pub source: &'static str,
    /// What it needs of the target.
    pub needs: &'static [Need],
    /// Whether it runs with no other case beside it: it breaks the target, or looks at the clock.
    pub alone: bool,
    /// Tries it.
    pub run: Run,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Case {
    /// The part of the id before `/`.
    #[must_use]
    pub fn topic(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(topic, _)| topic)
    }
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The requirement held.
    Pass,
    /// It did not.
    Fail {
        /// What that does to whoever relies on the API.
        harm: Harm,
        /// What was expected.
        expected: String,
        /// What came.
        observed: String,
    },
    /// The target lacks what the case needs.
    Skipped(String),
    /// It could not be told.
    Inconclusive(String),
    /// The tester or what it leans on broke.
    Error(String),
}

impl Verdict {
    /// As reports write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "fail",
            Self::Skipped(_) => "skipped",
            Self::Inconclusive(_) => "inconclusive",
            Self::Error(_) => "error",
        }
    }

    /// How much it should trouble: the worst of several runs is what counts.
    #[must_use]
    pub const fn gravity(&self) -> u8 {
        match self {
            Self::Skipped(_) => 0,
            Self::Pass => 1,
            Self::Inconclusive(_) => 2,
            Self::Error(_) => 3,
            Self::Fail { .. } => 4,
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(()) => Self::Pass,
            Err(Halt::Failed { expected, observed }) => {
                Self::Fail { harm: Harm::Other, expected, observed }
            }
            Err(Halt::Harmed { harm, expected, observed }) => {
                Self::Fail { harm, expected, observed }
            }
            Err(Halt::Skipped(why)) => Self::Skipped(why),
            Err(Halt::Inconclusive(why)) => Self::Inconclusive(why),
            Err(Halt::Broken(why)) => Self::Error(why),
        }
    }
}

/// Fails unless it holds.
///
/// # Errors
/// [`Halt::Failed`] with both sentences.
pub fn expect(holds: bool, expected: impl Into<String>, observed: impl Into<String>) -> Outcome {
    if holds {
        return Ok(());
    }
    Err(Halt::Failed { expected: expected.into(), observed: observed.into() })
}

/// Fails unless it holds, as a reply that belongs to another caller.
///
/// # Errors
/// [`Halt::Harmed`] with both sentences.
pub fn expect_own(
    holds: bool,
    expected: impl Into<String>,
    observed: impl Into<String>,
) -> Outcome {
    if holds {
        return Ok(());
    }
    let (expected, observed) = (expected.into(), observed.into());
    Err(Halt::Harmed { harm: Harm::Leaked, expected, observed })
}
