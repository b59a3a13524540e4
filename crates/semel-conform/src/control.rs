//! Breaking the service and its store, by the commands of the target file.
//!
//! `POST http://HOST:PORT/PATH` is sent as a request, for a service that can be told so; all else is
//! run by `sh -c`.
//! A command that starts a server must put it in the background with its output sent elsewhere, or
//! the command never ends.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::behaviour;
use crate::case::Halt;
use crate::effects::{Unanswered, shell};
use crate::trial::Rig;
use crate::wire::{Address, Request};

/// How long a service may take until it listens again.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// One thing to do to the service or its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ends it at once.
    Kill,
    /// Ends it in order.
    Stop,
    /// Starts it, and waits until it listens.
    Start,
    /// The store cannot be reached.
    StoreDown,
    /// The store is slow.
    StoreSlow,
    /// The store refuses writes.
    StoreReadOnly,
    /// The store is replaced by an empty one.
    StoreEmpty,
    /// The store loses the next answer.
    StoreAnswerLost,
    /// The store is as it was.
    StoreUp,
}

/// What stands broken, so that it is mended whatever becomes of the case that broke it.
#[derive(Debug, Default)]
pub struct Broken(Mutex<BrokenParts>);

#[derive(Clone, Copy, Debug, Default)]
struct BrokenParts {
    service: bool,
    store: bool,
}

impl Broken {
    fn note(&self, act: Act) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match act {
            Act::Kill | Act::Stop => parts.service = true,
            Act::Start => parts.service = false,
            Act::StoreUp => parts.store = false,
            Act::StoreDown
            | Act::StoreSlow
            | Act::StoreReadOnly
            | Act::StoreEmpty
            | Act::StoreAnswerLost => parts.store = true,
        }
    }

    fn parts(&self) -> BrokenParts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Mends what a case left broken.
///
/// # Errors
/// When it could not be mended.
pub(crate) async fn mend(rig: &Rig) -> Result<(), Halt> {
    let parts = rig.broken.parts();
    let store = if parts.store { act(rig, Act::StoreUp).await } else { Ok(()) };
    // A service that is up with a broken store is better than none.
    let service = if parts.service { act(rig, Act::Start).await } else { Ok(()) };
    store.and(service)
}

/// Does it.
///
/// # Errors
/// [`Halt::Skipped`] without such a command, [`Halt::Broken`] when it failed, [`Halt::Inconclusive`]
/// when it did not end.
pub(crate) async fn act(rig: &Rig, act: Act) -> Result<(), Halt> {
    let control = &rig.target.control;
    let (name, command) = match act {
        Act::Kill => ("kill", &control.kill),
        Act::Stop => ("stop", &control.stop),
        Act::Start => ("start", &control.start),
        Act::StoreDown => ("store_down", &control.store_down),
        Act::StoreSlow => ("store_slow", &control.store_slow),
        Act::StoreReadOnly => ("store_read_only", &control.store_read_only),
        Act::StoreEmpty => ("store_empty", &control.store_empty),
        Act::StoreAnswerLost => ("store_answer_lost", &control.store_answer_lost),
        Act::StoreUp => ("store_up", &control.store_up),
    };
    let Some(command) = command else {
        return Err(Halt::Skipped(format!("the target has no control.{name}")));
    };
    // Half a breakage is one, too; a mending counts once it has succeeded.
    let mends = matches!(act, Act::Start | Act::StoreUp);
    if !mends {
        rig.broken.note(act);
    }
    let slow = behaviour::slow(rig.unit).as_millis().to_string();
    let command = command.replace("{slow_ms}", &slow);
    let acted = match command.strip_prefix("POST ") {
        Some(url) => post(url).await,
        None => shell(&command).await.map(|_| ()),
    };
    acted.map_err(|unanswered| match unanswered {
        Unanswered::Refused(why) => Halt::Broken(format!("control.{name}: {why}")),
        Unanswered::Unknown(why) => {
            Halt::Inconclusive(format!("control.{name}: {why}: what it did is not known"))
        }
    })?;
    // A store may be mended by starting the service anew.
    let runs = act == Act::StoreUp && !rig.broken.parts().service;
    if act == Act::Start || runs {
        listening(rig).await?;
    }
    rig.broken.note(act);
    Ok(())
}

async fn post(url: &str) -> Result<(), Unanswered> {
    let refused = |why: String| Err(Unanswered::Refused(why));
    let unknown = |why: String| Err(Unanswered::Unknown(why));
    let at = url.find("://").and_then(|at| url.get(at + 3..)?.find('/').map(|path| at + 3 + path));
    let (base, path) = url.split_at(at.unwrap_or(url.len()));
    let address = Address::parse(base).map_err(|error| Unanswered::Refused(error.to_string()))?;
    let request = Request::new("POST", if path.is_empty() { "/" } else { path });
    let sent = async {
        let mut connection = address.connect().await?;
        connection.exchange(&request, &address.authority()).await
    };
    match tokio::time::timeout(START_PATIENCE, sent).await {
        Ok(Ok(reply)) if reply.success() => Ok(()),
        Ok(Ok(reply)) => refused(format!("POST {url} answered {}", reply.brief())),
        Ok(Err(error)) => unknown(format!("POST {url}: {error}")),
        Err(_) => unknown(format!("POST {url} got no reply within {START_PATIENCE:?}")),
    }
}

/// How long a service that has a connection may take to answer, before that counts as an answer: one
/// that hangs is there.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Waits until the target answers: a service may listen before it is ready.
///
/// # Errors
/// [`Halt::Broken`] when it never does.
pub(crate) async fn listening(rig: &Rig) -> Result<(), Halt> {
    let address = &rig.target.address;
    let trying = async {
        while !answers(address).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(START_PATIENCE, trying).await.map_err(|_| {
        let base = address.base();
        Halt::Broken(format!("{base} did not answer within {START_PATIENCE:?} of its start"))
    })
}

/// Whether it answers a request, whatever it answers.
async fn answers(address: &Address) -> bool {
    let Ok(mut connection) = address.connect().await else { return false };
    let (request, host) = (Request::new("GET", "/"), address.authority());
    let exchange = connection.exchange(&request, &host);
    !matches!(tokio::time::timeout(ANSWER_PATIENCE, exchange).await, Ok(Err(_)))
}
