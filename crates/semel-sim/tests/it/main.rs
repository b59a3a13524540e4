//! The integration tests of the simulator's crate, in one binary.
#![cfg(test)]

mod checker;
mod corpora;
mod machine_page;
mod sim;
mod tidy;
mod zoo;
