//! One rank's hands: the engine, the data and the collective. It carries out decisions; it makes none.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coalition_comm::Collective;
use coalition_data::samples::MEASURED;
use coalition_data::{Dataset, HeldOut, Samples, Verify};
use coalition_engine::{Batch, ModelOptions, Options, Over, StepReport, Trainer};
use coalition_protocol::bits::BatchHash;
use coalition_protocol::{IntervalSet, exit};
use coalition_spec::RunSpec;
use coalition_spec::training::Precision;

use super::decisions::{Decision, share};
use crate::alive::turned;
use crate::config::WorkerConfig;
use crate::failure::{Failure, Stop};

/// Tokens that go through the model at once; a larger part of a batch is accumulated. Bounds activations: about 1 GiB for
/// the small models a CPU trains.
const MICRO_TOKENS: usize = 16_384;

/// What stays from one attempt to the next: data and engine.
pub struct Body {
    /// The engine.
    pub trainer: Trainer<f32>,
    samples: Samples,
    held_out: Option<HeldOut>,
    pause: Duration,
    terminate: Arc<AtomicBool>,
}

/// A rank of a formed gang.
pub struct Rank<'a> {
    /// Engine and data.
    pub body: &'a mut Body,
    /// The gang.
    pub comm: Box<dyn Collective>,
}

/// What came of a decision.
#[derive(Debug)]
pub enum Done {
    /// An inner step: what the engine says, the hash of what all ranks fed, and whether a rank was told to leave.
    Stepped(Box<StepReport>, BatchHash, bool),
    /// A measurement: nats, tokens, bytes of text.
    Measured(f64, f64, f64),
    /// Nothing to tell, except whether a rank was told to leave.
    Nothing(bool),
    /// The gang parts.
    Left(Option<u8>),
}

impl Body {
    /// Opens the data and makes the engine, with all-zero state.
    pub fn new(
        config: &WorkerConfig,
        data: &Path,
        spec: &RunSpec,
        terminate: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        if spec.training.precision != Precision::Fp32 {
            return Err(Failure::new(
                exit::CONFIG,
                "spec.training.precision: fp64: is for tests of the engine; a run exchanges f32. Use fp32.",
            ));
        }
        let dataset = Arc::new(Dataset::open(data, Verify::Sizes)?);
        let known = dataset.index().vocab_size as usize;
        let length = spec.data.sequence_length;
        if known > spec.model.config.vocab_size {
            return Err(Failure::new(
                exit::DATA,
                format!(
                    "{}: its tokenizer has {known} tokens, the model's vocab_size is {}: prepare the data with a smaller \
                     vocabulary or give the model a larger one",
                    config.data, spec.model.config.vocab_size
                ),
            ));
        }
        let samples = Samples::new(dataset.clone(), length, spec.training.seed)?;
        let held_out = match HeldOut::new(dataset, length, MEASURED) {
            Ok(h) => Some(h),
            Err(e) => {
                tracing::warn!("no measurements on held-out text: {e}");
                None
            }
        };
        let options = Options {
            threads: config.threads as usize,
            recompute: false,
            micro_rows: (MICRO_TOKENS / length.max(1)).max(1),
            seed: spec.training.seed,
            model: ModelOptions { zero_attention: config.test.zero_attention },
        };
        let mut trainer =
            Trainer::new(&spec.model.config, *spec.training.optimizer.adamw(), options).map_err(engine)?;
        trainer.call_after_stages(turned);
        let pause = Duration::from_millis(config.test.step_pause_millis);
        Ok(Self { trainer, samples, held_out, pause, terminate })
    }

    /// True if θ can be measured.
    pub const fn measures(&self) -> bool {
        self.held_out.is_some()
    }

    /// The samples.
    pub const fn samples(&self) -> &Samples {
        &self.samples
    }

    /// θ of genesis, whatever the engine holds now.
    pub fn initial(&mut self, seed: u64) -> Result<Vec<f32>, Stop> {
        let x = self.trainer.params().to_vec();
        let (m, v) = self.trainer.moments();
        let (m, v, count) = (m.to_vec(), v.to_vec(), self.trainer.adam_count());
        self.trainer.init(seed);
        let initial = self.trainer.params().to_vec();
        self.trainer.set_params(&x)?;
        self.trainer.set_moments(&m, &v, count)?;
        Ok(initial)
    }

    fn told_to_leave(&self) -> bool {
        self.terminate.load(Ordering::Relaxed)
    }
}

fn engine(e: coalition_engine::Error) -> Failure {
    match Stop::from(e) {
        Stop::Exit(f) => f,
        Stop::Rejoin(what) => Failure::new(exit::TRY_AGAIN, what),
    }
}

impl Rank<'_> {
    /// Carries out a decision that every rank carries out. What rank 0 gives (parameters, state, θ) must be set there
    /// before; `theta` is what is measured, filled on the other ranks.
    pub fn perform(&mut self, decision: &Decision, theta: &mut Vec<f32>) -> Result<Done, Stop> {
        match decision {
            Decision::Idle => Ok(Done::Nothing(self.anyone_told_to_leave(&[])?.1)),
            Decision::Step { positions, lr, number } => self.step(positions, *lr, *number),
            Decision::Parameters => {
                self.comm.broadcast_f32(0, self.body.trainer.params_mut())?;
                Ok(Done::Nothing(false))
            }
            Decision::State { adam_count } => self.take_state(*adam_count),
            Decision::Evaluate => self.measure(theta),
            Decision::Leave { code } => Ok(Done::Left(*code)),
        }
    }

    /// Gathers a few bytes of every rank, and whether any of them was told to leave.
    fn anyone_told_to_leave(&mut self, mine: &[u8]) -> Result<(Vec<Vec<u8>>, bool), Stop> {
        let mut bytes = vec![u8::from(self.body.told_to_leave())];
        bytes.extend_from_slice(mine);
        let all = self.comm.all_gather(&bytes)?;
        let told = all.iter().any(|b| b.first() == Some(&1));
        Ok((all, told))
    }

    fn step(&mut self, positions: &IntervalSet, lr: f64, number: u64) -> Result<Done, Stop> {
        let own = share(positions.len() as usize, self.comm.rank(), self.comm.world());
        let mut windows = Vec::with_capacity(own.len());
        let mut hash = BatchHash::default();
        for position in positions.iter().skip(own.start).take(own.len()) {
            let tokens = self.body.samples.get(position)?;
            hash = hash.plus(BatchHash::of(position, &tokens));
            windows.push(tokens);
        }
        let batch = Batch::from_windows(self.body.samples.sequence_length(), &windows)?;
        let report = self.body.trainer.step(&batch, lr, number, &mut Over(self.comm.as_mut()))?;
        let (all, told) = self.anyone_told_to_leave(&hash.0.to_le_bytes())?;
        let mut sum = BatchHash::default();
        for bytes in &all {
            let part = bytes.get(1..).and_then(|b| b.try_into().ok()).map(u128::from_le_bytes);
            sum = sum.plus(BatchHash(part.ok_or_else(|| Failure::bug("a rank sent a hash of another length"))?));
        }
        if !self.body.pause.is_zero() {
            std::thread::sleep(self.body.pause);
        }
        Ok(Done::Stepped(Box::new(report), sum, told))
    }

    fn take_state(&mut self, adam_count: u64) -> Result<Done, Stop> {
        if self.comm.world() > 1 {
            self.comm.broadcast_f32(0, self.body.trainer.params_mut())?;
            let (m, v) = self.body.trainer.moments();
            let (mut m, mut v) = (m.to_vec(), v.to_vec());
            self.comm.broadcast_f32(0, &mut m)?;
            self.comm.broadcast_f32(0, &mut v)?;
            self.body.trainer.set_moments(&m, &v, adam_count)?;
        }
        Ok(Done::Nothing(false))
    }

    fn measure(&mut self, theta: &mut Vec<f32>) -> Result<Done, Stop> {
        theta.resize(self.body.trainer.params().len(), 0.0);
        self.comm.broadcast_f32(0, theta)?;
        let kept = self.body.trainer.params().to_vec();
        self.body.trainer.set_params(theta)?;
        let measured = self.measure_here();
        self.body.trainer.set_params(&kept)?;
        let mut sums = measured?;
        self.comm.all_reduce_sum_f64(&mut sums)?;
        Ok(Done::Measured(sums[0], sums[1], sums[2]))
    }

    fn measure_here(&mut self) -> Result<[f64; 3], Stop> {
        let Some(held_out) = &self.body.held_out else { return Ok([0.0; 3]) };
        let mut windows = Vec::new();
        let mut bytes = 0;
        for n in share(held_out.len(), self.comm.rank(), self.comm.world()) {
            let (tokens, of_text) = held_out.get(n)?;
            windows.push(tokens);
            bytes += of_text;
        }
        let batch = Batch::from_windows(self.body.samples.sequence_length(), &windows)?;
        let found = self.body.trainer.evaluate(&batch)?;
        Ok([found.nll, found.tokens as f64, bytes as f64])
    }
}
