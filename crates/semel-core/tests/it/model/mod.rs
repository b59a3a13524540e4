//! A bounded model check of the real [`semel_core::machine::step`].
//!
//! One key in one compare-and-set register, two or three requests on two nodes, an effect that is
//! counted where it happens. A breadth-first search tries every order of every step and fault that
//! the scenario allows, so the first trace of a violation is a shortest one. Everything within one
//! tick happens in the same millisecond: ties are tried in every order.
//!
//! What it does not model: partial bodies, more than one key, an upstream that acts later than
//! `max_upstream` or a pause beyond the allowed one (both are stated assumptions of the promise).
//!
//! `state` holds the packed state, `world` the bounds and the seeded flaws, `moves` and `store` what
//! can happen next, `properties` what must never, `search` the search, `scenarios` the runs and
//! `holes` the proof that the search would see each hole if a correction were missing (`flaws` are the
//! machines that miss one).

mod flaws;
mod holes;
mod moves;
mod properties;
mod scenarios;
mod search;
mod state;
mod store;
mod world;
