//! The gradient vector and how parts of it are collected. Must not know where they come from.
use tch::Tensor;

use crate::flat::Flat;
use crate::{Error, Layout, Real};

/// The gradient of one step: each parameter's parts are added in the order in which they come (micro-batches, tied uses).
#[derive(Debug)]
pub(crate) struct Gradient<R> {
    flat: Flat<R>,
    views: Vec<Tensor>,
    touched: Vec<bool>,
}

impl<R: Real> Gradient<R> {
    pub(crate) fn new(layout: &Layout) -> Result<Self, Error> {
        let flat = Flat::zeros(layout.elements())?;
        let views: Result<Vec<_>, _> =
            layout.entries().iter().map(|e| flat.view(e.offset, e.len, &e.info.shape)).collect();
        Ok(Self { flat, views: views?, touched: vec![false; layout.entries().len()] })
    }

    /// Forgets the last step's.
    pub(crate) fn begin(&mut self) {
        self.touched.fill(false);
    }

    /// Adds a part; the first one overwrites, so that nothing needs zeroing.
    pub(crate) fn add(&mut self, parameter: usize, part: &Tensor) -> Result<(), Error> {
        let (Some(view), Some(touched)) = (self.views.get_mut(parameter), self.touched.get_mut(parameter)) else {
            return Err(Error::Length { what: "a gradient index", got: parameter, expected: self.views.len() });
        };
        if *touched {
            let _ = view.f_add_(part)?;
        } else {
            view.f_copy_(part)?;
            *touched = true;
        }
        Ok(())
    }

    /// Zeroes what no part was given for.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        for (view, touched) in self.views.iter_mut().zip(&self.touched) {
            if !touched {
                let _ = view.f_zero_()?;
            }
        }
        Ok(())
    }

    pub(crate) fn as_slice(&self) -> &[R] {
        self.flat.as_slice()
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [R] {
        self.flat.as_mut_slice()
    }
}
