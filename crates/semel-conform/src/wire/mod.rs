//! HTTP as the tester speaks it: every byte that is sent is chosen, every byte that comes is kept.
//!
//! An HTTP library mends, merges and retries; a tester must not, and shares none with what it judges. The path: a
//! [`Request`] is written on a [`Connection`] that [`Address::connect`] made, straight to the target or through
//! [`crate::mischief`], in HTTP/1.1 (`one`, whose heads are parsed by [`httparse`]) or in HTTP/2 (`two`), and a
//! [`Reply`] is read strictly. How a target is spoken to is its [`Transport`].

mod address;
mod connection;
mod error;
mod one;
mod pipe;
mod protocol;
mod reply;
mod request;
mod transport;
pub(crate) mod two;
mod unchecked;

pub use address::{Address, AddressError};
pub use connection::{Connection, Turn};
pub use error::WireError;
pub(crate) use one::head_end;
pub(crate) use pipe::Stream;
pub use protocol::Http;
pub use reply::Reply;
pub use request::{Request, Secret};
pub use transport::{Transport, TransportError, Wanted};
