//! From a record to what is done about a request: claim, wait, replay or refuse.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::disk::{Record, State, StoreError};
use super::memory::Alive;
use super::refusal::Refusal;
use super::reply::Kept;
use super::{Answer, Asked, Inner, key, now_ms};
use crate::sample::sending::derived;
use crate::sample::{Broken, Flaw};

/// How far a key's own time may be ahead of ours, in milliseconds.
const AHEAD_MAX_MS: u64 = 5 * 60 * 1_000;

/// The right to run an operation.
#[derive(Debug)]
pub(super) struct Claim {
    /// The version that it was written under: who settles must still find it.
    pub(super) version: u64,
    pub(super) alive: Alive,
}

enum Judgement {
    /// Nobody has it, or not any more.
    Claim,
    /// Its owner runs.
    Wait(watch::Receiver<()>),
    /// It is in flight and its owner is gone, unless it has just settled.
    Gone,
    Say(Answer),
}

impl Inner {
    /// Answers a request under a key.
    pub(super) async fn answer(self: &Arc<Self>, mut asked: Asked) -> Result<Answer, Broken> {
        let patience = Instant::now() + self.patience();
        let mut gone = None;
        if self.flawed(Flaw::StoreErrorSticks) && self.memory.kept(&asked.id).is_some() {
            return Ok(Err(Refusal::Failed(StatusCode::INTERNAL_SERVER_ERROR)));
        }
        loop {
            let found = match self.disk.load(&asked.id) {
                Ok(found) => found,
                Err(_) => return self.no_store(asked).await,
            };
            let version = found.as_ref().map(|record| record.version);
            match self.judge(&asked, found.as_ref(), gone) {
                Judgement::Say(answer) => return Ok(answer),
                Judgement::Gone => gone = version,
                Judgement::Wait(mut end) => {
                    if let Some(record) =
                        found.as_ref().filter(|_| self.flawed(Flaw::MismatchJoins))
                    {
                        asked.fingerprint = record.fingerprint;
                    }
                    let until = self.wakes(found.as_ref(), patience);
                    let _ = timeout_at(until, end.changed()).await;
                    if Instant::now() < patience {
                        continue;
                    }
                    if !self.flawed(Flaw::WaitersDelete) {
                        return Ok(Err(Refusal::InFlight));
                    }
                    let _ = self.disk.put(&asked.id, None);
                }
                Judgement::Claim => match self.claim(&asked, version).await {
                    Err(StoreError::Uncertain) => {
                        let request = Request::from_parts(asked.parts, asked.body);
                        return self.unprotected(request).await.map(Ok);
                    }
                    Ok(Some(claim)) => return self.execute(asked, claim).await,
                    Ok(None) => {}
                    Err(_) => return self.no_store(asked).await,
                },
            }
        }
    }

    fn judge(&self, asked: &Asked, found: Option<&Record>, gone: Option<u64>) -> Judgement {
        let forgotten = |record: &&Record| {
            let lasts = match self.flaw {
                Some(Flaw::RetentionReruns) => self.times.retention,
                _ => self.times.memory,
            };
            matches!(record.state, State::Completed(_)) && record.since.elapsed() > lasts
        };
        let Some(record) = found.filter(|record| !forgotten(record)) else {
            return match self.dated(&asked.key) {
                Some(refusal) => Judgement::Say(Err(refusal)),
                None => Judgement::Claim,
            };
        };
        let end = self.memory.end_of(record.owner);
        if record.fingerprint != asked.fingerprint {
            return self.mismatch(record, end);
        }
        match &record.state {
            State::Completed(kept) if record.since.elapsed() <= self.times.retention => {
                Judgement::Say(Ok(self.replay(asked, kept)))
            }
            State::Completed(_) => Judgement::Say(Err(Refusal::Spent)),
            State::InDoubt => Judgement::Say(Err(Refusal::InDoubt)),
            State::InFlight => match end {
                Some(_) if self.lapses() && self.lapsed(record) => Judgement::Claim,
                Some(end) => Judgement::Wait(end),
                None if gone != Some(record.version) => Judgement::Gone,
                None if matches!(self.flaw, Some(Flaw::CrashReruns | Flaw::RunNotOperation)) => {
                    Judgement::Claim
                }
                None if self.flawed(Flaw::StuckAfterCrash) => {
                    Judgement::Say(Err(Refusal::InFlight))
                }
                None => Judgement::Say(Err(Refusal::InDoubt)),
            },
        }
    }

    /// Why a key that carries its own time is refused, although nothing is known of it.
    fn dated(&self, key: &[u8]) -> Option<Refusal> {
        let made_at = key::made_at_ms(key)?;
        let memory_ms = u64::try_from(self.times.memory.as_millis()).unwrap_or(u64::MAX);
        let now = now_ms();
        if made_at.saturating_add(memory_ms) < now {
            return Some(Refusal::TooOld);
        }
        let ahead = made_at > now.saturating_add(AHEAD_MAX_MS);
        ahead.then_some(Refusal::Malformed("it bears a time that is yet to come"))
    }

    /// Another request under a used key.
    fn mismatch(&self, record: &Record, end: Option<watch::Receiver<()>>) -> Judgement {
        let undecided = match record.state {
            State::InFlight => end.is_none(),
            State::InDoubt => true,
            State::Completed(_) => false,
        };
        match (self.flaw, end) {
            (Some(Flaw::TakeoverForgets), _) if undecided => return Judgement::Claim,
            (Some(Flaw::MismatchJoins), Some(end)) => return Judgement::Wait(end),
            _ => {}
        }
        let leaked = match &record.state {
            State::Completed(kept) if self.flawed(Flaw::LeaksOnMismatch) => {
                Some(String::from_utf8_lossy(&kept.body).into_owned())
            }
            _ => None,
        };
        Judgement::Say(Err(Refusal::Mismatch { leaked }))
    }

    /// Whether claims lapse although their owners live.
    fn lapses(&self) -> bool {
        matches!(self.flaw, Some(Flaw::ShortClaim | Flaw::UnfencedSettle | Flaw::LateRelease))
    }

    fn lapsed(&self, record: &Record) -> bool {
        record.since.elapsed() > self.times.lease
    }

    /// How long a duplicate waits.
    fn patience(&self) -> Duration {
        match self.flaw {
            Some(Flaw::WaitersDelete) => self.times.unit * 2,
            _ => self.times.wait,
        }
    }

    /// When a waiter looks again, at the latest.
    fn wakes(&self, found: Option<&Record>, patience: Instant) -> Instant {
        match found {
            Some(record) if self.lapses() => {
                patience.min(record.since + self.times.lease + self.times.unit / 10)
            }
            _ => patience,
        }
    }

    /// Writes the claim, before anything runs. `None` where another was faster.
    async fn claim(&self, asked: &Asked, found: Option<u64>) -> Result<Option<Claim>, StoreError> {
        let alive = self.memory.owner();
        let state = match self.flaw {
            Some(Flaw::MarksFirst) => State::Completed(Kept::done()),
            _ => State::InFlight,
        };
        let record = Some(Record::new(alive.owner, asked.fingerprint, state));
        if self.flawed(Flaw::GetThenSet) {
            tokio::time::sleep(self.times.unit / 2).await;
            let version = self.disk.put(&asked.id, record)?;
            return Ok(Some(Claim { version, alive }));
        }
        let writing = self.disk.swap(&asked.id, found, record);
        let written = match self.flaw {
            Some(Flaw::SlowFailsOpen) => {
                let written = tokio::time::timeout(self.times.unit, writing).await;
                written.unwrap_or(Err(StoreError::Refused))
            }
            _ => writing.await,
        };
        match written {
            Ok(version) => Ok(version.map(|version| Claim { version, alive })),
            Err(StoreError::Uncertain) if self.flawed(Flaw::AnswerLostRuns) => {
                self.disk.erase(&asked.id);
                Err(StoreError::Uncertain)
            }
            // The owner tells one's own claim from another's.
            Err(StoreError::Uncertain) => match self.disk.load(&asked.id)? {
                Some(record) if record.owner == alive.owner => {
                    Ok(Some(Claim { version: record.version, alive }))
                }
                _ => Err(StoreError::Refused),
            },
            Err(StoreError::Refused) => Err(StoreError::Refused),
        }
    }

    /// Without its store it runs nothing.
    async fn no_store(&self, asked: Asked) -> Result<Answer, Broken> {
        if matches!(self.flaw, Some(Flaw::FailsOpen | Flaw::SlowFailsOpen)) {
            let request = Request::from_parts(asked.parts, asked.body);
            return self.unprotected(request).await.map(Ok);
        }
        self.memory.keep(&asked.id, "the store was in trouble");
        Ok(Err(Refusal::Unavailable))
    }

    /// The stored reply. What was sent on is sent on again, under the id that it had: receivers are
    /// promised at least one delivery, and one id.
    fn replay(&self, asked: &Asked, kept: &Kept) -> http::Response<crate::sample::AppBody> {
        let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let reference = body.get("reference").and_then(serde_json::Value::as_str);
        let sends_again = !self.flawed(Flaw::RunNotOperation);
        if let Some(reference) = reference.filter(|r| sends_again && self.sending.knows(r)) {
            let fresh = self.memory.owner().owner.to_string();
            let webhook = match self.flaw {
                Some(Flaw::WebhookFreshId) => derived("webhook", &fresh),
                _ => derived("webhook", &asked.operation),
            };
            self.sending.webhook(reference, &webhook);
            match self.flaw {
                Some(Flaw::EmailTwice) => self.sending.note("email", reference, &fresh),
                Some(Flaw::MessageTwice) => self.sending.note("message", reference, &fresh),
                _ => {}
            }
        }
        kept.again(&asked.parts.headers, self.flaw)
    }
}
