//! A seeded simulator of Semel, with the checker that judges its histories.
//!
//! One seed drives everything: two engines, the store and its disk, the clock, the clients, the
//! operator and an upstream that counts what it does. Nothing else decides anything: no thread, no
//! real time, no order of a hash map. So a failure is a number, and the same number is its replay.
//!
//! - [`options`]: what a seed expands to.
//! - [`run`]: a safety phase with [`faults`], a liveness phase without.
//! - [`history`]: what an observer outside saw. [`checker`]: which promise it breaks.
//! - [`zoo`]: flaws that the checker must catch.
//! - [`traffic`]: what honest clients do, for other drivers too.
//! - [`fuzz`]: what any bytes must not bring about; not part of the simulation.
//!
//! Must never know how Semel decides: it looks at answers, effects and acknowledged writes.

pub mod checker;
mod client;
pub mod clock;
pub mod faults;
pub mod fuzz;
pub mod gate;
#[cfg(doctest)]
mod guides;
pub mod history;
pub mod host;
pub mod link;
pub mod log;
mod nemesis;
pub mod node;
pub mod operator;
pub mod options;
pub mod plain;
pub mod rng;
pub mod run;
pub mod sink;
pub mod traffic;
pub mod world;
pub mod zoo;
