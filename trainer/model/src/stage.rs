//! The signature of a stage, and what flows in and out of it. Must not know any particular model.
use std::collections::BTreeMap;

use tch::Tensor;

use crate::{Error, Options, Rotary};

/// Target of a position whose loss does not count (the value that `transformers` uses).
pub const IGNORE: i64 = -100;

/// A piece of a model: a pure function of parameters, carry and context. A parameter name may occur in several stages (tied
/// embeddings); the engine sums its gradients.
pub trait Stage: Send + Sync {
    /// A short name for messages, such as `block 3`.
    fn label(&self) -> String;

    /// Hugging Face names of the parameters that `forward` asks for.
    fn parameters(&self) -> &[String];

    /// Computes the next carry. Called again with an equal context (and what the first call saved) where activations are
    /// recomputed, so it must give the same bits then.
    fn forward(&self, params: &Params<'_>, carry: Carry, ctx: &Ctx<'_>) -> Result<(Carry, Aux), Error>;
}

/// The parameters of one stage.
#[derive(Clone, Copy)]
pub struct Params<'a> {
    names: &'a [String],
    tensors: &'a [Tensor],
}

impl<'a> Params<'a> {
    /// Pairs names with tensors, in the same order.
    pub fn new(names: &'a [String], tensors: &'a [Tensor]) -> Self {
        Self { names, tensors }
    }

    /// The tensor of that name.
    pub fn get(&self, stage: &dyn Stage, name: &str) -> Result<&'a Tensor, Error> {
        let found = self.names.iter().position(|n| n == name).and_then(|n| self.tensors.get(n));
        found.ok_or_else(|| Error::MissingParameter { stage: stage.label(), name: name.to_owned() })
    }
}

/// What flows from stage to stage. Floating tensors are differentiated, integer ones are not.
#[derive(Debug)]
pub struct Carry {
    /// In the order that the next stage documents.
    pub tensors: Vec<Tensor>,
}

impl Carry {
    /// A carry of one tensor.
    pub fn one(t: Tensor) -> Self {
        Self { tensors: vec![t] }
    }

    /// Other handles of the same tensors.
    #[must_use]
    pub fn handles(&self) -> Self {
        Self { tensors: self.tensors.iter().map(Tensor::shallow_clone).collect() }
    }

    /// The only tensor.
    pub fn single(mut self, stage: &dyn Stage) -> Result<Tensor, Error> {
        match (self.tensors.pop(), self.tensors.len()) {
            (Some(t), 0) => Ok(t),
            (_, n) => {
                let got = format!("{} tensors", n + 1);
                Err(Error::Carry { stage: stage.label(), expected: "a carry of one tensor", got })
            }
        }
    }
}

/// How a buffer takes a new value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BufferRule {
    /// The new value replaces it.
    Replace,
    /// The new value is added to it.
    Add,
}

/// A new value of a tensor that is kept with the model but has no gradient.
#[derive(Debug)]
pub struct Buffer {
    /// Its name.
    pub name: String,
    /// The value.
    pub value: Tensor,
    /// What happens with the value once the step counts.
    pub rule: BufferRule,
}

/// What a stage puts out beside its carry. Empty for dense models.
#[derive(Debug, Default)]
pub struct Aux {
    /// Extra losses, weighted, summed over the loss tokens like the loss itself.
    pub losses: Vec<Tensor>,
    /// Numbers worth reporting.
    pub metrics: Vec<(&'static str, f64)>,
    /// Buffers, updated once when the step counts.
    pub buffers: Vec<Buffer>,
    /// Choices that recomputation must repeat and not make again (routing): given back in [`Ctx::saved`].
    pub saved: Vec<Tensor>,
    /// What later positions look back at, all positions so far: for the next call's [`Ctx::past`]. Empty unless asked for.
    pub past: Vec<Tensor>,
}

/// What every stage may look at.
pub struct Ctx<'a> {
    /// Targets `[rows, length]` (i64, [`IGNORE`] where the loss does not count); none = the head puts out logits.
    pub targets: Option<&'a Tensor>,
    /// Rotary tables of these positions.
    pub rotary: &'a Rotary,
    /// Which position may look at which: `[rows, 1, length, length]` booleans, true = may; none = every earlier one and
    /// itself.
    pub mask: Option<&'a Tensor>,
    /// What this stage saved in its first forward pass; empty in that pass.
    pub saved: &'a [Tensor],
    /// Set when a text is written position by position: what this stage put out as [`Aux::past`] for the positions before,
    /// empty for the first ones. Then the carry holds only what follows them: any number of positions at first, one later.
    pub past: Option<&'a [Tensor]>,
    /// Buffers by name, as they stood before the step.
    pub buffers: &'a BTreeMap<String, Tensor>,
}

/// The weight of a linear layer and its bias, if it has one.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: String,
    bias: Option<String>,
}

impl Linear {
    pub(crate) fn new(prefix: &str, bias: bool, names: &mut Vec<String>) -> Self {
        let weight = format!("{prefix}.weight");
        names.push(weight.clone());
        let bias = bias.then(|| format!("{prefix}.bias"));
        names.extend(bias.clone());
        Self { weight, bias }
    }

    /// x · Wᵀ + b over the last dimension.
    pub(crate) fn apply(&self, s: &dyn Stage, p: &Params<'_>, x: &Tensor) -> Result<Tensor, Error> {
        let bias = self.bias.as_ref().map(|b| p.get(s, b)).transpose()?;
        Ok(x.f_linear(p.get(s, &self.weight)?, bias)?)
    }
}

impl Options {
    /// True if nothing is switched off.
    pub fn is_plain(self) -> bool {
        self == Self::default()
    }
}
