//! libFuzzer over one of the targets of `semel_sim::fuzz`: `SEMEL_FUZZ_TARGET` names it.
//!
//! `scripts/soak fuzz` builds this with the compiler's counters of coverage, and runs it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use semel_sim::fuzz::{Target, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("SEMEL_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("SEMEL_FUZZ_TARGET names no target: {name:?}"))
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
