//! The inner state of one rank and the step that moves it (D5, D10). Must not know data, files or sites.
use std::collections::BTreeMap;
use std::time::Instant;

use coalition_kernels::{AdamStep, BLOCK, DecaySpan, Host, Kernels};
use coalition_model::{Buffer, BufferRule, Initializer, Stage};
use coalition_protocol::philox::{Draws, Purpose};
use coalition_spec::model::ModelConfig;
use coalition_spec::training::AdamW;
use rayon::prelude::*;
use tch::Tensor;

use crate::batch::Batch;
use crate::flat::Flat;
use crate::gradient::Gradient;
use crate::walk::Walk;
use crate::{Error, Layout, Options, Real, Reduce, StepReport};

/// Added to the norm before dividing, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// One rank: parameters x, moments m and v, Adam count, and the model that gives their gradient.
pub struct Trainer<R> {
    pub(crate) config: ModelConfig,
    adam: AdamW,
    pub(crate) options: Options,
    layout: Layout,
    spans: Vec<DecaySpan>,
    pub(crate) stages: Vec<Box<dyn Stage>>,
    /// For each stage, the index of each of its parameters in the layout.
    indices: Vec<Vec<usize>>,
    pub(crate) leaves: Vec<Vec<Tensor>>,
    pub(crate) buffers: BTreeMap<String, Tensor>,
    x: Flat<R>,
    m: Flat<R>,
    v: Flat<R>,
    gradient: Gradient<R>,
    count: u64,
    kernels: Host,
    pub(crate) after_stage: fn(),
}

impl<R: Real> Trainer<R> {
    /// A rank with all-zero state: follow with [`Self::init`] or [`Self::set_params`].
    pub fn new(config: &ModelConfig, adam: AdamW, options: Options) -> Result<Self, Error> {
        let stages = coalition_model::stages(config, options.model)?;
        Self::with_stages(config, stages, adam, options)
    }

    /// The same for any list of stages whose parameters are among the configuration's.
    pub fn with_stages(
        config: &ModelConfig,
        stages: Vec<Box<dyn Stage>>,
        adam: AdamW,
        options: Options,
    ) -> Result<Self, Error> {
        if options.threads == 0 || options.threads > 1024 {
            let value = options.threads.to_string();
            return Err(Error::Option { name: "cpuThreads", value, bound: "1 to 1024" });
        }
        if !(adam.clip.is_finite() && adam.clip > 0.0) {
            let value = adam.clip.to_string();
            return Err(Error::Option { name: "optimizer.clip", value, bound: "finite, > 0" });
        }
        crate::memory::keep_freed();
        tch::set_num_threads(options.threads as i32);
        let layout = Layout::new(config);
        let x = Flat::zeros(layout.elements())?;
        let leaf = |e: &crate::Entry| -> Result<Tensor, Error> {
            Ok(x.view(e.offset, e.len, &e.info.shape)?.f_set_requires_grad(true)?)
        };
        let all: Vec<Tensor> = layout.entries().iter().map(leaf).collect::<Result<_, _>>()?;
        let mut indices = Vec::with_capacity(stages.len());
        for stage in &stages {
            let find = |name: &String| {
                layout.find(name).ok_or_else(|| coalition_model::Error::MissingParameter {
                    stage: stage.label(),
                    name: name.clone(),
                })
            };
            indices.push(stage.parameters().iter().map(find).collect::<Result<Vec<usize>, _>>()?);
        }
        let leaves = indices.iter().map(|s| s.iter().map(|n| all[*n].shallow_clone()).collect()).collect();
        Ok(Self {
            config: config.clone(),
            adam,
            options,
            spans: layout.spans(),
            stages,
            indices,
            leaves,
            buffers: BTreeMap::new(),
            m: Flat::zeros(layout.elements())?,
            v: Flat::zeros(layout.elements())?,
            gradient: Gradient::new(&layout)?,
            x,
            layout,
            count: 0,
            kernels: Host::new(options.threads)?,
            after_stage: || {},
        })
    }

    /// Calls `hook` after each stage, forward and backward, of every step and evaluation: for whoever must know that a long one
    /// goes on. It must not touch what is computed.
    pub const fn call_after_stages(&mut self, hook: fn()) {
        self.after_stage = hook;
    }

    /// First parameters from a seed, the same bits at every site (D2); moments and Adam count zero.
    pub fn init(&mut self, seed: u64) {
        first_values(&self.kernels, &self.layout, seed, self.x.as_mut_slice());
        self.reset_moments();
    }

    /// The first parameters of a seed as a vector of their own; the state stays as it is.
    pub fn initial(&self, seed: u64) -> Vec<R> {
        let mut x = vec![R::default(); self.layout.elements()];
        first_values(&self.kernels, &self.layout, seed, &mut x);
        x
    }

    /// The model.
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where each parameter lies in the vectors below.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Parameters x, as one vector in the layout of D3.
    pub fn params(&self) -> &[R] {
        self.x.as_slice()
    }

    /// Parameters, to be written in place; padding must stay zero.
    pub fn params_mut(&mut self) -> &mut [R] {
        self.x.as_mut_slice()
    }

    /// Replaces the parameters.
    pub fn set_params(&mut self, x: &[R]) -> Result<(), Error> {
        self.x.copy_from("the parameter vector", x)
    }

    /// First and second moment, laid out like the parameters.
    pub fn moments(&self) -> (&[R], &[R]) {
        (self.m.as_slice(), self.v.as_slice())
    }

    /// Updates that the moments have seen.
    pub const fn adam_count(&self) -> u64 {
        self.count
    }

    /// Replaces moments and Adam count. On an error nothing has changed.
    pub fn set_moments(&mut self, m: &[R], v: &[R], count: u64) -> Result<(), Error> {
        let expected = self.layout.elements();
        if v.len() != expected {
            return Err(Error::Length { what: "the second moment", got: v.len(), expected });
        }
        self.m.copy_from("the first moment", m)?;
        self.v.copy_from("the second moment", v)?;
        self.count = count;
        Ok(())
    }

    /// Moments and Adam count to zero (D23: a site that comes back without moments of its own).
    pub fn reset_moments(&mut self) {
        self.m.as_mut_slice().fill(R::default());
        self.v.as_mut_slice().fill(R::default());
        self.count = 0;
    }

    /// The gradient of the last step, after the sum over ranks and before clipping.
    pub fn gradient(&self) -> &[R] {
        self.gradient.as_slice()
    }

    /// One inner step on this rank's part of the site's batch, at learning rate `lr`. `step` numbers the step for the draws
    /// of D2. The loss is the sum over the whole batch divided by its loss tokens, whatever the number of ranks and
    /// micro-batches. A loss or gradient that is not finite is reported and changes nothing.
    pub fn step(&mut self, batch: &Batch, lr: f64, step: u64, reduce: &mut dyn Reduce<R>) -> Result<StepReport, Error> {
        batch.check(&self.config)?;
        let mut counted = [batch.loss_tokens() as f64];
        reduce.sum_f64(&mut counted)?;
        if counted[0] <= 0.0 {
            return Err(Error::NoLossTokens);
        }
        let started = Instant::now();
        let scale = 1.0 / counted[0];
        let (local, metrics, buffers) = self.accumulate(batch, scale, step)?;
        let computed = Instant::now();
        let mut loss = [local];
        reduce.sum_f64(&mut loss)?;
        reduce.sum(self.gradient.as_mut_slice())?;
        let reduced = Instant::now();
        let norm = self.kernels.sum_of_squares(self.gradient.as_slice()).sqrt();
        let loss = loss[0] * scale;
        let applied = norm.is_finite() && loss.is_finite();
        let factor = (self.adam.clip / (norm + CLIP_EPS)).min(1.0);
        if applied {
            self.update(lr, factor)?;
            self.keep_buffers(buffers)?;
        }
        let phases = [computed - started, reduced - computed, reduced.elapsed()];
        let loss_tokens = counted[0] as u64;
        let clipped = applied && factor < 1.0;
        Ok(StepReport { loss, loss_tokens, gradient_norm: norm, applied, clipped, phases, metrics })
    }

    /// Gradients of all micro-batches. Returns the summed loss, metrics and buffers.
    #[allow(clippy::type_complexity)]
    fn accumulate(
        &mut self,
        batch: &Batch,
        scale: f64,
        step: u64,
    ) -> Result<(f64, BTreeMap<&'static str, f64>, Vec<Buffer>), Error> {
        let rows = if self.options.micro_rows == 0 { batch.rows() } else { self.options.micro_rows };
        self.gradient.begin();
        let (mut loss, mut sums, mut buffers) = (0.0, BTreeMap::<_, (f64, f64)>::new(), Vec::new());
        for (n, part) in batch.parts(rows).enumerate() {
            let prepared = part.prepare(&self.config, R::TENSOR)?;
            let base = self.options.seed;
            let seed = |stage: usize| Draws::new(base, Purpose::Stage, step, stage as u32).u64(n as u64) as i64;
            let walk = Walk {
                stages: &self.stages,
                leaves: &self.leaves,
                buffers: &self.buffers,
                recompute: self.options.recompute,
                seed: &seed,
                after_stage: self.after_stage,
            };
            let (gradient, indices) = (&mut self.gradient, &self.indices);
            let found = walk.backward(&prepared, scale, &mut |s, p, g| gradient.add(indices[s][p], g))?;
            loss += found.loss;
            for (name, value) in found.metrics {
                let sum = sums.entry(name).or_default();
                *sum = (sum.0 + value, sum.1 + 1.0);
            }
            buffers.extend(found.buffers);
        }
        self.gradient.finish()?;
        Ok((loss, sums.into_iter().map(|(k, (sum, n))| (k, sum / n)).collect(), buffers))
    }

    fn update(&mut self, lr: f64, gradient_scale: f64) -> Result<(), Error> {
        let [beta1, beta2] = self.adam.betas;
        let step = AdamStep {
            lr,
            beta1,
            beta2,
            eps: self.adam.eps,
            weight_decay: self.adam.weight_decay,
            count: self.count + 1,
            gradient_scale,
        };
        self.kernels.adamw(
            self.x.as_mut_slice(),
            self.m.as_mut_slice(),
            self.v.as_mut_slice(),
            self.gradient.as_slice(),
            &self.spans,
            &step,
        )?;
        self.count += 1;
        Ok(())
    }

    fn keep_buffers(&mut self, new: Vec<Buffer>) -> Result<(), Error> {
        for b in new {
            let value = match (b.rule, self.buffers.get(&b.name)) {
                (BufferRule::Add, Some(old)) => old.f_add(&b.value)?,
                _ => b.value,
            };
            self.buffers.insert(b.name, value);
        }
        Ok(())
    }
}

/// Fills `x` with first values; what lies between parameters stays as it is.
fn first_values<R: Real>(kernels: &Host, layout: &Layout, seed: u64, x: &mut [R]) {
    for (n, e) in layout.entries().iter().enumerate() {
        let init = Initializer::new(&e.info, n as u32, seed);
        let part = &mut x[e.offset..e.offset + e.len];
        kernels.install(|| {
            part.par_chunks_mut(BLOCK).enumerate().for_each(|(c, chunk)| {
                for (i, x) in chunk.iter_mut().enumerate() {
                    *x = R::from_f64(init.at((c * BLOCK + i) as u64));
                }
            });
        });
    }
}
