//! The arithmetic of one AdamW update on one block. Must not know threads or where the buffers come from.
use crate::{Element, KernelError};

/// A run of elements that share one rule of weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecaySpan {
    /// First element.
    pub start: usize,
    /// How many elements.
    pub len: usize,
    /// True where weight decay acts (matrices); false for norms, biases, embeddings.
    pub decay: bool,
}

impl DecaySpan {
    /// One past the last element.
    pub fn end(&self) -> usize {
        self.start.saturating_add(self.len)
    }
}

/// What one update needs besides the buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment after bias correction.
    pub eps: f64,
    /// Decoupled weight decay: x ← x·(1 − lr·decay).
    pub weight_decay: f64,
    /// Adam count after this update: 1 for the first. Bias correction follows it.
    pub count: u64,
    /// Factor on every gradient before use: the clipping coefficient, 1 where nothing is clipped.
    pub gradient_scale: f64,
}

impl AdamStep {
    pub(crate) fn check(&self) -> Result<(), KernelError> {
        let unit = |b: f64| (0.0..1.0).contains(&b);
        let positive = |b: f64| b.is_finite() && b >= 0.0;
        let rules = [
            ("lr", self.lr, positive(self.lr), "finite, >= 0"),
            ("beta1", self.beta1, unit(self.beta1), "[0, 1)"),
            ("beta2", self.beta2, unit(self.beta2), "[0, 1)"),
            ("eps", self.eps, self.eps.is_finite() && self.eps > 0.0, "finite, > 0"),
            ("weightDecay", self.weight_decay, positive(self.weight_decay), "finite, >= 0"),
            ("count", self.count as f64, self.count > 0, ">= 1"),
            ("gradientScale", self.gradient_scale, positive(self.gradient_scale), "finite, >= 0"),
        ];
        match rules.into_iter().find(|r| !r.2) {
            Some((name, value, _, bound)) => Err(KernelError::Hyperparameter { name, value, bound }),
            None => Ok(()),
        }
    }
}

/// The scalars of a step, computed in f64 and rounded once.
#[derive(Clone, Copy)]
pub(crate) struct Scalars<E> {
    keep: E,
    b1: E,
    c1: E,
    b2: E,
    c2: E,
    rate: E,
    root: E,
    eps: E,
    scale: E,
}

impl<E: Element> Scalars<E> {
    pub(crate) fn new(s: &AdamStep, decay: bool) -> Self {
        // powf on an integral exponent up to 2^53: the count never reaches that.
        let count = s.count as f64;
        let (bc1, bc2) = (1.0 - s.beta1.powf(count), 1.0 - s.beta2.powf(count));
        let keep = if decay { 1.0 - s.lr * s.weight_decay } else { 1.0 };
        Self {
            keep: E::from_f64(keep),
            b1: E::from_f64(s.beta1),
            c1: E::from_f64(1.0 - s.beta1),
            b2: E::from_f64(s.beta2),
            c2: E::from_f64(1.0 - s.beta2),
            rate: E::from_f64(s.lr / bc1),
            root: E::from_f64(bc2.sqrt()),
            eps: E::from_f64(s.eps),
            scale: E::from_f64(s.gradient_scale),
        }
    }
}

/// Updates one block. The four slices are equally long; the loop has no branch, so that it becomes vector code.
pub(crate) fn update<E: Element>(x: &mut [E], m: &mut [E], v: &mut [E], g: &[E], k: Scalars<E>) {
    for (((x, m), v), g) in x.iter_mut().zip(m).zip(v).zip(g) {
        let g = *g * k.scale;
        let m1 = k.b1 * *m + k.c1 * g;
        let v1 = k.b2 * *v + k.c2 * (g * g);
        *m = m1;
        *v = v1;
        *x = *x * k.keep - k.rate * (m1 / (v1.sqrt() / k.root + k.eps));
    }
}
