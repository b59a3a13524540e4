//! A small API of charges that goes every [`crate::behaviour::Behaviour`] way: the tester's own
//! upstream when a gateway is tested, and the application behind the samples.
//!
//! [`App`] itself heeds no key: what it does twice, it was asked twice. [`serve`] puts it behind a
//! listener; a protection stands between the two. [`start`] runs the whole as a service that is right
//! ([`REFERENCE`]) or has one [`Flaw`], to see what the tester says of it.

mod app;
mod flaw;
mod protection;
mod raw;
mod sending;
mod serve;
mod start;

pub use app::{App, AppBody, Broken};
pub use flaw::Flaw;
pub use serve::{Cut, Serving, serve, serve_on};
pub use start::{REFERENCE, REFERENCE_409, Sample, names, start, start_named};
