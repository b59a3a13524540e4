//! The zoo: deliberate flaws, each of which the checker must catch. It is how the checker is checked
//! on whole runs.
//!
//! Some flaws sit in the plain store, some on the way to it, some in an engine in miniature: a
//! filter over what a client is told or a handler reports.

use crate::checker::Rule;
use crate::faults::Fault;
use crate::options::{Backend, Options};

/// A deliberate flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The store writes without comparing versions.
    IgnoresVersions,
    /// The store compares revisions and no fences.
    DropsFences,
    /// A crash of the store loses its latest acknowledged writes.
    ForgetsAcknowledged,
    /// The store answers before the write is synced.
    AnswersBeforeDurable,
    /// The store applies writes past their deadline.
    IgnoresDeadlines,
    /// The store reads back what stood there before the last write.
    ReadsStale,
    /// The store forgets keys that have ended, early.
    ForgetsEarly,
    /// The store drops replies early.
    DropsReplies,
    /// The store acknowledges a void and does not write it.
    DropsVoids,
    /// The store finds nothing due.
    NeverDue,
    /// An empty store is believed.
    TrustsEmptyStore,
    /// A settle that met a conflict is forced through.
    SettlesUnderOldFence,
    /// All bodies have one fingerprint.
    LosesFingerprint,
    /// A replay is another key's reply.
    ReplaysAnother,
    /// A replay is not what the first caller got.
    ChangesReplay,
    /// A reply is given that nobody made.
    InventsReply,
    /// Says "in flight" when nothing is.
    SaysInFlight,
    /// Runs again after a lapse, though the promise is to hold.
    RerunsUnderHold,
    /// A cut reply is reported as "nothing happened".
    ReleasesOnCut,
    /// An effect that is done is answered with "nothing happened".
    DeniesEffect,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::IgnoresVersions,
        Self::DropsFences,
        Self::ForgetsAcknowledged,
        Self::AnswersBeforeDurable,
        Self::IgnoresDeadlines,
        Self::ReadsStale,
        Self::ForgetsEarly,
        Self::DropsReplies,
        Self::DropsVoids,
        Self::NeverDue,
        Self::TrustsEmptyStore,
        Self::SettlesUnderOldFence,
        Self::LosesFingerprint,
        Self::ReplaysAnother,
        Self::ChangesReplay,
        Self::InventsReply,
        Self::SaysInFlight,
        Self::RerunsUnderHold,
        Self::ReleasesOnCut,
        Self::DeniesEffect,
    ];

    /// The rule that must name it, beside whatever others do.
    #[must_use]
    pub const fn broken(self) -> Rule {
        match self {
            Self::IgnoresVersions | Self::DropsFences | Self::SettlesUnderOldFence => Rule::Fence,
            Self::ForgetsAcknowledged | Self::AnswersBeforeDurable | Self::ReadsStale => {
                Rule::RealTime
            }
            Self::IgnoresDeadlines => Rule::Deadline,
            Self::ForgetsEarly | Self::DropsReplies => Rule::Forgetting,
            Self::DropsVoids => Rule::VoidIsFinal,
            Self::NeverDue => Rule::Liveness,
            Self::TrustsEmptyStore => Rule::Incarnation,
            Self::LosesFingerprint => Rule::Fingerprint,
            Self::ReplaysAnother => Rule::Isolation,
            Self::ChangesReplay => Rule::Agreement,
            Self::InventsReply => Rule::ProvenReply,
            Self::SaysInFlight => Rule::InProgress,
            Self::RerunsUnderHold | Self::ReleasesOnCut => Rule::OneEffect,
            Self::DeniesEffect => Rule::HonestRelease,
        }
    }

    /// A run in which the flaw has its chance: the plain store, and the faults that it needs.
    #[must_use]
    pub fn options(self, seed: u64) -> Options {
        let mut options = Options::of_seed(seed);
        options.backend = Backend::Plain;
        options.rerun = [self == Self::DropsFences; 2];
        options.honours_key = false;
        options.dated_keys = false;
        options.errands = 12;
        options.strikes.clear();
        options.rates.clear();
        let rates: &[(Fault, u32)] = match self {
            Self::IgnoresDeadlines => &[(Fault::CallLate, 200)],
            Self::LosesFingerprint => &[(Fault::OtherBody, 1000)],
            Self::NeverDue => &[(Fault::ClientLeft, 800)],
            Self::DropsVoids => &[(Fault::VoidRace, 1000), (Fault::LateRetry, 500)],
            Self::IgnoresVersions | Self::SaysInFlight | Self::ReadsStale => {
                &[(Fault::Duplicates, 800), (Fault::LateRetry, 800)]
            }
            Self::ReleasesOnCut => &[(Fault::ReplyCut, 500), (Fault::LateRetry, 500)],
            Self::DropsFences | Self::RerunsUnderHold => {
                &[(Fault::UpstreamSlow, 700), (Fault::Duplicates, 800), (Fault::LateRetry, 500)]
            }
            Self::SettlesUnderOldFence => {
                &[(Fault::UpstreamSlow, 900), (Fault::Resolved, 1000), (Fault::LateRetry, 500)]
            }
            _ => &[(Fault::LateRetry, 800)],
        };
        options.rates.extend(rates.iter().copied());
        let strikes: &[(Fault, u32)] = match self {
            Self::ForgetsAcknowledged | Self::AnswersBeforeDurable => &[(Fault::StoreCrash, 8)],
            Self::TrustsEmptyStore => &[(Fault::StoreEmpty, 3)],
            Self::NeverDue => &[(Fault::NodeCrash, 8)],
            Self::RerunsUnderHold | Self::DropsFences => &[(Fault::NodePause, 8)],
            _ => &[],
        };
        options.strikes.extend(strikes.iter().copied());
        options
    }
}
