//! The admin listener: health, metrics, and the API of `semel keys` and `semel store`.
//!
//! It shows states and lets operators resolve and erase, so it is kept from everybody else: it
//! listens on loopback unless a token is set, and refuses what a web page in an operator's browser
//! could send ([`access`]). It never tells a key, a principal or a reply.

mod access;
pub(crate) mod audit;
mod forecast;
mod guesses;
mod keys;
mod openapi;
mod paths;
mod problem;
mod reconcile;
mod render;
mod service;
mod tokens;

use std::time::Duration;

pub(crate) use access::Access;
pub(crate) use audit::Audit;
pub(crate) use service::Service;
pub(crate) use tokens::token;

use crate::listen::Bounds;

/// Few operators, small requests.
pub(crate) const BOUNDS: Bounds = Bounds {
    connections_max: 64,
    head_time: Duration::from_secs(10),
    headers_max: 64,
    head_max: 16 * 1024,
    keep_alive: Duration::from_secs(75),
    reply_pause: Duration::from_secs(60),
    streams_max: 1,
};
