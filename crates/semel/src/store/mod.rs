//! The stores: backends of [`semel_core::Store`].
//!
//! Each declares what its acknowledged writes survive, and passes the one suite of
//! `semel-core` (feature `suite`).

pub mod clock;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod memory;
pub(crate) mod observe;

pub use clock::StoreClock;
pub use memory::MemoryStore;
