//! What a seed expands to. Every run prints it, so that a failure can be read before it is replayed.

use std::collections::BTreeMap;
use std::fmt;

use semel::core::{OnLapse, Policy, Span};

use crate::checker::Terms;
use crate::faults::Fault;
use crate::rng::Rng;

/// Which store the nodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The store in memory: no crash, for there is nothing to come back from.
    Memory,
    /// The simulator's own plain store, which syncs each write by itself.
    Plain,
    /// The record log on a disk that lies.
    Log,
}

/// Everything that a run is made of. A seed makes one; tests change some of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where all chance comes from.
    pub seed: u64,
    /// The store.
    pub backend: Backend,
    /// Principals; all use the same keys.
    pub tenants: u8,
    /// Operations that clients want done.
    pub errands: u16,
    /// How long faults strike, in milliseconds.
    pub safety_ms: u64,
    /// Of both nodes.
    pub policy: Policy,
    /// Whether node 0 and node 1 run again after a lapse.
    pub rerun: [bool; 2],
    /// How long a write may be under way.
    pub deadline: Span,
    /// Whether the upstream does each derived key at most once.
    pub honours_key: bool,
    /// Keys are UUIDv7 and carry their own time.
    pub dated_keys: bool,
    /// A node may pause between its last look at the lease and the first byte.
    pub begin_gap: bool,
    /// Bytes of the largest reply.
    pub reply_bytes: u64,
    /// Faults that are drawn at each chance, in thousandths.
    pub rates: BTreeMap<Fault, u32>,
    /// Faults that strike so many times at random moments.
    pub strikes: BTreeMap<Fault, u32>,
}

/// Drawn at each call, request or errand, with the highest rate in thousandths.
const DRAWN: [(Fault, u64); 16] = [
    (Fault::CallLost, 100),
    (Fault::AnswerLost, 100),
    (Fault::CallLate, 60),
    (Fault::CallTwice, 60),
    (Fault::StoreSlow, 60),
    (Fault::ClientLeft, 300),
    (Fault::Duplicates, 500),
    (Fault::OtherBody, 300),
    (Fault::LateRetry, 400),
    (Fault::UpstreamSlow, 250),
    (Fault::ReplyCut, 150),
    (Fault::ConnectFailed, 150),
    (Fault::NoEffect, 150),
    (Fault::LargeReply, 150),
    (Fault::VoidRace, 200),
    (Fault::Resolved, 500),
];

/// Struck at random moments, with the highest number.
const STRUCK: [(Fault, u64); 12] = [
    (Fault::StoreUnreachable, 3),
    (Fault::StoreCrash, 3),
    (Fault::PowerLoss, 3),
    (Fault::WriteTorn, 2),
    (Fault::SyncFailed, 2),
    (Fault::DiskFull, 2),
    (Fault::StoreEmpty, 1),
    (Fault::ClockAhead, 1),
    (Fault::ClockBack, 2),
    (Fault::ClockWild, 1),
    (Fault::NodeCrash, 5),
    (Fault::NodePause, 4),
];

/// What the store's clock may run ahead before it stops deleting.
const CLOCK_ERROR: Span = Span::from_secs(3600);

impl Options {
    /// What this seed expands to.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed).fork("options");
        let deadline = Span::from_ms(rng.between(500, 2000));
        let lease = deadline.plus(Span::from_ms(rng.between(200, 4000)));
        // Most keys outlive the run; in some seeds they are forgotten within it.
        let short = rng.chance(200);
        let ten = deadline.times(10);
        let (retention, memory) = if short {
            (ten, ten.plus(Span::from_ms(rng.between(0, 10_000))))
        } else {
            (Span::from_secs(2 * 3600), Span::from_secs(3 * 3600))
        };
        let policy = Policy {
            lease,
            ceiling: lease.times(rng.between(1, 4)),
            on_lapse: OnLapse::Hold,
            attempts_max: u32::try_from(rng.between(2, 5)).unwrap_or(5),
            retention,
            memory,
            max_upstream: lease.times(rng.between(1, 3)),
            pause: Span::from_ms(rng.between(500, 5000)),
            ..Policy::default()
        };
        let rerun = rng.pick(&[[false; 2], [false; 2], [true; 2], [false, true]]);
        let mut options = Self {
            seed,
            backend: rng.pick(&[
                Backend::Memory,
                Backend::Plain,
                Backend::Log,
                Backend::Log,
                Backend::Log,
            ]),
            tenants: rng.pick(&[1, 2, 3]),
            errands: u16::try_from(rng.between(4, 14)).unwrap_or(4),
            safety_ms: rng.between(20_000, 60_000),
            policy,
            rerun,
            deadline,
            honours_key: rng.chance(if rerun == [true; 2] { 600 } else { 100 }),
            dated_keys: rng.chance(300),
            begin_gap: rng.chance(300),
            reply_bytes: rng.pick(&[64, 64, 64, 2000, 40_000]),
            rates: BTreeMap::new(),
            strikes: BTreeMap::new(),
        };
        // Now and then much more of everything, so that nothing hides behind smallness.
        if rng.chance(20) {
            options.errands = u16::try_from(rng.between(60, 150)).unwrap_or(60);
        }
        options.choose_faults(&mut rng, short);
        options
    }

    /// Each seed leaves about half of the faults out, or the loud ones would hide the quiet ones.
    fn choose_faults(&mut self, rng: &mut Rng, short: bool) {
        for (fault, most) in DRAWN {
            if rng.chance(500) {
                let rate = u32::try_from(rng.between(10, most)).unwrap_or(10);
                self.rates.insert(fault, rate);
            }
        }
        for (fault, most) in STRUCK {
            let times = u32::try_from(rng.between(1, most)).unwrap_or(1);
            let fits = match fault {
                Fault::StoreCrash => self.backend != Backend::Memory,
                Fault::PowerLoss | Fault::WriteTorn | Fault::SyncFailed => {
                    self.backend == Backend::Log
                }
                Fault::DiskFull => self.backend != Backend::Plain,
                // A jump within the hour may shorten a memory by as much as it jumped.
                Fault::ClockAhead => !short,
                // Whoever restarts the store says that its clock is right.
                Fault::ClockWild => {
                    !short
                        && self.backend == Backend::Memory
                        && !self.strikes.contains_key(&Fault::ClockAhead)
                }
                _ => true,
            };
            if rng.chance(400) && fits {
                self.strikes.insert(fault, times);
            }
        }
    }

    /// The rate of a drawn fault, in thousandths.
    #[must_use]
    pub fn rate(&self, fault: Fault) -> u32 {
        self.rates.get(&fault).copied().unwrap_or(0)
    }

    /// The policy of a node.
    #[must_use]
    pub fn policy_of(&self, node: usize) -> Policy {
        let on_lapse = if self.rerun[node] { OnLapse::Rerun } else { OnLapse::Hold };
        Policy { on_lapse, ..self.policy.clone() }
    }

    /// The longest that everything needs to end once faults have.
    #[must_use]
    pub fn settling(&self) -> Span {
        let policy = &self.policy;
        let running = policy.ceiling.plus(policy.max_upstream).plus(policy.lease.times(2));
        running.plus(policy.grace()).plus(self.deadline.times(4)).plus(Span::from_secs(20))
    }

    /// What this run promises.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let jumps = [Fault::ClockAhead, Fault::ClockWild];
        let jumps = jumps.iter().any(|fault| self.strikes.contains_key(fault));
        Terms {
            retention_ms: self.policy.retention.as_ms(),
            memory_ms: self.policy.memory.as_ms(),
            clock_error_ms: if jumps { CLOCK_ERROR.as_ms() } else { 0 },
            attempts_max: self.policy.attempts_max as usize,
            honours_key: self.honours_key,
            liveness_ms: self.settling().as_ms(),
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, backend, tenants, errands, safety_ms, policy, .. } = self;
        writeln!(f, "seed {seed}: {backend:?}, {tenants} tenants, {errands} errands")?;
        writeln!(f, "  faults strike for {safety_ms} ms, rerun {:?}", self.rerun)?;
        writeln!(
            f,
            "  deadline {}, lease {}, ceiling {}, upstream {}, pause {}",
            self.deadline, policy.lease, policy.ceiling, policy.max_upstream, policy.pause
        )?;
        writeln!(
            f,
            "  retention {}, memory {}, attempts {}, replies up to {} bytes",
            policy.retention, policy.memory, policy.attempts_max, self.reply_bytes
        )?;
        writeln!(
            f,
            "  upstream honours the key {}, dated keys {}, gap before sending {}",
            self.honours_key, self.dated_keys, self.begin_gap
        )?;
        writeln!(f, "  in a thousand: {:?}", self.rates)?;
        writeln!(f, "  times: {:?}", self.strikes)
    }
}
