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

#[cfg(feature = "embedded")]
mod embedded {
    use std::sync::Arc;

    use semel::entropy::SystemEntropy;
    use semel::store::embedded::faults::FaultDisk;
    use semel::store::embedded::{Driver, EmbeddedOptions, EmbeddedStore, Ground};
    use semel::time::{ManualClock, WallClock};
    use semel_core::store::BoxFuture;
    use semel_core::suite::Harness;
    use semel_core::{Span, Store, Timestamp};
    use tokio::sync::{mpsc, oneshot};

    /// Makes record logs on a simulated disk. A task commits; maintenance runs when it is asked.
    struct Embedded {
        clock: Arc<ManualClock>,
        disk: FaultDisk,
        maintain: Option<mpsc::Sender<oneshot::Sender<()>>>,
    }

    async fn drive(mut driver: Driver, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        while !driver.closed() {
            driver.step();
            tokio::select! {
                biased;
                Some(done) = asked.recv() => {
                    driver.maintain().unwrap();
                    done.send(()).unwrap();
                }
                () = driver.filled() => {}
            }
        }
    }

    impl Embedded {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_750_000_000_000)));
            Self { clock, disk: FaultDisk::new(1 << 42), maintain: None }
        }

        fn ground(&self) -> Ground {
            Ground {
                disk: self.disk.process(),
                clock: self.clock.clone(),
                entropy: Arc::new(SystemEntropy),
            }
        }

        fn options() -> EmbeddedOptions {
            EmbeddedOptions {
                segment_bytes: 4 << 20,
                bucket_width: Span::from_secs(60),
                batch_bytes: 1 << 20,
                pool: 1,
                ..EmbeddedOptions::default()
            }
        }

        fn keep(&mut self, (store, driver): (EmbeddedStore, Driver)) -> Arc<dyn Store> {
            let (ask, asked) = mpsc::channel(1);
            self.maintain = Some(ask);
            tokio::spawn(drive(driver, asked));
            Arc::new(store)
        }
    }

    impl Harness for Embedded {
        fn fresh(&mut self) -> BoxFuture<'_, Arc<dyn Store>> {
            Box::pin(async move {
                self.disk = FaultDisk::new(1 << 42);
                let (ground, options) = (self.ground(), Self::options());
                let made = EmbeddedStore::create_driven(&ground, &options, Timestamp::ZERO);
                self.keep(made.unwrap())
            })
        }

        fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Store>> {
            Box::pin(async move {
                self.disk.power_loss_by_seed(self.clock.now().as_unix_ms());
                let opened = EmbeddedStore::open_driven(&self.ground(), &Self::options());
                self.keep(opened.unwrap())
            })
        }

        fn advance(&mut self, span: Span) {
            self.clock.advance(span);
        }

        fn jump(&mut self, span: Span) {
            self.clock.set(self.clock.now().plus(span));
        }

        fn maintain(&mut self) -> BoxFuture<'_, ()> {
            Box::pin(async move {
                let (done, maintained) = oneshot::channel();
                self.maintain.as_ref().unwrap().send(done).await.unwrap();
                maintained.await.unwrap();
            })
        }

        fn bulk_delay(&self) -> Span {
            Span::from_secs(2 * 3600)
        }
    }

    semel_core::store_suite!(Embedded::new());
}
