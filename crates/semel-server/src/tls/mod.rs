//! TLS towards callers: the certificate that they are shown, and the one that they may have to show.
//!
//! The path: [`files`] reads and checks PEM files, [`certificates`] holds what they came to and reads them
//! again when told or when they change, [`crate::listen`] shakes hands by it. What cannot be used stops the
//! start; later, what was in use stays in use.

mod certificates;
mod fault;
mod files;
mod handshake;
mod validity;

pub(crate) use certificates::Certificates;
pub(crate) use files::{ClientRule, TlsFiles};
pub(crate) use handshake::{Unshaken, shake};
