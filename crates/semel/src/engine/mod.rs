//! The engine: carries out what the machine decides.
//!
//! One engine stands behind every door. For each operation it
//! 1. **claims**: one compare-and-set; nothing runs before it is durable (`claim.rs`);
//! 2. **executes** in a task that does not die with its client, its lease renewed beside it
//!    (`execute.rs`);
//! 3. **settles**: a fenced write of the outcome, repeated while its result is unknown; no reply
//!    leaves before it is durable (`settle.rs`);
//! 4. **answers** with the fresh reply, the stored one, or the reason why there is none (`run.rs`).
//!
//! Beside that it sweeps what is due (`sweep.rs`) and answers inquiries, voids and resolves
//! (`inquiry.rs`), and asks the callee about what is in doubt (`reconcile.rs`, `reconciler.rs`). It decides nothing itself: every decision is [`semel_core::machine::step`].
//!
//! # Caveats
//! - *Begin*: an execution sends nothing after its lease has ended. [`Attempt::may_begin`] says so,
//!   and is to be asked immediately before the first byte; check and send are still two steps, which
//!   only a callee that compares fences can make one.
//! - A process that is killed leaves its executions to lapse; under Hold they become *in doubt*.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use semel::core::{Effect, Fingerprint, Key, Policy, Principal, Scope, Secret};
//! use semel::engine::{Answered, Bounds, Concluded, Engine, EngineConfig, Executed, Operation};
//! use semel::{entropy::SystemEntropy, store::MemoryStore, time::SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new(Arc::new(SystemClock), &SystemEntropy));
//! let secret = Secret::new(&[7; 32]); // in earnest: 32 random bytes from a file
//! let engine = Engine::start(store, secret.clone(), EngineConfig::default()).await?;
//!
//! let key = Key::from_text("8e03978e-40d5-43dd-bc93-6894a57f9324")?;
//! let scope = Scope::new("shop", Principal::none());
//! let id = secret.record_id(&scope, &key);
//! for expected in ["executed", "replayed"] {
//!     let operation = Operation { id, key: key.clone(), fingerprint: Fingerprint::default() };
//!     let answered = engine
//!         .run(operation, Arc::new(Policy::default()), Bounds::default(), |_attempt| async {
//!             let plain = Bytes::from_static(b"charged");
//!             Executed {
//!                 concluded: Concluded::Reply { status: None, effect: Effect::Done, plain },
//!                 live: "charged",
//!             }
//!         })
//!         .await;
//!     match answered {
//!         Answered::Executed { live, .. } => assert_eq!((expected, live), ("executed", "charged")),
//!         Answered::Replayed { plain, .. } => {
//!             assert_eq!((expected, &plain[..]), ("replayed", &b"charged"[..]));
//!         }
//!         other => panic!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod attempt;
mod claim;
mod clock;
mod execute;
mod inquiry;
mod reconcile;
mod reconciler;
mod run;
mod seal;
mod settle;
mod start;
mod sweep;
mod wait;

use std::sync::Arc;

use semel_core::{Secret, Span, Timestamp};

pub use answer::{Answered, Bounds, Concluded, Executed, Operation, Recording, Refusal};
pub use attempt::Attempt;
pub use inquiry::{Applied, Known, Standing};
pub use reconcile::{About, Found, LookUp, Reconciled};
pub use reconciler::Reconciler;
pub use seal::{OpenError, open, seal};
pub use settle::settled_reply;
pub use start::{Drained, EngineConfig, Spawner, StartError, TokioSpawner};

/// A handle to a running engine; clones share it.
#[derive(Clone, Debug)]
pub struct Engine(Arc<start::Inner>);

impl Engine {
    /// The secret that names records and seals replies.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// The deadline that every write of this engine carries: policies are checked against it.
    #[must_use]
    pub fn deadline(&self) -> Span {
        self.0.config.deadline
    }

    /// Runs `task` beside the engine's own, where its spawner runs those.
    #[cfg(feature = "layer")]
    pub(crate) fn spawn(&self, task: semel_core::store::BoxFuture<'static, ()>) {
        self.0.config.spawner.spawn(task);
    }

    /// The store's present time, as far as this engine knows it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}
