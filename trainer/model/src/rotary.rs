//! Rotary position embeddings (Su et al., "RoFormer", 2021) in the half-split form of `transformers`. Must not know stages.
use coalition_spec::model::ModelConfig;
use tch::{Kind, Tensor};

use crate::Error;

/// The positions of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions<'a> {
    /// 0, 1, 2, … in every row.
    Plain {
        /// Length of a row.
        length: usize,
    },
    /// Row after row, for packed documents whose positions start again.
    Each {
        /// Rows.
        rows: usize,
        /// Length of a row.
        length: usize,
        /// `rows × length` positions.
        positions: &'a [u32],
    },
}

/// Cosines and sines for the positions of a batch: `[rows or 1, length, 1, rotary width / 2]`.
#[derive(Debug)]
pub struct Rotary {
    cos: Tensor,
    sin: Tensor,
    half: i64,
}

impl Rotary {
    /// Computes the tables in f64 and rounds once: `transformers` rounds frequencies and angles to f32 on the way, so its
    /// f32 tables are a little further from the definition.
    pub fn new(config: &ModelConfig, kind: Kind, positions: Positions<'_>) -> Result<Self, Error> {
        let width = config.rotary_dim();
        let half = width / 2;
        let frequencies: Vec<f64> =
            (0..half).map(|i| config.rope_theta.powf(-((2 * i) as f64) / width as f64)).collect();
        let plain: Vec<u32>;
        let (rows, length, list) = match positions {
            Positions::Plain { length } => {
                plain = (0..length as u32).collect();
                (1, length, plain.as_slice())
            }
            Positions::Each { rows, length, positions } => (rows, length, positions),
        };
        let table = |f: fn(f64) -> f64| -> Result<Tensor, Error> {
            let angles = list.iter().flat_map(|p| frequencies.iter().map(move |w| f(f64::from(*p) * w)));
            let shape = [rows as i64, length as i64, 1, half as i64];
            Ok(Tensor::f_from_slice(&angles.collect::<Vec<f64>>())?.f_view(shape)?.f_to_kind(kind)?)
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)?, half: half as i64 })
    }

    /// Rotates the leading part of each head of `x` `[rows, length, heads, head width]`: with (a, b) the two halves of that
    /// part, a' = a·cos − b·sin, b' = b·cos + a·sin; the rest passes.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        let width = *x.size().last().unwrap_or(&0);
        // One split, so that the backward pass is one concatenation and not a sum of zero-padded slices.
        let rest = width - 2 * self.half;
        let sizes: &[i64] = if rest > 0 { &[self.half, self.half, rest] } else { &[self.half, self.half] };
        let parts = x.f_split_with_sizes(sizes, -1)?;
        let [a, b, tail @ ..] = parts.as_slice() else {
            let got = format!("a head of {width}");
            return Err(Error::Carry { stage: "rotary".into(), expected: "a head that holds the rotated part", got });
        };
        let first = a.f_mul(&self.cos)?.f_sub(&b.f_mul(&self.sin)?)?;
        let second = b.f_mul(&self.cos)?.f_add(&a.f_mul(&self.sin)?)?;
        let mut all: Vec<&Tensor> = vec![&first, &second];
        all.extend(tail);
        Ok(Tensor::f_cat(&all, -1)?)
    }
}
