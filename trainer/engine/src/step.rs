//! What a step is told and what it tells. Must not know how it is done.
use std::collections::BTreeMap;
use std::time::Duration;

use crate::ModelOptions;

/// How a rank computes. None of it changes what is computed beyond rounding, except `model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads inside an operation, pinned: part of the class (D1). The tensor library keeps one number for the process.
    pub threads: usize,
    /// Run each stage again in the backward pass instead of keeping what it computed: less memory, more time, same bits.
    pub recompute: bool,
    /// Rows that go through the model at once; more are accumulated. 0 = all.
    pub micro_rows: usize,
    /// Seed of the tensor library's generators (D2).
    pub seed: u64,
    /// Test switches of the model.
    pub model: ModelOptions,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Mean loss over the site's loss tokens, in nats, before the update.
    pub loss: f64,
    /// Loss tokens of all ranks.
    pub loss_tokens: u64,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// False: loss or gradient was not finite; parameters, moments and Adam count are as before, and the caller's budget of
    /// such steps has one less.
    pub applied: bool,
    /// True if the gradient was scaled down.
    pub clipped: bool,
    /// Time in forward and backward, in the sums over ranks, in the update.
    pub phases: [Duration; 3],
    /// What stages reported, averaged over micro-batches.
    pub metrics: BTreeMap<&'static str, f64>,
}
