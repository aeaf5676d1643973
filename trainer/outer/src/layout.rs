//! How a model's parameters lie in one flat vector (D3): no mesh in it, so any rank of any mesh finds its part.
//!
//! Names are sorted and unique (tied parameters once). Each tensor is row-major f32, padded with +0 to a multiple of
//! [`PADDING`] elements, so that codec blocks never cross a tensor. The whole is cut into chunks of [`CHUNK`] elements.
use std::ops::Range;

use crate::OuterError;

/// Elements that every tensor is padded to a multiple of (D3).
pub const PADDING: usize = 4096;
/// Elements of a chunk (D3); the last one may be shorter.
pub const CHUNK: usize = 1 << 22;

/// Where one tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its Hugging Face name.
    pub name: String,
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Where its first element lies in the vector.
    pub offset: usize,
    /// How many elements it has, without padding.
    pub len: usize,
}

impl Tensor {
    /// Its elements, without padding.
    pub const fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len
    }
    /// Its padding.
    pub const fn padding(&self) -> Range<usize> {
        self.offset + self.len..self.offset + self.len.next_multiple_of(PADDING)
    }
}

/// The layout of a parameter vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorLayout {
    tensors: Vec<Tensor>,
    elements: usize,
}

impl VectorLayout {
    /// Lays out tensors, given in any order. A name given twice, an empty tensor and a size beyond memory are refused.
    pub fn new<N: Into<String>>(list: impl IntoIterator<Item = (N, Vec<usize>)>) -> Result<Self, OuterError> {
        let mut named: Vec<(String, Vec<usize>)> = list.into_iter().map(|(n, s)| (n.into(), s)).collect();
        named.sort();
        let mut tensors: Vec<Tensor> = Vec::with_capacity(named.len());
        let mut elements = 0usize;
        for (name, shape) in named {
            if tensors.last().is_some_and(|t| t.name == name) {
                return Err(OuterError::Layout(format!("{name} is named twice; a tied parameter is named once")));
            }
            let len = shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).filter(|n| *n > 0);
            let next = len.and_then(|n| n.checked_next_multiple_of(PADDING)).and_then(|n| elements.checked_add(n));
            let (Some(len), Some(next)) = (len, next) else {
                return Err(OuterError::Layout(format!("{name} has the impossible shape {shape:?}")));
            };
            tensors.push(Tensor { name, shape, offset: elements, len });
            elements = next;
        }
        if tensors.is_empty() {
            return Err(OuterError::Layout("it is empty".to_owned()));
        }
        Ok(Self { tensors, elements })
    }

    /// The tensors, by name.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
    /// Elements of the vector, padding included: `elements` of genesis.
    pub const fn elements(&self) -> usize {
        self.elements
    }
    /// One tensor.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.binary_search_by(|t| t.name.as_str().cmp(name)).ok().and_then(|n| self.tensors.get(n))
    }
    /// A vector of +0.
    pub fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.elements]
    }

    /// Copies one tensor into a vector of this layout.
    pub fn put(&self, vector: &mut [f32], name: &str, data: &[f32]) -> Result<(), OuterError> {
        self.check("the vector", vector)?;
        let t = self.find(name)?;
        if data.len() != t.len {
            return Err(OuterError::Length { what: name.to_owned(), expected: t.len, got: data.len() });
        }
        vector[t.range()].copy_from_slice(data);
        Ok(())
    }

    /// One tensor of a vector of this layout.
    pub fn get<'a>(&self, vector: &'a [f32], name: &str) -> Result<&'a [f32], OuterError> {
        self.check("the vector", vector)?;
        Ok(&vector[self.find(name)?.range()])
    }

    /// Refuses a vector of another length, or one whose padding is not +0.
    pub fn check_vector(&self, what: &str, vector: &[f32]) -> Result<(), OuterError> {
        self.check(what, vector)?;
        match self.tensors.iter().find(|t| vector[t.padding()].iter().any(|x| x.to_bits() != 0)) {
            Some(t) => Err(OuterError::Layout(format!("{what}: the padding after {} is not zero", t.name))),
            None => Ok(()),
        }
    }

    fn check(&self, what: &str, vector: &[f32]) -> Result<(), OuterError> {
        if vector.len() == self.elements {
            Ok(())
        } else {
            Err(OuterError::Length { what: what.to_owned(), expected: self.elements, got: vector.len() })
        }
    }

    fn find(&self, name: &str) -> Result<&Tensor, OuterError> {
        self.tensor(name).ok_or_else(|| OuterError::Layout(format!("there is no parameter {name}")))
    }
}
