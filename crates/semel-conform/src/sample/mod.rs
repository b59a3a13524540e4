//! A small API of charges that goes every [`crate::behaviour::Behaviour`] way: the tester's own
//! upstream when a gateway is tested, and the application behind the samples.
//!
//! [`App`] itself heeds no key: what it does twice, it was asked twice. [`serve`] puts it behind a
//! listener; a protection stands between the two.

mod app;
mod serve;

pub use app::{App, AppBody, Broken};
pub use serve::{Serving, serve, serve_on};
