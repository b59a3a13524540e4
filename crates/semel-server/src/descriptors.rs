//! How many connections and files the system lets this process have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the process itself may. Systems give little at first, for the sake of programs
/// that cannot count beyond 1024; thousands of idle callers would take all of it.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        let now = limit.current.unwrap_or(u64::MAX);
        tracing::warn!(%error, now, "the limit of open files could not be raised");
    }
}
