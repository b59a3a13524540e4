//! The machine and the record format, tested from outside.
//!
//! `table` walks every cell of the machine, `codec` the record format and its fixtures, `model`
//! searches what happens between the cells: clients, crashes, late writes, clocks. `earlier` is about
//! memory that was made longer.

#[cfg(test)]
mod codec;
#[cfg(test)]
mod earlier;
#[cfg(test)]
mod model;
mod routes;
#[cfg(test)]
mod table;
