//! The two element types that kernels work on. Must not know tensors.
use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

/// f32 for training, f64 for the tests whose tolerance would hide a mistake in f32. Every operation is a single IEEE one: no
/// fused multiply-add, no approximate division.
pub trait Element:
    Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + 'static
{
    /// Rounds to nearest even.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// Correctly rounded square root.
    #[must_use]
    fn sqrt(self) -> Self;
}

impl Element for f32 {
    fn from_f64(x: f64) -> Self {
        x as Self
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }
}

impl Element for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }
}
