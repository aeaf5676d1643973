//! How the ranks of a site add up. Must not know the wire.
use coalition_comm::Collective;

use crate::Error;

/// Sums over all ranks, in place, with equal bits at every rank. Every rank makes the same calls in the same order.
pub trait Reduce<R> {
    /// Adds up a gradient vector.
    fn sum(&mut self, x: &mut [R]) -> Result<(), Error>;
    /// Adds up a few numbers.
    fn sum_f64(&mut self, x: &mut [f64]) -> Result<(), Error>;
}

/// A single rank: nothing to add.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl<R> Reduce<R> for Alone {
    fn sum(&mut self, _: &mut [R]) -> Result<(), Error> {
        Ok(())
    }
    fn sum_f64(&mut self, _: &mut [f64]) -> Result<(), Error> {
        Ok(())
    }
}

/// The ranks of a collective.
pub struct Over<'a>(pub &'a mut dyn Collective);

fn failed(e: coalition_comm::CommError) -> Error {
    Error::Reduce(Box::new(e))
}

impl Reduce<f32> for Over<'_> {
    fn sum(&mut self, x: &mut [f32]) -> Result<(), Error> {
        self.0.all_reduce_sum(x).map_err(failed)
    }
    fn sum_f64(&mut self, x: &mut [f64]) -> Result<(), Error> {
        self.0.all_reduce_sum_f64(x).map_err(failed)
    }
}

impl Reduce<f64> for Over<'_> {
    fn sum(&mut self, x: &mut [f64]) -> Result<(), Error> {
        self.0.all_reduce_sum_f64(x).map_err(failed)
    }
    fn sum_f64(&mut self, x: &mut [f64]) -> Result<(), Error> {
        self.0.all_reduce_sum_f64(x).map_err(failed)
    }
}
