//! Harness for whole runs: start, kill, damage, check invariants.
