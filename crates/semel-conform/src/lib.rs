//! Tells of any HTTP API whether it is safe to retry.
//!
//! A team describes its API in one small file ([`target`]), and learns in a minute whether a retry
//! can charge twice. Effects are counted from outside, never believed from the API's own replies.
//! This crate shares no code with what it judges.
//!
//! 1. [`run`] checks that the target can be judged, and puts it to the [`cases`].
//! 2. A [`case`] works with a [`trial`]: operations of its own, sent over [`wire`], through the
//!    network's [`mischief`] where it needs some, counted at the end.
//! 3. [`report`] writes what was found, for people and for machines.
//!
//! The [`sample`] is an API to try it on, and the upstream that the tester plays when a gateway is
//! what is tested.

pub mod behaviour;
pub mod case;
pub mod cases;
pub mod cli;
pub mod control;
mod effects;
pub mod mischief;
mod nearest;
mod preflight;
pub mod receiver;
pub mod report;
pub mod run;
pub mod sample;
pub mod target;
pub mod trial;
pub mod wire;
