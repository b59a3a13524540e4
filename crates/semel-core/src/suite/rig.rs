//! A harness with its open store, and the moves that most cases make.

use std::ops::Deref;

use super::Harness;
use super::client::Client;
use crate::id::RecordId;
use crate::record::Record;
use crate::time::Span;

pub(super) struct Rig<H> {
    pub(super) harness: H,
    client: Option<Client>,
}

impl<H: Harness> Rig<H> {
    pub(super) async fn new(mut harness: H) -> Self {
        let store = harness.fresh().await;
        Self { harness, client: Some(Client::new(store).await) }
    }

    /// Kills the store and opens it again. Whoever still holds a clone of the client must drop it
    /// before.
    pub(super) async fn reopen(&mut self) {
        self.client = None;
        let store = self.harness.reopen().await;
        self.client = Some(Client::new(store).await);
    }

    /// So much time passes, and then all that is due is done, by the sweep and by the store itself.
    pub(super) async fn pass(&mut self, span: Span) {
        self.harness.advance(span);
        self.tidy().await;
    }

    pub(super) async fn tidy(&mut self) {
        self.sweep().await;
        self.harness.maintain().await;
    }

    pub(super) fn in_bulk(&self) -> bool {
        self.store.capabilities().expires_in_bulk
    }

    /// The key must hold exactly this.
    pub(super) async fn expect(&self, id: RecordId, record: Option<&Record>) {
        assert_eq!(self.load(id).await.as_ref(), record, "of {id}");
    }
}

impl<H> Deref for Rig<H> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client.as_ref().expect("a store is open except while it is opened again")
    }
}
