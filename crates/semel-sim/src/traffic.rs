//! Honest traffic: what clients do that follow the contract, as plain decisions without IO, so that
//! any driver can carry them out (the simulator, a load generator, a soak of the real binary).
//!
//! A client has an errand: one operation that it wants done. It keeps its key while it does not
//! know, backs off, asks and voids before it gives up, and takes a new key only where the old one is
//! known never to run.

use crate::faults::Fault;
use crate::history::{KeyName, Outcome};
use crate::options::Options;
use crate::rng::Rng;

/// Tries with one key before a client asks where it stands.
const TRIES: u32 = 8;
/// Errands are abandoned after so many steps: a person would be called.
const STEPS: u32 = 24;
/// The first pause between two tries, doubled up to the last.
const PAUSE_FIRST_MS: u64 = 100;
const PAUSE_LAST_MS: u64 = 4000;

/// One operation that somebody wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The key it is sent under.
    pub key: KeyName,
    /// Another one, should the first be void.
    pub spare: KeyName,
    /// Which body.
    pub body: u8,
    /// When it begins, in milliseconds.
    pub starts_ms: u64,
    /// Tries that are sent at once.
    pub at_once: u32,
    /// A request of somebody careless, with another body under the same key, so long after the start.
    pub other_body_ms: Option<u64>,
    /// A void by somebody else, around the start.
    pub void_at_ms: Option<u64>,
    /// One more try, so long after the errand has ended.
    pub again_ms: Option<u64>,
    /// Whether the client says that it has its reply.
    pub acks: bool,
    /// Whether the client never comes back once it got no answer.
    pub vanishes: bool,
}

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sends the operation, after so many milliseconds.
    Send {
        /// The pause before.
        after_ms: u64,
    },
    /// Says that it has its reply.
    Ack,
    /// Asks where the key stands.
    Inquire,
    /// Makes sure that it never runs.
    Void,
    /// Takes the spare key.
    TakeSpare,
    /// Is through.
    Stop,
}

/// A client's mind during one errand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mind {
    tries: u32,
    steps: u32,
    spare_taken: bool,
    acked: bool,
}

impl Mind {
    /// The next act, after `heard`; `None` at the start.
    pub fn next(&mut self, errand: &Errand, heard: Option<Outcome>, rng: &mut Rng) -> Act {
        self.steps += 1;
        if self.steps > STEPS {
            return Act::Stop;
        }
        let Some(heard) = heard else { return Act::Send { after_ms: 0 } };
        match heard {
            Outcome::Executed { .. } | Outcome::Replayed(_) if errand.acks && !self.acked => {
                self.acked = true;
                Act::Ack
            }
            Outcome::Void | Outcome::Voided => self.spare(),
            Outcome::Executed { .. }
            | Outcome::Replayed(_)
            | Outcome::Mismatch
            | Outcome::Spent
            | Outcome::NotKept
            | Outcome::TooOld
            | Outcome::TooNew
            | Outcome::Accepted => Act::Stop,
            Outcome::Standing("absent") => Act::Void,
            Outcome::Standing("void") => self.spare(),
            Outcome::Standing("completed" | "spent" | "too-old") => Act::Stop,
            Outcome::Refused if self.acked => Act::Stop,
            Outcome::Unknown if errand.vanishes => Act::Stop,
            Outcome::Released
            | Outcome::Doubted
            | Outcome::InFlight
            | Outcome::InDoubt
            | Outcome::Unavailable
            | Outcome::Unknown
            | Outcome::Refused
            | Outcome::Standing(_) => self.again(rng),
        }
    }

    fn again(&mut self, rng: &mut Rng) -> Act {
        self.tries += 1;
        if self.tries.is_multiple_of(TRIES) {
            return Act::Inquire;
        }
        let doubled = PAUSE_FIRST_MS << self.tries.min(6);
        let pause = doubled.min(PAUSE_LAST_MS);
        Act::Send { after_ms: rng.between(pause / 2, pause) }
    }

    fn spare(&mut self) -> Act {
        if self.spare_taken {
            return Act::Stop;
        }
        self.spare_taken = true;
        self.tries = 0;
        Act::TakeSpare
    }
}

/// The errands of a run, in the order of their numbers.
#[must_use]
pub fn errands(options: &Options) -> Vec<Errand> {
    let mut rng = Rng::new(options.seed).fork("traffic");
    let tenants = u16::from(options.tenants.max(1));
    let last_start = options.safety_ms * 3 / 4;
    (0..options.errands)
        .map(|n| {
            let tenant = u8::try_from(n % tenants).unwrap_or(0);
            let key = n / tenants * 2;
            let mut strikes = |fault: Fault| rng.chance(options.rate(fault));
            let [crowd, careless, voids, late, vanishes] = [
                Fault::Duplicates,
                Fault::OtherBody,
                Fault::VoidRace,
                Fault::LateRetry,
                Fault::ClientLeft,
            ]
            .map(&mut strikes);
            let starts_ms = rng.below(last_start);
            Errand {
                key: KeyName { tenant, key },
                spare: KeyName { tenant, key: key + 1 },
                body: u8::try_from(rng.below(3)).unwrap_or(0),
                starts_ms,
                at_once: if crowd { u32::try_from(rng.between(2, 5)).unwrap_or(2) } else { 1 },
                other_body_ms: careless.then(|| rng.below(5000)),
                void_at_ms: voids.then(|| (starts_ms + rng.below(5000)).saturating_sub(1500)),
                again_ms: late.then(|| rng.between(500, 30_000)),
                acks: rng.chance(200),
                vanishes,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand(acks: bool) -> Errand {
        let key = KeyName { tenant: 0, key: 0 };
        Errand {
            key,
            spare: KeyName { tenant: 0, key: 1 },
            body: 0,
            starts_ms: 0,
            at_once: 1,
            other_body_ms: None,
            void_at_ms: None,
            again_ms: None,
            acks,
            vanishes: false,
        }
    }

    #[test]
    fn who_does_not_know_keeps_the_key_and_backs_off() {
        let (mut mind, mut rng) = (Mind::default(), Rng::new(1));
        assert_eq!(mind.next(&errand(false), None, &mut rng), Act::Send { after_ms: 0 });
        let mut pauses = Vec::new();
        for _ in 1..TRIES {
            match mind.next(&errand(false), Some(Outcome::Unknown), &mut rng) {
                Act::Send { after_ms } => pauses.push(after_ms),
                other => panic!("{other:?} after no answer"),
            }
        }
        assert!(pauses[0] < pauses[3] && pauses[3] < pauses[6], "{pauses:?}");
        let asks = mind.next(&errand(false), Some(Outcome::Unknown), &mut rng);
        assert_eq!(asks, Act::Inquire);
    }

    #[test]
    fn a_new_key_is_taken_only_once_the_old_one_never_runs() {
        let (mut mind, mut rng) = (Mind::default(), Rng::new(1));
        let absent = Some(Outcome::Standing("absent"));
        assert_eq!(mind.next(&errand(false), absent, &mut rng), Act::Void);
        let voided = Some(Outcome::Voided);
        assert_eq!(mind.next(&errand(false), voided, &mut rng), Act::TakeSpare);
        assert_eq!(mind.next(&errand(false), voided, &mut rng), Act::Stop);
    }
}
