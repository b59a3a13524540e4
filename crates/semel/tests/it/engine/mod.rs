//! The engine over a memory store: what each caller is told, and how often the effect happens.

mod claims;
mod executions;
mod keys;
mod reconcile;
mod settles;
mod wrong_store;
