//! Positions to sequences: what the trainer feeds, what an audit recomputes, what evaluation reads. Knows nothing of who
//! holds a position.
//!
//! A pass goes once through the train split. Its samples are the windows `[w·L, w·L + L + 1)` of the concatenated split,
//! for sequence length L: neighbours share one token, so each token but the first is the target of exactly one of them (up
//! to a rest shorter than L at the end). Position p is sample `p mod n` of pass `p / n`; its window is the permutation of
//! that pass applied to it.
use std::sync::Arc;

use coalition_protocol::IntervalSet;
use coalition_protocol::bits::BatchHash;

use crate::dataset::{Dataset, Side};
use crate::error::DataError;
use crate::permutation::{MOST_PASSES, Permutation};
use crate::tokenizer::Tokenizer;

/// Longest sequence, in tokens: four times the longest context in use.
pub const LONGEST_SEQUENCE: usize = 1 << 22;

/// Where a position leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which pass over the data, from 0.
    pub pass: u64,
    /// Which sample of the pass.
    pub index: u64,
    /// Which window of the train split.
    pub window: u64,
}

/// The samples of a run.
#[derive(Clone, Debug)]
pub struct Samples {
    dataset: Arc<Dataset>,
    length: usize,
    seed: u64,
    per_pass: u64,
}

impl Samples {
    /// Samples of `sequence_length` + 1 tokens in the order that `seed` gives.
    pub fn new(dataset: Arc<Dataset>, sequence_length: usize, seed: u64) -> Result<Self, DataError> {
        let per_pass = windows(&dataset, Side::Train, sequence_length)?;
        Ok(Self { dataset, length: sequence_length, seed, per_pass })
    }

    /// Samples in a pass, at least 1.
    pub const fn per_pass(&self) -> u64 {
        self.per_pass
    }

    /// Targets in a sample. A sample has one token more.
    pub const fn sequence_length(&self) -> usize {
        self.length
    }

    /// The dataset.
    pub const fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Where `position` leads: a function of (seed, position) and the sizes of the data alone.
    pub fn place(&self, position: u64) -> Result<Place, DataError> {
        let (pass, index) = (position / self.per_pass, position % self.per_pass);
        let Some(order) = Permutation::new(self.seed, pass, self.per_pass) else {
            return Err(DataError::OutOfRange { what: "pass over the data", value: pass, bound: MOST_PASSES });
        };
        Ok(Place { pass, index, window: order.apply(index) })
    }

    /// Replaces `out` with the tokens of `position`.
    pub fn read(&self, position: u64, out: &mut Vec<u32>) -> Result<(), DataError> {
        let place = self.place(position)?;
        out.clear();
        self.dataset.read(Side::Train, place.window * self.length as u64, self.length + 1, out)
    }

    /// The tokens of `position`.
    pub fn get(&self, position: u64) -> Result<Vec<u32>, DataError> {
        let mut out = Vec::with_capacity(self.length + 1);
        self.read(position, &mut out)?;
        Ok(out)
    }

    /// The batch hash over `positions`, from the data alone: what an audit compares with what a site says it fed (D26).
    pub fn batch_hash(&self, positions: &IntervalSet) -> Result<BatchHash, DataError> {
        let mut sum = BatchHash::default();
        let mut tokens = Vec::with_capacity(self.length + 1);
        for position in positions.iter() {
            self.read(position, &mut tokens)?;
            sum = sum.plus(BatchHash::of(position, &tokens));
        }
        Ok(sum)
    }
}

fn windows(dataset: &Dataset, side: Side, sequence_length: usize) -> Result<u64, DataError> {
    if sequence_length == 0 || sequence_length > LONGEST_SEQUENCE {
        return Err(DataError::Option {
            field: "sequence length",
            value: sequence_length.to_string(),
            bound: format!("it must be from 1 to {LONGEST_SEQUENCE}"),
        });
    }
    let tokens = dataset.tokens(side);
    match tokens.saturating_sub(1) / sequence_length as u64 {
        0 => Err(DataError::TooSmall {
            path: dataset.folder().to_owned(),
            split: side.name(),
            tokens,
            needed: sequence_length as u64 + 1,
        }),
        n => Ok(n),
    }
}

/// Held-out windows that a run measures: 64 windows of 256 bytes are 16 KiB of text, a second or two for a small model. One
/// number for whoever measures, and for whoever judges a measurement by the same text.
pub const MEASURED: usize = 64;

/// Fixed windows of the held-out split, spread evenly over it: the same for every site, step and restart.
#[derive(Clone, Debug)]
pub struct HeldOut {
    dataset: Arc<Dataset>,
    tokenizer: Arc<Tokenizer>,
    length: usize,
    starts: Vec<u64>,
}

impl HeldOut {
    /// At most `most` windows of `sequence_length` + 1 tokens that share no target.
    pub fn new(dataset: Arc<Dataset>, sequence_length: usize, most: usize) -> Result<Self, DataError> {
        let all = windows(&dataset, Side::HeldOut, sequence_length)?;
        let n = all.min(most as u64);
        let starts =
            (0..n).map(|k| (u128::from(k) * u128::from(all) / u128::from(n)) as u64 * sequence_length as u64).collect();
        let tokenizer = Arc::new(dataset.tokenizer()?);
        Ok(Self { dataset, tokenizer, length: sequence_length, starts })
    }

    /// How many windows.
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// True if there are none.
    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Tokens of window `n`, and how many bytes of text its targets (all tokens but the first) stand for.
    pub fn get(&self, n: usize) -> Result<(Vec<u32>, u64), DataError> {
        let Some(start) = self.starts.get(n) else {
            return Err(DataError::OutOfRange {
                what: "held-out window",
                value: n as u64,
                bound: self.starts.len() as u64,
            });
        };
        let mut tokens = Vec::with_capacity(self.length + 1);
        self.dataset.read(Side::HeldOut, *start, self.length + 1, &mut tokens)?;
        let bytes = self.tokenizer.bytes_of(&tokens[1..]);
        Ok((tokens, bytes))
    }

    /// Loss in bits for each byte of text, from the summed loss of some windows in nats and the bytes of their targets.
    /// Targets that stand for no byte (BOS, EOS) cost bits like all others.
    pub fn bits_per_byte(nats: f64, bytes: u64) -> f64 {
        nats / std::f64::consts::LN_2 / bytes as f64
    }
}
