//! Loss and logits of fixed sequences, without gradients. Must not know bytes: how many a token stands for is the data's business.
use crate::walk::Walk;
use crate::{Batch, Error, Real, Trainer};

/// Loss over some sequences; add several up, then divide.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Negative log likelihood summed over the positions that count, in nats.
    pub nll: f64,
    /// How many positions count.
    pub tokens: u64,
}

impl Evaluation {
    /// Nats a token; none without tokens.
    pub fn loss(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.nll / self.tokens as f64)
    }

    /// Bits a byte, for targets that stand for `bytes` bytes of text.
    pub fn bits_per_byte(&self, bytes: u64) -> Option<f64> {
        (bytes > 0).then(|| self.nll / std::f64::consts::LN_2 / bytes as f64)
    }
}

impl std::ops::Add for Evaluation {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { nll: self.nll + other.nll, tokens: self.tokens + other.tokens }
    }
}

impl<R: Real> Trainer<R> {
    fn looking<T>(&self, f: impl FnOnce(&Walk<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // No draws without training: any fixed seed will do.
        let seed = |_: usize| 0;
        f(&Walk {
            stages: &self.stages,
            leaves: &self.leaves,
            buffers: &self.buffers,
            recompute: false,
            seed: &seed,
            after_stage: self.after_stage,
        })
    }

    /// Loss of this rank's part of fixed sequences, without gradients; nothing changes.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Evaluation, Error> {
        batch.check(&self.config)?;
        let rows = if self.options.micro_rows == 0 { batch.rows() } else { self.options.micro_rows };
        let mut out = Evaluation { nll: 0.0, tokens: batch.loss_tokens() };
        for part in batch.parts(rows) {
            let prepared = part.prepare(&self.config, R::TENSOR)?;
            out.nll += self.looking(|w| w.loss(&prepared))?;
        }
        Ok(out)
    }

    /// Logits of every position, `rows × length × vocabulary`, row-major.
    pub fn logits(&mut self, batch: &Batch) -> Result<Vec<f64>, Error> {
        batch.check(&self.config)?;
        let prepared = batch.prepare(&self.config, R::TENSOR)?;
        values(&self.looking(|w| w.logits(&prepared))?)
    }

    /// Logits that follow `tokens`, which themselves follow what `past` holds; `past` then holds them too. Several tokens at
    /// first, one by one later: each costs what one position costs, whatever stands before it.
    pub fn next_logits(&mut self, tokens: &[u32], past: &mut Past) -> Result<Vec<f64>, Error> {
        let batch = Batch::following(tokens, past.positions)?;
        batch.check(&self.config)?;
        if past.positions + tokens.len() > self.config.max_position_embeddings {
            let (at, most) = (past.positions, self.config.max_position_embeddings);
            return Err(Error::Batch(format!(
                "{} tokens after {at} exceed the model's max_position_embeddings {most}: begin with a new past",
                tokens.len()
            )));
        }
        let prepared = batch.prepare(&self.config, R::TENSOR)?;
        let out = self.looking(|w| w.extend(&prepared, &mut past.stages))?;
        past.positions += tokens.len();
        values(&out)
    }
}

/// What the stages keep of the positions of one text (keys and values), so that the next one need not compute them again.
/// Belongs to the parameters it was made with.
#[derive(Debug, Default)]
pub struct Past {
    positions: usize,
    stages: Vec<Vec<tch::Tensor>>,
}

impl Past {
    /// How many positions it holds.
    pub const fn positions(&self) -> usize {
        self.positions
    }
}

fn values(out: &tch::Tensor) -> Result<Vec<f64>, Error> {
    let out = out.f_to_kind(tch::Kind::Double)?.f_contiguous()?;
    let mut values = vec![0.0; out.numel()];
    out.f_copy_data(&mut values, out.numel())?;
    Ok(values)
}
