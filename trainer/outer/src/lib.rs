//! The outer step: vector layout, difference, contributions, weighted mean, Nesterov, digests (D3, D4, D12, D15, D17, D18).
//!
//! Everything is a pure function of plain slices, and every site must get the same bits from it. This crate must never
//! learn tensors, files, network, time or randomness.

pub mod arithmetic;
pub mod chunks;
pub mod contribution;
pub mod error;
pub mod layout;
pub mod norm;
pub mod state;

pub use arithmetic::{Rule, Weighted, apply, difference, rebase, shift};
pub use contribution::ContributionManifest;
pub use error::OuterError;
pub use layout::{Tensor, VectorLayout};
pub use state::{OuterState, Vector};
