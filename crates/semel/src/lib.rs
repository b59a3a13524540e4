//! semel.
