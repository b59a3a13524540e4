//! semel-sim.

#[cfg(doctest)]
mod guides;
