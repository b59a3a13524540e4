//! The one wall clock of the service: it dates charges and decides nothing.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z; 0 on a machine whose clock stands before that.
#[expect(
    clippy::disallowed_methods,
    reason = "the sample depends on no Semel crate, so it has a clock of its own"
)]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
