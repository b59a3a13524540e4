//! One run of an operation: the application is asked once, and the outcome is written down before
//! anybody learns of it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, StatusCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::claim::Claim;
use super::disk::{Disk, Id, Record, State, StoreError};
use super::refusal::Refusal;
use super::reply::Kept;
use super::{Answer, Asked, Inner};
use crate::sample::sending::OPERATION;
use crate::sample::{Broken, Flaw};

/// A reply over so many bytes is "too big" for a protection that keeps small ones alone.
const BIG: usize = 1 << 20;

/// How the application's run ended.
enum Ended {
    Whole(Kept),
    /// Within its reply.
    Cut(Kept),
    /// Without a reply.
    Broke,
    TimedOut,
}

impl Inner {
    /// Runs a claimed operation in a task that no leaving caller stops.
    pub(super) async fn execute(
        self: &Arc<Self>,
        asked: Asked,
        claim: Claim,
    ) -> Result<Answer, Broken> {
        let (tell, told) = oneshot::channel();
        let me = Arc::clone(self);
        let id = asked.id;
        self.memory.start(async move { me.attempt(asked, claim, tell).await });
        if !self.flawed(Flaw::LeaverCancels) {
            return told.await.map_err(|_| Broken);
        }
        let mut frees = Frees { disk: &self.disk, id, unless: false };
        let answer = told.await.map_err(|_| Broken);
        frees.unless = true;
        answer
    }

    async fn attempt(&self, asked: Asked, claim: Claim, tell: oneshot::Sender<Answer>) {
        let (id, fingerprint) = (asked.id, asked.fingerprint);
        if self.flawed(Flaw::MarksFirst) {
            tokio::time::sleep(self.times.unit / 2).await;
        }
        let ended = self.ask(asked).await;
        let answer = match &ended {
            Ended::Whole(kept) => Ok(kept.first(self.flaw)),
            Ended::Cut(kept) if self.flawed(Flaw::TruncatedKept) => Ok(kept.first(self.flaw)),
            Ended::Cut(_) | Ended::Broke | Ended::TimedOut => Err(Refusal::InDoubt),
        };
        let next = self.outcome(ended);
        let next = next.map(|state| Record::new(claim.alive.owner, fingerprint, state));
        if self.flawed(Flaw::ReplyBeforeCommit) {
            let _ = tell.send(answer);
            tokio::time::sleep(self.times.unit * 2).await;
            let _ = self.disk.put(&id, next);
            return;
        }
        self.settle(&id, &claim, next, answer, tell).await;
    }

    /// Asks the application, once. It goes on where it is not waited for, as any other machine does.
    async fn ask(&self, asked: Asked) -> Ended {
        let mut request = Request::from_parts(asked.parts, asked.body);
        let operation = match self.flaw {
            Some(Flaw::RunNotOperation) => self.memory.owner().owner.to_string(),
            _ => asked.operation,
        };
        let operation = HeaderValue::try_from(operation).expect("digits are printable");
        request.headers_mut().insert(OPERATION, operation);
        let app = self.app.clone();
        let told = self.memory.run(async move {
            match app.run(request).await {
                Err(Broken) => Ended::Broke,
                Ok(reply) => Kept::read(reply).await.map_or_else(Ended::Cut, Ended::Whole),
            }
        });
        match tokio::time::timeout(self.times.upstream, told).await {
            Ok(ended) => ended.unwrap_or(Ended::Broke),
            Err(_) => Ended::TimedOut,
        }
    }

    /// What becomes of the record; `None` where nothing happened and the key is free again.
    fn outcome(&self, ended: Ended) -> Option<State> {
        match (ended, self.flaw) {
            (Ended::Whole(kept), Some(Flaw::InvalidSticks))
                if kept.status == StatusCode::BAD_REQUEST =>
            {
                Some(State::InDoubt)
            }
            (Ended::Whole(kept), flaw) => {
                let completed = !frees(&kept, flaw);
                completed.then(|| State::Completed(kept.for_replay(flaw)))
            }
            (Ended::Cut(kept), Some(Flaw::TruncatedKept)) => {
                Some(State::Completed(kept.for_replay(None)))
            }
            (Ended::Cut(_) | Ended::Broke, Some(Flaw::BreakReleases))
            | (Ended::TimedOut, Some(Flaw::TimeOutReleases)) => None,
            (Ended::Cut(_) | Ended::Broke | Ended::TimedOut, _) => Some(State::InDoubt),
        }
    }

    /// Writes the outcome until it is written, and tells the caller what is then certain.
    async fn settle(
        &self,
        id: &Id,
        claim: &Claim,
        next: Option<Record>,
        answer: Answer,
        tell: oneshot::Sender<Answer>,
    ) {
        let mut waits = Some((tell, answer));
        let mut say = |refusal: Option<Refusal>| {
            if let Some((tell, answer)) = waits.take() {
                let _ = tell.send(refusal.map_or(answer, Err));
            }
        };
        if self.flawed(Flaw::UnfencedSettle) || self.flawed(Flaw::GetThenSet) {
            let _ = self.disk.put(id, next);
            return say(None);
        }
        let patience = Instant::now() + self.times.wait;
        loop {
            match self.disk.swap(id, Some(claim.version), next.clone()).await {
                Ok(Some(_)) => return say(None),
                Ok(None) if self.is_ours(id, claim, next.as_ref()) => return say(None),
                // Taken over: what this run found is no longer what counts.
                Ok(None) => {
                    if self.flawed(Flaw::LateRelease) {
                        let _ = self.disk.put(id, None);
                    }
                    return say(Some(Refusal::InDoubt));
                }
                Err(StoreError::Refused | StoreError::Uncertain) => {}
            }
            if self.flawed(Flaw::SettleFailureReleases) {
                self.disk.erase(id);
                return say(None);
            }
            if self.flawed(Flaw::SettleFailureFails) {
                say(Some(Refusal::Failed(StatusCode::INTERNAL_SERVER_ERROR)));
            }
            if Instant::now() >= patience {
                say(Some(Refusal::NotRecorded));
            }
            tokio::time::sleep(self.times.unit / 4).await;
        }
    }

    /// Whether the record is what an earlier try of ours wrote, whose answer was lost.
    fn is_ours(&self, id: &Id, claim: &Claim, next: Option<&Record>) -> bool {
        match (self.disk.load(id), next) {
            (Ok(None), None) => true,
            (Ok(Some(found)), Some(next)) => {
                found.owner == claim.alive.owner
                    && matches!(found.state, State::InFlight)
                        == matches!(next.state, State::InFlight)
            }
            _ => false,
        }
    }
}

/// Whether a reply says that nothing happened: so it is with what this application answers only
/// before it acts, and what its caller can put right.
fn frees(kept: &Kept, flaw: Option<Flaw>) -> bool {
    let status = kept.status;
    let before_it_acts = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS
    );
    match flaw {
        Some(Flaw::RateLimitSticks) => false,
        Some(Flaw::ErrorReleases) => before_it_acts || status.is_server_error(),
        Some(Flaw::DeclineReruns) => before_it_acts || status == StatusCode::PAYMENT_REQUIRED,
        Some(Flaw::RedirectReruns) => before_it_acts || status.is_redirection(),
        Some(Flaw::NoContentNotKept) => before_it_acts || status == StatusCode::NO_CONTENT,
        Some(Flaw::EmptyNotKept) => {
            before_it_acts || kept.body == Bytes::new() && status != StatusCode::NO_CONTENT
        }
        Some(Flaw::BigReplyReruns) => before_it_acts || kept.body.len() > BIG,
        _ => before_it_acts,
    }
}

/// Frees a key where nobody waits for its reply any more.
struct Frees<'a> {
    disk: &'a Disk,
    id: Id,
    unless: bool,
}

impl Drop for Frees<'_> {
    fn drop(&mut self) {
        if !self.unless {
            self.disk.erase(&self.id);
        }
    }
}
