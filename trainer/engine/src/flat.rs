//! The two types of training, and a flat vector that both plain code (as a slice) and the tensor library (as views) work
//! on without copies. Must not know what the elements mean.
use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use crate::Error;

/// f32, or f64 where errors shall mean mistakes.
pub trait Real: coalition_kernels::Element + tch::kind::Element {
    /// The tensor library's name of the type.
    const TENSOR: Kind;
}

impl Real for f32 {
    const TENSOR: Kind = Kind::Float;
}

impl Real for f64 {
    const TENSOR: Kind = Kind::Double;
}

/// A contiguous vector in host memory, owned by a tensor.
#[derive(Debug)]
pub(crate) struct Flat<R> {
    tensor: Tensor,
    len: usize,
    kind: PhantomData<R>,
}

impl<R: Real> Flat<R> {
    pub(crate) fn zeros(len: usize) -> Result<Self, Error> {
        let tensor = Tensor::f_zeros([len as i64], (R::TENSOR, Device::Cpu))?;
        if !tensor.is_contiguous() || tensor.numel() != len {
            return Err(Error::Length { what: "a new vector", got: tensor.numel(), expected: len });
        }
        Ok(Self { tensor, len, kind: PhantomData })
    }

    /// The elements.
    #[allow(unsafe_code)]
    pub(crate) fn as_slice(&self) -> &[R] {
        // SAFETY: `tensor` is a contiguous host tensor of `len` elements of R (checked in `zeros`) that is never resized; it
        // lives as long as `self`. Views share its storage, but only this crate holds them, and it runs no tensor
        // operation while a slice is borrowed from the trainer that owns both. An empty tensor may have no storage.
        if self.len == 0 {
            return &[];
        }
        unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast::<R>(), self.len) }
    }

    /// The elements, to be written.
    #[allow(unsafe_code)]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [R] {
        // SAFETY: as in `as_slice`; `&mut self` makes it the only slice.
        if self.len == 0 {
            return &mut [];
        }
        unsafe { std::slice::from_raw_parts_mut(self.tensor.data_ptr().cast::<R>(), self.len) }
    }

    /// A view of `len` elements from `offset` on, in `shape`.
    pub(crate) fn view(&self, offset: usize, len: usize, shape: &[usize]) -> Result<Tensor, Error> {
        let shape: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
        Ok(self.tensor.f_narrow(0, offset as i64, len as i64)?.f_view(shape.as_slice())?)
    }

    /// Copies a slice of the same length in.
    pub(crate) fn copy_from(&mut self, what: &'static str, from: &[R]) -> Result<(), Error> {
        if from.len() != self.len {
            return Err(Error::Length { what, got: from.len(), expected: self.len });
        }
        self.as_mut_slice().copy_from_slice(from);
        Ok(())
    }
}
