//! Elementwise kernels on flat shards: fused AdamW, sum of squares, scaling; the host twins of what CUDA will run.
//!
//! [`Kernels`] is generic over the buffer it works on, so that a device implementation takes its own buffers through the same
//! verbs. This crate must never learn what a model is: it sees flat buffers and spans.

mod adamw;
mod element;
mod host;

pub use adamw::{AdamStep, DecaySpan};
pub use element::Element;
pub use host::Host;

/// Elements that one unit of work covers. It fixes the order of every partial sum, so results never depend on the number of
/// threads; 32768 f32 (128 KiB an array) keeps a block of the four AdamW arrays inside a usual second-level cache.
pub const BLOCK: usize = 1 << 15;

/// The kernels that training needs, over buffers of type `B` (`[f32]` and `[f64]` on the host).
pub trait Kernels<B: ?Sized>: Send + Sync {
    /// One decoupled AdamW update (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) of parameters
    /// `x` with moments `m` and `v` and gradient `g`. Weight decay acts only inside spans that ask for it; elements outside
    /// every span are left as they are.
    fn adamw(
        &self,
        x: &mut B,
        m: &mut B,
        v: &mut B,
        g: &B,
        spans: &[DecaySpan],
        step: &AdamStep,
    ) -> Result<(), KernelError>;

    /// Sum of squares, each element widened to f64 first, partial sums by fixed blocks. Not finite iff some element is not
    /// finite (f32), or the sum overflows (f64).
    fn sum_of_squares(&self, x: &B) -> f64;

    /// Multiplies every element by `by`, rounded to the element type first.
    fn scale(&self, x: &mut B, by: f64);
}

/// A call with arguments that do not fit together: always a mistake of the caller, never of the data.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum KernelError {
    /// Buffers of one update differ in length.
    #[error(
        "{what} has {got} elements, the parameters have {expected}: all four buffers of an update must be equally long"
    )]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Its length in elements.
        got: usize,
        /// The length of the parameters.
        expected: usize,
    },
    /// A span that leaves the buffer, or begins before the one before it ends.
    #[error(
        "span {start}..{end} overlaps the span before it or leaves the buffer of {len} elements: give sorted, disjoint spans"
    )]
    Span {
        /// First element.
        start: usize,
        /// One past the last element.
        end: usize,
        /// Length of the buffer.
        len: usize,
    },
    /// A hyperparameter outside its range.
    #[error("AdamW {name} = {value} is outside {bound}")]
    Hyperparameter {
        /// Which one.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        bound: &'static str,
    },
    /// The thread pool could not be made.
    #[error("cannot start {threads} threads for host kernels: {reason}; lower cpuThreads or raise the process limit")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}
