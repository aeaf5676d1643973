//! Harness for whole runs: start, kill, damage, check invariants. Knows everybody; nobody knows it.

pub mod audit;
pub mod learnt;
pub mod manifest;
pub mod ngram;
pub mod processes;
pub mod programs;
pub mod restart;
pub mod run;
pub mod rundir;
pub mod text;
pub mod trials;
pub mod verdict;
pub mod wait;
pub mod yardstick;
