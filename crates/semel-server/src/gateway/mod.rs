//! The gateway: a reverse proxy as a tower service, to stand inside Semel's layer.
//!
//! It forwards one request once and hands back what came. Unkeyed traffic is streamed through both
//! ways; of a keyed request it tells the layer what is certain when no whole reply came. It decides
//! nothing about keys and never retries.
//!
//! The path: [`crate::listen`] takes the connection, [`front`] refuses what cannot be passed on, the
//! layer claims, [`forward`] prepares the message, [`upstream`] sends it, [`reply_body`] carries the
//! reply back.

mod asked;
pub(crate) mod forward;
pub(crate) mod front;
pub(crate) mod hops;
pub(crate) mod keyed;
pub(crate) mod plain;
pub(crate) mod reply_body;
pub(crate) mod request_body;
pub(crate) mod service;
pub(crate) mod target;
pub(crate) mod tunnel;
pub(crate) mod upstream;

pub(crate) use forward::Rules;
pub(crate) use front::Front;
pub(crate) use hops::Forwarding;
pub(crate) use service::Gateway;
pub(crate) use target::Target;
pub(crate) use upstream::{Patience, Pool};
