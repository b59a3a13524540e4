//! The tester against servers that are right and servers that are not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod cli;
mod command;
mod doubtful;
mod incidents;
mod page;
mod sample;
mod small;
mod terminator;
mod tls;
mod unfit;
mod zoo;
