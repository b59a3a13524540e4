//! The network between one node and the store: it loses, delays and doubles calls, and loses answers.
//!
//! A call goes on by itself once it is sent, whatever becomes of the node that sent it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use semel::core::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Put, Status, Swap, Swapped,
};
use semel::core::{Record, RecordId, State, Store, StoreError, Timestamp};
use tokio::sync::oneshot;

use crate::faults::Fault;
use crate::history::Recorder;
use crate::host::Host;
use crate::options::Options;
use crate::rng::Rng;
use crate::zoo::Flaw;

/// What the network does with one call.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// Before it arrives; `None`: never.
    there_ms: Option<u64>,
    /// Before the answer arrives; `None`: never.
    back_ms: Option<u64>,
    /// It arrives once more after so long.
    again_ms: Option<u64>,
}

/// One node's way to the store.
#[derive(Debug)]
pub struct Link {
    node: u8,
    host: Arc<Host>,
    recorder: Arc<Recorder>,
    options: Arc<Options>,
    rng: Mutex<Rng>,
    healed: AtomicBool,
    cut: AtomicBool,
    flaw: Option<Flaw>,
}

impl Link {
    /// The way of this node.
    #[must_use]
    pub fn new(
        node: u8,
        host: Arc<Host>,
        recorder: Arc<Recorder>,
        options: Arc<Options>,
        flaw: Option<Flaw>,
    ) -> Self {
        let rng = Mutex::new(Rng::new(options.seed).fork(&format!("link {node}")));
        let (healed, cut) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { node, host, recorder, options, rng, healed, cut, flaw }
    }

    /// No more faults.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
        self.set_cut(false);
    }

    /// Nothing passes any more, or everything again.
    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    fn struck(&self, fault: Fault, what: &str) {
        self.recorder.struck(fault, format!("node{} {what}", self.node));
    }

    fn fate(&self, what: &str, is_swap: bool) -> Fate {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fate =
            Fate { there_ms: Some(rng.below(4)), back_ms: Some(rng.below(4)), again_ms: None };
        if self.healed.load(Ordering::SeqCst) {
            return fate;
        }
        let mut strikes = |fault: Fault| rng.chance(self.options.rate(fault));
        if strikes(Fault::CallLost) {
            self.struck(Fault::CallLost, what);
            fate.there_ms = None;
        } else if strikes(Fault::AnswerLost) {
            self.struck(Fault::AnswerLost, what);
            fate.back_ms = None;
        } else if is_swap && strikes(Fault::CallLate) {
            // Around the deadline: some land within it and unheard, some are refused.
            let most = self.options.deadline.as_ms() * 2;
            let late = rng.between(most / 8, most);
            self.struck(Fault::CallLate, &format!("{what} {late} ms"));
            fate.there_ms = Some(late);
        } else if is_swap && strikes(Fault::CallTwice) {
            self.struck(Fault::CallTwice, what);
            fate.again_ms = Some(rng.below(3000));
        } else if strikes(Fault::StoreSlow) {
            let slow = rng.between(100, 1500);
            self.struck(Fault::StoreSlow, &format!("{what} {slow} ms"));
            fate.back_ms = Some(slow);
        }
        fate
    }

    async fn carry<T, Fut>(
        &self,
        what: &str,
        is_swap: bool,
        call: impl Fn(Arc<Host>) -> Fut + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        if self.cut.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { reason: "no way to the store".into() });
        }
        let fate = self.fate(what, is_swap);
        let (told, answer) = oneshot::channel();
        let host = Arc::clone(&self.host);
        tokio::spawn(async move {
            let Some(there) = fate.there_ms else {
                return std::future::pending().await;
            };
            tokio::time::sleep(Duration::from_millis(there)).await;
            let again = fate.again_ms.map(|ms| (ms, call(Arc::clone(&host))));
            let answered = call(host).await;
            if let Some((ms, call)) = again {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    let _nobody_hears_it = call.await;
                });
            }
            let Some(back) = fate.back_ms else {
                return std::future::pending().await;
            };
            tokio::time::sleep(Duration::from_millis(back)).await;
            let _sender_may_be_gone = told.send(answered);
        });
        answer.await.unwrap_or(Err(StoreError::Timeout))
    }

    /// A settle that met a conflict is sent again against whatever stands there.
    async fn force(&self, swap: &Swap, current: Option<Record>) -> Result<Swapped, StoreError> {
        let expected = current.as_ref().map(Record::version);
        let forced = Swap { expected, ..swap.clone() };
        self.carry("force", true, move |host| {
            let forced = forced.clone();
            async move { host.swap(forced).await }
        })
        .await
    }
}

fn name(write: &Put) -> &'static str {
    match write {
        Put::Record(record) => record.state.name(),
        Put::Delete => "delete",
    }
}

impl Store for Link {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        Box::pin(async move {
            let sent = swap.clone();
            let swapped = self
                .carry(name(&swap.write), true, move |host| {
                    let swap = sent.clone();
                    async move { host.swap(swap).await }
                })
                .await?;
            let settles =
                matches!(&swap.write, Put::Record(record) if record.state == State::Completed);
            match swapped {
                Swapped::Conflict { current, .. }
                    if settles && self.flaw == Some(Flaw::SettlesUnderOldFence) =>
                {
                    self.force(&swap, current).await
                }
                swapped => Ok(swapped),
            }
        })
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(self.carry("load", false, move |host| async move { host.load(id).await }))
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>> {
        let call = move |host: Arc<Host>| async move { host.due(before, limit).await };
        Box::pin(self.carry("due", false, call))
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        let call = move |host: Arc<Host>| async move { host.list(filter, page).await };
        Box::pin(self.carry("list", false, call))
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        Box::pin(self.carry("status", false, |host| async move { host.status().await }))
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        Box::pin(self.carry("bind", false, move |host| async move { host.bind(check).await }))
    }

    fn capabilities(&self) -> Capabilities {
        self.host.capabilities()
    }
}
