//! The hub role against a real API server, with sites that are played (`support::played`): one program, so that it is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod checkpoints;
mod ends;
mod kills;
mod memory;
mod refusals;
mod runs;
mod support;
mod unreadable;
