//! Token sequences as a step takes them. Must not know where they come from.
use coalition_model::{IGNORE, Positions, Rotary};
use coalition_spec::model::ModelConfig;
use tch::{Kind, Tensor};

use crate::Error;

/// Rows of equal length: inputs, and for each position the token that should follow. May hold no row at all: a rank
/// without a part of a short last step still takes part in the sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    rows: usize,
    length: usize,
    inputs: Vec<i64>,
    targets: Vec<i64>,
    /// Position inside its document for every input, when documents are kept apart.
    positions: Option<Vec<u32>>,
    /// Positions of the same text that were computed before.
    before: u32,
}

impl Batch {
    /// `rows × length` inputs and targets; a target of [`IGNORE`] does not count in the loss.
    pub fn new(rows: usize, length: usize, inputs: Vec<i64>, targets: Vec<i64>) -> Result<Self, Error> {
        let expected = rows.checked_mul(length);
        if expected != Some(inputs.len()) || expected != Some(targets.len()) || (rows > 0 && length == 0) {
            let (i, t) = (inputs.len(), targets.len());
            return Err(Error::Batch(format!("{rows} rows of {length} need as many inputs ({i}) and targets ({t})")));
        }
        Ok(Self { rows, length, inputs, targets, positions: None, before: 0 })
    }

    /// From windows of `length + 1` tokens: inputs are all but the last, targets all but the first.
    pub fn from_windows<W: AsRef<[u32]>>(length: usize, windows: &[W]) -> Result<Self, Error> {
        let mut batch = Self { rows: windows.len(), length, ..Self::default() };
        for w in windows {
            let w = w.as_ref();
            if w.len() != length + 1 {
                let got = w.len();
                return Err(Error::Batch(format!(
                    "a window has {got} tokens, sequences of {length} need {}",
                    length + 1
                )));
            }
            batch.inputs.extend(w.iter().take(length).map(|t| i64::from(*t)));
            batch.targets.extend(w.iter().skip(1).map(|t| i64::from(*t)));
        }
        Self::new(batch.rows, length, batch.inputs, batch.targets)
    }

    /// One row without targets that follows `before` earlier positions. A single token, or the first ones: a row that looks
    /// back needs no mask then.
    pub(crate) fn following(tokens: &[u32], before: usize) -> Result<Self, Error> {
        if tokens.is_empty() || (before > 0 && tokens.len() > 1) {
            let n = tokens.len();
            return Err(Error::Batch(format!(
                "{n} tokens cannot follow {before} at once: one at a time after the first"
            )));
        }
        let inputs = tokens.iter().map(|t| i64::from(*t)).collect();
        let mut batch = Self::new(1, tokens.len(), inputs, vec![IGNORE; tokens.len()])?;
        batch.before = before as u32;
        Ok(batch)
    }

    /// Keeps documents apart: one begins at every `first` token (and at the start of a row). No position looks into another
    /// document, positions count from zero in each, and a target that is `first` does not count: where a document ends is
    /// not learnt from the next one's beginning. Costs an explicit mask of `length²` booleans a row.
    #[must_use]
    pub fn keep_documents_apart(mut self, first: u32) -> Self {
        let first = i64::from(first);
        let mut positions = Vec::with_capacity(self.inputs.len());
        for row in self.inputs.chunks(self.length.max(1)) {
            let mut at = 0;
            for (n, token) in row.iter().enumerate() {
                at = if n == 0 || *token == first { 0 } else { at + 1 };
                positions.push(at);
            }
        }
        for t in &mut self.targets {
            if *t == first {
                *t = IGNORE;
            }
        }
        self.positions = Some(positions);
        self
    }

    /// Rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Positions of a row.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Positions whose loss counts.
    pub fn loss_tokens(&self) -> u64 {
        self.targets.iter().filter(|t| **t != IGNORE).count() as u64
    }

    /// The rows in parts of at most `rows`, in order.
    pub(crate) fn parts(&self, rows: usize) -> impl Iterator<Item = Self> + '_ {
        let size = rows.max(1) * self.length.max(1);
        (0..self.inputs.len().div_ceil(size)).map(move |n| {
            let range = n * size..((n + 1) * size).min(self.inputs.len());
            Self {
                rows: range.len() / self.length.max(1),
                length: self.length,
                inputs: self.inputs[range.clone()].to_vec(),
                targets: self.targets[range.clone()].to_vec(),
                positions: self.positions.as_ref().map(|p| p[range].to_vec()),
                before: self.before,
            }
        })
    }

    /// Refuses tokens that the model does not have: on a GPU they would be a crash without a name.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<(), Error> {
        if self.length > config.max_position_embeddings {
            let (length, most) = (self.length, config.max_position_embeddings);
            return Err(Error::Batch(format!(
                "sequences of {length} exceed the model's max_position_embeddings {most}"
            )));
        }
        let known = 0..config.vocab_size as i64;
        let all = self.inputs.iter().chain(self.targets.iter().filter(|t| **t != IGNORE));
        match all.into_iter().find(|t| !known.contains(t)) {
            Some(t) => Err(Error::Vocabulary { token: *t, vocab_size: config.vocab_size }),
            None => Ok(()),
        }
    }

    /// As tensors.
    pub(crate) fn prepare(&self, config: &ModelConfig, kind: Kind) -> Result<Prepared, Error> {
        let shape = [self.rows as i64, self.length as i64];
        let place = [self.before];
        let positions = match &self.positions {
            None if self.before > 0 => Positions::Each { rows: 1, length: 1, positions: &place },
            None => Positions::Plain { length: self.length },
            Some(p) => Positions::Each { rows: self.rows, length: self.length, positions: p },
        };
        let mask = self.positions.as_ref().map(|p| self.mask(p)).transpose()?;
        Ok(Prepared {
            tokens: Tensor::f_from_slice(&self.inputs)?.f_view(shape)?,
            targets: Tensor::f_from_slice(&self.targets)?.f_view(shape)?,
            rotary: Rotary::new(config, kind, positions)?,
            mask,
        })
    }

    /// True where query i may look at key j: not later, and not before the start of its own document.
    fn mask(&self, positions: &[u32]) -> Result<Tensor, Error> {
        let n = self.length;
        let mut allowed = vec![0u8; self.rows * n * n];
        for (row, positions) in positions.chunks(n.max(1)).enumerate() {
            for (i, p) in positions.iter().enumerate() {
                let at = (row * n + i) * n;
                allowed[at + i - *p as usize..=at + i].fill(1);
            }
        }
        let n = n as i64;
        Ok(Tensor::f_from_slice(&allowed)?.f_to_kind(Kind::Bool)?.f_view([self.rows as i64, 1, n, n])?)
    }
}

/// A batch as tensors.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) tokens: Tensor,
    pub(crate) targets: Tensor,
    pub(crate) rotary: Rotary,
    pub(crate) mask: Option<Tensor>,
}
