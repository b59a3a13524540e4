//! A store whose messages get lost.

use std::sync::{Arc, Mutex, PoisonError};

use crate::id::RecordId;
use crate::record::Record;
use crate::store::{
    Bound, BoxFuture, Capabilities, Filter, Listing, Loaded, Page, Status, Store, StoreError, Swap,
    Swapped,
};
use crate::time::Timestamp;

/// What becomes of the next swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It never reaches the store.
    Request,
    /// The store carries it out; its answer is lost.
    Answer,
}

/// Passes everything on to another store, and loses a swap or its answer when told.
#[derive(Debug)]
pub struct Lossy {
    inner: Arc<dyn Store>,
    next: Mutex<Option<Loss>>,
}

impl Lossy {
    /// Around `inner`; loses nothing yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, next: Mutex::new(None) }
    }

    /// Loses the next swap in this way, and that one only.
    pub fn lose_next(&self, loss: Loss) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(loss);
    }
}

impl Store for Lossy {
    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, StoreError>> {
        let loss = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            match loss {
                None => self.inner.swap(swap).await,
                Some(Loss::Request) => Err(StoreError::Timeout),
                Some(Loss::Answer) => {
                    self.inner.swap(swap).await?;
                    Err(StoreError::Timeout)
                }
            }
        })
    }

    fn load(&self, id: RecordId) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        self.inner.load(id)
    }

    fn due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordId, Record)>, StoreError>> {
        self.inner.due(before, limit)
    }

    fn list(&self, filter: Filter, page: Page) -> BoxFuture<'_, Result<Listing, StoreError>> {
        self.inner.list(filter, page)
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, StoreError>> {
        self.inner.status()
    }

    fn bind(&self, check: [u8; 16]) -> BoxFuture<'_, Result<Bound, StoreError>> {
        self.inner.bind(check)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}
