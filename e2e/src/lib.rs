//! Harness for whole runs: start, kill, damage, check invariants. Knows everybody; nobody knows it.

pub mod ngram;
