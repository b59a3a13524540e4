//! A sample payment service, written as a user's application would be: it knows nothing of Semel,
//! and it charges once for every `POST` that reaches it.
//!
//! It speaks the dialect of a well-known payment API, so that the official Stripe SDKs can be
//! pointed at it: form bodies with brackets or JSON in; `charge`, `refund`, `balance`, `list` and
//! `error` objects out. Whoever repeats a request to it pays twice; that is the point. Put
//! a gateway before it, and count again.
//!
//! The path of a request:
//!
//! 1. [`serve`] accepts the connection and runs the request in a task of its own, so a client
//!    that leaves does not stop the work, as in a threaded service.
//! 2. The handler reads the credential, then the parameters, and may refuse.
//! 3. It asks [`Troubles`] whether this request meets trouble: slow, failing, lost, dead.
//! 4. It writes the effect to the [`Ledger`].
//! 5. The reply leaves, late, cut short or not at all, as the trouble says.
//!
//! Everything lives in memory and is gone when the process ends. The service must never remember
//! a request in order to answer it again: a repeated `POST` is a new charge.
//!
//! | route | does |
//! |---|---|
//! | `POST /v1/charges` | charges a card: `amount`, `currency`, `source` or `customer`, `metadata`, `description`, `shipping` |
//! | `POST /v1/refunds` | gives money back: `charge`, `amount` (default: what is left), `reason`, `metadata` |
//! | `GET /v1/charges` | lists charges, newest first: `limit`, `starting_after`, `idempotency_key` |
//! | `GET /v1/charges/{id}` | one charge |
//! | `GET /v1/balance` | what the account has, by currency |
//! | `POST /_trouble`, `GET /_trouble`, `DELETE /_trouble`, `DELETE /_trouble/{id}` | the switches: see [`Troubles`] |
//! | `GET /`, `GET /playground/…` | the playground page, and how often an order was charged |
//!
//! `/_trouble` asks for no credential. Serve this on loopback only.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
//! use semel_demo::{Kind, Ledger, Stopped, Trouble, Troubles, serve};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
//! let (ledger, troubles) = (Ledger::new(), Troubles::new());
//! troubles.add(Trouble::once(Kind::DropReply));
//! // The next charge will be made, and its reply lost.
//! let stopped = serve(listener, ledger.clone(), troubles, async { /* until asked to stop */ }).await;
//! assert_eq!(stopped, Stopped::Asked);
//! assert_eq!(ledger.times_charged(|_| true), 0);
//! # });
//! ```

mod account;
mod api;
mod charge;
mod clock;
mod error;
mod form;
mod ledger;
mod params;
mod playground;
mod reply;
mod serve;
mod switches;
mod trouble;

pub use account::Account;
pub use charge::{Charge, Currency, MAX_AMOUNT, NewCharge, NewRefund, Payer, Refund};
pub use ledger::{Ledger, LedgerError};
pub use serve::{Stopped, serve};
pub use trouble::{Kind, Standing, Target, Trouble, TroubleId, Troubles};
