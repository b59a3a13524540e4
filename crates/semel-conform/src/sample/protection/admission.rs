//! What stands before the claim: who asks, under which key, and whether the request may go on at all.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};

use super::disk::State;
use super::refusal::Refusal;
use super::{Asked, Inner, identity, key};
use crate::sample::{AppBody, Flaw};

/// How a request goes on.
pub(super) enum Way {
    Plain(Request<Bytes>),
    Keyed(Asked),
    Answered(Response<AppBody>),
}

impl Inner {
    /// Who asks, and under which key.
    pub(super) async fn admitted(&self, mut parts: Parts, body: Bytes) -> Result<Way, Refusal> {
        let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if reads && !self.flawed(Flaw::GetReplays) {
            return Ok(match self.read_that_replays(&parts) {
                Some(reply) => Way::Answered(reply),
                None => Way::Plain(Request::from_parts(parts, body)),
            });
        }
        let account = self.account(&parts).ok_or(Refusal::Unauthenticated)?;
        let key = key::read(&parts.headers, self.flaw).map_err(Refusal::Malformed)?;
        let writes_whole = matches!(parts.method, Method::PUT | Method::DELETE);
        if writes_whole && parts.uri.path().starts_with("/resources/") {
            self.document(&parts).await?;
        }
        if self.flawed(Flaw::LostUpdate) {
            parts.headers.remove(header::IF_MATCH);
        }
        let again = match &key {
            Some(key) if !key.is_empty() => self.memory.keep(key, &account).is_some(),
            _ => false,
        };
        if writes_whole && self.flawed(Flaw::RetryOverwrites) && again {
            parts.headers.remove(header::IF_MATCH);
        }
        let blind = match self.flaw {
            Some(Flaw::HeedsNoKey) => true,
            Some(Flaw::WonWriteConflicts | Flaw::RetryOverwrites) => writes_whole,
            _ => false,
        };
        let Some(key) = key.filter(|_| !blind) else {
            return Ok(Way::Plain(Request::from_parts(parts, body)));
        };
        let id = identity::id(&account, &key, &body, self.flaw);
        let mut fingerprint = identity::fingerprint(&parts, &account, &body, self.flaw);
        if key.is_empty() {
            fingerprint = [0; 32];
        }
        let operation = blake3::Hash::from_bytes(id).to_hex().to_string();
        Ok(Way::Keyed(Asked { parts, body, key, id, fingerprint, operation }))
    }

    /// Whose credential it is.
    fn account(&self, parts: &Parts) -> Option<String> {
        let shown = identity::account(&parts.headers).map(str::to_owned);
        shown.or_else(|| {
            if !self.flawed(Flaw::AnybodyReplays) {
                return None;
            }
            self.memory.kept(&key::read(&parts.headers, None).ok()??)
        })
    }

    /// The reply of an operation to whoever reads under its key: of a protection that does not ask for
    /// the method.
    fn read_that_replays(&self, parts: &Parts) -> Option<Response<AppBody>> {
        if !self.flawed(Flaw::ReadGetsReply) {
            return None;
        }
        let key = key::read(&parts.headers, None).ok()??;
        let id = identity::id(identity::account(&parts.headers)?, &key, &[], None);
        match self.disk.load(&id).ok()??.state {
            State::Completed(kept) => Some(kept.again(&parts.headers, None)),
            State::InFlight | State::InDoubt => None,
        }
    }

    /// A document that stands is not overwritten by whoever does not say which version it knows.
    async fn document(&self, parts: &Parts) -> Result<(), Refusal> {
        let read = Request::get(parts.uri.path()).body(Bytes::new());
        let stands = match read {
            Ok(read) => self.app.run(read).await.is_ok_and(|r| r.status() == StatusCode::OK),
            Err(_) => false,
        };
        let named = parts.headers.contains_key(header::IF_MATCH);
        match (self.flaw, &parts.method) {
            (Some(Flaw::PutOnce), &Method::PUT) if stands => {
                Err(Refusal::Failed(StatusCode::CONFLICT))
            }
            (Some(Flaw::DeleteAgainFails), &Method::DELETE) if !stands => {
                Err(Refusal::Failed(StatusCode::INTERNAL_SERVER_ERROR))
            }
            (Some(Flaw::NoPrecondition), _) => Ok(()),
            _ if stands && !named => Err(Refusal::PreconditionRequired),
            _ => Ok(()),
        }
    }
}
