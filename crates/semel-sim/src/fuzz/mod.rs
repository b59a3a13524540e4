//! The fuzz targets: what any bytes at all must not bring about.
//!
//! A target is a plain function. It takes bytes, and panics where a property is broken: a fuzzer calls it with
//! inputs that it makes (`fuzz/`, by `scripts/soak fuzz`), the tests with the inputs that were kept
//! (`fuzz/corpus`). Where a rule has a second author, it is compared with one: `item` reads RFC 9651,
//! `model` reads JSON, both written from the standard and sharing nothing with what they judge.
//!
//! Must never lean on time, randomness or order: the same bytes give the same end.

mod doorway;
mod feed;
mod forms;
mod header;
mod item;
mod json;
mod key;
mod log;
mod model;
mod record;
mod reply;

/// One function under the fuzzer.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of inputs.
    pub name: &'static str,
    /// What it breaks when it panics.
    pub property: &'static str,
    /// The longest input that is worth trying.
    pub input_max: usize,
    /// The function.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "key",
        property: "a header value is a printable key or refused, as RFC 9651 reads it; a UUIDv7 has its time",
        input_max: 600,
        run: key::run,
    },
    Target {
        name: "field",
        property: "a wait stays within the route's bound; what Semel writes is an RFC 9651 item",
        input_max: 300,
        run: header::run,
    },
    Target {
        name: "json",
        property: "two documents share a fingerprint when, and only when, they are equal by value",
        input_max: 2048,
        run: json::run,
    },
    Target {
        name: "forms",
        property: "two forms share a fingerprint only when their fields are equal",
        input_max: 1024,
        run: forms::run,
    },
    Target {
        name: "record",
        property: "bytes are one record or refused, and the machine takes any record with any event",
        input_max: 512,
        run: record::run,
    },
    Target {
        name: "reply",
        property: "bytes are one reply or refused, and no part of a reply is one",
        input_max: 512,
        run: reply::run,
    },
    Target {
        name: "log",
        property: "a damaged log is refused or says so: no acknowledged record is dropped or changed unseen",
        input_max: 512,
        run: log::run,
    },
];

/// Not a target but a test of the fuzzer: a panic behind eight bytes that must be met one after another. One
/// that is guided by coverage finds it in moments, and one that guesses never does.
pub const DOORWAY: Target = Target {
    name: "doorway",
    property: "none: this one is to be broken",
    input_max: 16,
    run: doorway::run,
};

/// The target of this name; [`DOORWAY`], too.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().chain([DOORWAY]).find(|target| target.name == name)
}
