//! Collectives inside one site: [`local`] (threads, for tests and one process) and [`tcp`] (the reference between processes).
//!
//! * Every result is bit-equal on all ranks: a sum is x_0 + x_1 + … in the order of ranks, element by element, whatever the
//!   transport, the message sizes or the order in which messages arrive.
//! * Every call has a deadline, and a peer that is gone is an error at once (its closed socket is seen), never a hang.
//! * After the first error a collective is broken for good: the gang forms again at the next attempt (D8).
//!
//! This crate must never learn what it carries: no models, no runs, no stores.

mod algorithms;
mod error;
mod links;
pub mod local;
pub mod tcp;

pub use error::CommError;

/// What the ranks of one gang do together. All ranks make the same calls in the same order with the same lengths.
pub trait Collective: Send {
    /// This rank, 0 to world − 1.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn world(&self) -> usize;

    /// Replaces `x` by the sum over all ranks: x_0 + x_1 + … in the order of ranks, rounded after each addition.
    fn all_reduce_sum(&mut self, x: &mut [f32]) -> Result<(), CommError>;

    /// The same in f64.
    fn all_reduce_sum_f64(&mut self, x: &mut [f64]) -> Result<(), CommError>;

    /// Replaces `bytes` by those of `root`, of any length up to [`MAX_BYTES`].
    fn broadcast(&mut self, root: usize, bytes: &mut Vec<u8>) -> Result<(), CommError>;

    /// Replaces `x` by that of `root`; equally long on all ranks.
    fn broadcast_f32(&mut self, root: usize, x: &mut [f32]) -> Result<(), CommError>;

    /// The same in f64.
    fn broadcast_f64(&mut self, root: usize, x: &mut [f64]) -> Result<(), CommError>;

    /// What every rank gave, in the order of ranks; each of any length up to [`MAX_BYTES`].
    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CommError>;

    /// Returns once every rank is here.
    fn barrier(&mut self) -> Result<(), CommError>;
}

/// The longest message whose length its receiver does not know beforehand: 64 MiB, far above any decision or report, and low
/// enough that a damaged length cannot take the machine's memory.
pub const MAX_BYTES: usize = 64 << 20;
