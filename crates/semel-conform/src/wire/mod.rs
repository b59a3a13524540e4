//! HTTP/1.1 as the tester speaks it: every byte that is sent is chosen, every byte that comes is kept.
//!
//! An HTTP library mends, merges and retries; a tester must not. Only the parsing of heads is
//! [`httparse`]'s. The path: a [`Request`] is written on a [`Connection`] that [`Address::connect`]
//! made, straight to the target or through [`crate::mischief`], and a [`Reply`] is read strictly.

mod address;
mod connection;
mod reply;
mod request;

pub use address::{Address, AddressError};
pub(crate) use connection::Stream;
pub use connection::{Connection, WireError};
pub use reply::Reply;
pub use request::{Request, Secret};
