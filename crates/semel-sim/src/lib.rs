//! semel-sim.
