//! The rules of Semel: idempotency keys, fingerprints, records, and the machine that decides.
//!
//! This crate does no IO, reads no clock, knows no async runtime and makes no randomness: its list
//! of dependencies is the proof. Time and random values are passed in, decisions come out as values.
//!
//! Read [`machine`] first; after it you can predict every reply.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm))]

pub mod codec;
pub mod fingerprint;
pub mod id;
pub mod key;
pub mod machine;
pub mod policy;
pub mod record;
pub mod secret;
pub mod store;
#[cfg(feature = "suite")]
pub mod suite;
pub mod time;

pub use fingerprint::Fingerprint;
pub use id::{Digest, Fence, Incarnation, Owner, RecordId, RouteTag, Version};
pub use key::{Key, Principal, Scope};
pub use policy::{Earlier, OnLapse, Policy};
pub use record::{Doubt, Effect, Record, Sealed, SealedUnder, Settled, State, StoredReply};
pub use secret::Secret;
pub use store::{Store, StoreError};
pub use time::{Span, Timestamp};
