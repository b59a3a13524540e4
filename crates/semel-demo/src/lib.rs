//! semel-demo.
