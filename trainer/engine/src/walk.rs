//! The walk over the stages: forward, and backward one stage at a time. Must not know optimizers or ranks.
//!
//! Every stage has a graph of its own: its inputs are cut off from the stage before. The backward walk differentiates one
//! stage, hands out its gradients and drops its graph. With recomputation the forward keeps only the inputs of the stages
//! and the backward runs each stage again; without, it keeps the graphs. The operations and their order are the same, so
//! are the bits.
use std::collections::BTreeMap;

use coalition_model::{Aux, Buffer, Carry, Ctx, Params, Stage};
use tch::{Tensor, no_grad};

use crate::Error;
use crate::batch::Prepared;

/// Takes the gradient of parameter `.1` of stage `.0`.
pub(crate) type Emit<'a> = dyn FnMut(usize, usize, &Tensor) -> Result<(), Error> + 'a;

/// What a walk needs to know of the model.
pub(crate) struct Walk<'a> {
    pub(crate) stages: &'a [Box<dyn Stage>],
    /// The parameters of each stage as leaves that want gradients, in the order of its `parameters()`.
    pub(crate) leaves: &'a [Vec<Tensor>],
    pub(crate) buffers: &'a BTreeMap<String, Tensor>,
    pub(crate) recompute: bool,
    /// The seed of the library's generators before a stage (D2).
    pub(crate) seed: &'a dyn Fn(usize) -> i64,
    /// Called after each stage, forward and backward.
    pub(crate) after_stage: fn(),
}

/// What a backward walk found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Summed loss.
    pub(crate) loss: f64,
    pub(crate) metrics: Vec<(&'static str, f64)>,
    pub(crate) buffers: Vec<Buffer>,
}

/// A stage whose backward is still to come.
struct Pending {
    input: Carry,
    saved: Vec<Tensor>,
    graph: Option<(Carry, Vec<Tensor>)>,
}

fn floating(t: &Tensor) -> bool {
    matches!(t.kind(), tch::Kind::Float | tch::Kind::Double | tch::Kind::BFloat16 | tch::Kind::Half)
}

/// The same values, cut off from whatever made them; floating ones want gradients.
fn cut(carry: &Carry) -> Result<Carry, Error> {
    let one = |t: &Tensor| -> Result<Tensor, Error> {
        let leaf = t.f_detach()?;
        Ok(if floating(&leaf) { leaf.f_set_requires_grad(true)? } else { leaf })
    };
    Ok(Carry { tensors: carry.tensors.iter().map(one).collect::<Result<_, _>>()? })
}

impl Walk<'_> {
    fn run(
        &self,
        n: usize,
        carry: Carry,
        batch: &Prepared,
        targets: bool,
        saved: &[Tensor],
    ) -> Result<(Carry, Aux), Error> {
        let ctx = Ctx {
            targets: targets.then_some(&batch.targets),
            rotary: &batch.rotary,
            mask: batch.mask.as_ref(),
            saved,
            past: None,
            buffers: self.buffers,
        };
        self.enter(n, carry, &ctx)
    }

    fn enter(&self, n: usize, carry: Carry, ctx: &Ctx<'_>) -> Result<(Carry, Aux), Error> {
        let stage = &self.stages[n];
        tch::manual_seed((self.seed)(n));
        let out = stage.forward(&Params::new(stage.parameters(), &self.leaves[n]), carry, ctx)?;
        (self.after_stage)();
        Ok(out)
    }

    /// Forward only, up to but not including the last stage.
    fn trunk(&self, batch: &Prepared) -> Result<Carry, Error> {
        let mut carry = Carry::one(batch.tokens.shallow_clone());
        for n in 0..self.stages.len().saturating_sub(1) {
            carry = self.run(n, carry, batch, false, &[])?.0;
        }
        Ok(carry)
    }

    /// Summed loss without gradients.
    pub(crate) fn loss(&self, batch: &Prepared) -> Result<f64, Error> {
        no_grad(|| {
            let out = self.run(self.stages.len() - 1, self.trunk(batch)?, batch, true, &[])?.0;
            total(&out)
        })
    }

    /// Logits `[rows, length, vocabulary]`.
    pub(crate) fn logits(&self, batch: &Prepared) -> Result<Tensor, Error> {
        no_grad(|| logits_of(self.run(self.stages.len() - 1, self.trunk(batch)?, batch, false, &[])?.0))
    }

    /// Logits of the last position of `batch`, which follows the positions that `past` holds, for each stage; `past` then
    /// holds those of `batch` too. Begins with an empty `past`; later one position at a time.
    pub(crate) fn extend(&self, batch: &Prepared, past: &mut Vec<Vec<Tensor>>) -> Result<Tensor, Error> {
        past.resize_with(self.stages.len(), Vec::new);
        no_grad(|| {
            let mut carry = Carry::one(batch.tokens.shallow_clone());
            for (n, past) in past.iter_mut().enumerate() {
                if n + 1 == self.stages.len() {
                    last_position(&mut carry)?;
                }
                let ctx = Ctx {
                    targets: None,
                    rotary: &batch.rotary,
                    mask: None,
                    saved: &[],
                    past: Some(past.as_slice()),
                    buffers: self.buffers,
                };
                let (out, aux) = self.enter(n, carry, &ctx)?;
                (carry, *past) = (out, aux.past);
            }
            logits_of(carry)
        })
    }

    /// Forward and backward of the summed loss times `scale`.
    pub(crate) fn backward(&self, batch: &Prepared, scale: f64, emit: &mut Emit<'_>) -> Result<Found, Error> {
        let mut found = Found::default();
        let mut pending = self.forward(batch, &mut found)?;
        let mut incoming: Option<Vec<Tensor>> = None;
        while let Some(p) = pending.pop() {
            (self.after_stage)();
            let n = pending.len();
            let (output, extra) = if let Some(graph) = p.graph {
                graph
            } else {
                // Metrics and buffers were taken in the first pass.
                let (out, aux) = self.run(n, p.input.handles(), batch, true, &p.saved)?;
                (out, aux.losses)
            };
            if incoming.is_none() {
                found.loss = total(&output)?;
            }
            let target = objective(&output, incoming.as_deref(), &extra, scale)?;
            drop((output, extra));
            incoming = Some(self.differentiate(n, &target, &p.input, emit)?);
        }
        Ok(found)
    }

    /// Runs all stages. The last one always keeps its graph: its backward comes at once.
    fn forward(&self, batch: &Prepared, found: &mut Found) -> Result<Vec<Pending>, Error> {
        let mut carry = Carry::one(batch.tokens.shallow_clone());
        let mut pending = Vec::with_capacity(self.stages.len());
        for n in 0..self.stages.len() {
            let input = cut(&carry)?;
            let keep = !self.recompute || n + 1 == self.stages.len();
            let run = || self.run(n, input.handles(), batch, true, &[]);
            let (out, aux) = if keep { run()? } else { no_grad(run)? };
            found.metrics.extend(aux.metrics);
            found.buffers.extend(aux.buffers);
            carry = out.handles();
            let graph = keep.then_some((out, aux.losses));
            pending.push(Pending { input, saved: aux.saved, graph });
        }
        Ok(pending)
    }

    /// Gradients of `target` with regard to the parameters of stage `n` (handed out) and its input (returned).
    fn differentiate(
        &self,
        n: usize,
        target: &Tensor,
        input: &Carry,
        emit: &mut Emit<'_>,
    ) -> Result<Vec<Tensor>, Error> {
        let carried: Vec<&Tensor> = input.tensors.iter().filter(|t| floating(t)).collect();
        let inputs: Vec<&Tensor> = self.leaves[n].iter().chain(carried.iter().copied()).collect();
        let mut gradients = Tensor::f_run_backward(&[target], &inputs, false, false)?;
        let rest = gradients.split_off(self.leaves[n].len());
        for (p, g) in gradients.into_iter().enumerate() {
            // What a stage did not use has no gradient: the library gives an undefined tensor, not an error.
            if g.defined() {
                emit(n, p, &g)?;
            }
        }
        let zero = |(g, x): (Tensor, &&Tensor)| if g.defined() { Ok(g) } else { x.f_zeros_like() };
        Ok(rest.into_iter().zip(&carried).map(zero).collect::<Result<_, _>>()?)
    }
}

/// Cuts the residual stream down to its last position.
fn last_position(carry: &mut Carry) -> Result<(), Error> {
    for t in carry.tensors.iter_mut().filter(|t| t.dim() == 3) {
        *t = t.f_narrow(1, t.size()[1] - 1, 1)?;
    }
    Ok(())
}

fn logits_of(carry: Carry) -> Result<Tensor, Error> {
    carry.tensors.into_iter().next().ok_or_else(|| Error::Batch("the head gave no logits".into()))
}

/// The scalar whose gradient is the vector-Jacobian product: Σ output·incoming plus the scaled losses. (The library takes
/// no gradient seed; the dot product's own gradient is `incoming` to the last bit.)
fn objective(output: &Carry, incoming: Option<&[Tensor]>, extra: &[Tensor], scale: f64) -> Result<Tensor, Error> {
    let mut terms = Vec::new();
    match incoming {
        None => {
            for t in &output.tensors {
                terms.push(t.f_mul_scalar(scale)?);
            }
        }
        Some(g) => {
            for (t, g) in output.tensors.iter().filter(|t| floating(t)).zip(g) {
                terms.push(t.f_flatten(0, -1)?.f_dot(&g.f_flatten(0, -1)?)?);
            }
        }
    }
    for t in extra {
        terms.push(t.f_mul_scalar(scale)?);
    }
    let mut terms = terms.into_iter();
    let first = terms.next().ok_or_else(|| Error::Batch("a stage put out nothing to differentiate".into()))?;
    terms.try_fold(first, |sum, t| Ok(sum.f_add(&t)?))
}

/// The value of a carry that holds one number.
fn total(carry: &Carry) -> Result<f64, Error> {
    match carry.tensors.as_slice() {
        [t] if t.numel() == 1 => Ok(t.f_double_value(&[])?),
        other => Err(Error::Batch(format!("the last stage must put out one number, not {} tensors", other.len()))),
    }
}
