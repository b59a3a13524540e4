//! The store suite over each backend.

use std::sync::Arc;

use semel::entropy::SystemEntropy;
use semel::store::MemoryStore;
use semel::time::{ManualClock, WallClock};
use semel_core::store::BoxFuture;
use semel_core::suite::Harness;
use semel_core::{Span, Store, Timestamp};

/// Makes memory stores on a manual clock.
struct Memory(Arc<ManualClock>);

impl Memory {
    fn new() -> Self {
        Self(Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_750_000_000_000))))
    }
}

impl Harness for Memory {
    fn fresh(&mut self) -> BoxFuture<'_, Arc<dyn Store>> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(self.0.clone(), &SystemEntropy));
        Box::pin(async move { store })
    }

    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Store>> {
        self.fresh()
    }

    fn advance(&mut self, span: Span) {
        self.0.advance(span);
    }

    fn jump(&mut self, span: Span) {
        self.0.set(self.0.now().plus(span));
    }
}

mod memory {
    use super::Memory;

    semel_core::store_suite!(Memory::new());
}
