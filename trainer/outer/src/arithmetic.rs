//! The arithmetic of D15 and D18, bit by bit the same everywhere: f32, round to nearest even, one rounding for each
//! operation (no fused multiply-add), subnormals kept, sums in the order in which the record lists contributions.
//!
//! All functions work on any aligned pieces of the vectors, so a single chunk can be recomputed (D17).
use std::hint::black_box;

use coalition_protocol::record::Genesis;

use crate::OuterError;

/// A decoded contribution and the tokens it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    /// Dec(C): the same elements as θ and u are given.
    pub delta: &'a [f32],
    /// n_i.
    pub tokens: u64,
}

/// What an outer step goes by, the same for the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// η.
    pub lr: f64,
    /// μ.
    pub momentum: f64,
    /// Tokens that one site trains in a whole round: H inner steps of a batch each.
    pub round: u64,
}

impl Rule {
    /// The rule of a run.
    pub const fn of(genesis: &Genesis) -> Self {
        Self {
            lr: genesis.outer_lr.get(),
            momentum: genesis.outer_momentum.get(),
            round: genesis.inner_steps.saturating_mul(genesis.batch_tokens),
        }
    }

    /// f: how much of a round a commit stands for, the mean of its contributions' tokens beside a whole round's, at most 1.
    fn share(&self, contributions: &[Weighted<'_>]) -> f64 {
        let tokens: u64 = contributions.iter().map(|c| c.tokens).sum();
        let whole = self.round as f64 * contributions.len() as f64;
        if whole > 0.0 { (tokens as f64 / whole).min(1.0) } else { 1.0 }
    }

    /// (μ_u, μ_θ): by how much the momentum stays, and by how much it pushes θ, in a commit that stands for the share `f` of a
    /// round. Both are μ for a whole round. For less the old momentum decays less and pushes less, so that several parts of a
    /// round do what the round does: a rest of the budget with a single sample must not carry θ on by a whole round's momentum
    /// (decision record 0012).
    fn momenta(&self, f: f64) -> (f32, f32) {
        if f >= 1.0 {
            return (self.momentum as f32, self.momentum as f32);
        }
        ((1.0 - f * (1.0 - self.momentum)) as f32, (f * self.momentum) as f32)
    }
}

/// Elements worked on at a time: the sum stays in the first-level cache (4 × 16 KiB with three inputs).
const BLOCK: usize = 4096;

fn same(what: &str, expected: usize, got: usize) -> Result<(), OuterError> {
    if expected == got { Ok(()) } else { Err(OuterError::Length { what: what.to_owned(), expected, got }) }
}

/// Δ = θ − x (D12).
pub fn difference(theta: &[f32], x: &[f32]) -> Result<Vec<f32>, OuterError> {
    same("x", theta.len(), x.len())?;
    Ok(theta.iter().zip(x).map(|(t, x)| t - x).collect())
}

/// w_i = f32(n_i / W), the quotient taken in f64; W = Σ n_i.
pub fn weights(tokens: &[u64]) -> Result<Vec<f32>, OuterError> {
    let total: u64 = tokens.iter().sum();
    if total == 0 {
        return Err(OuterError::NoTokens { contributions: tokens.len() });
    }
    Ok(tokens.iter().map(|n| (*n as f64 / total as f64) as f32).collect())
}

/// One outer step (D15): g = +0; g = g + w_i·Δ_i in the order given; u' = μ_u·u + g; θ' = θ − η·(g + μ_θ·u'), with μ_u = μ_θ =
/// μ for a whole round and less for a part of one.
///
/// Returns (θ', u'). η and the two μ are rounded to f32 once, from f64.
pub fn apply(
    theta: &[f32],
    u: &[f32],
    contributions: &[Weighted<'_>],
    rule: &Rule,
) -> Result<(Vec<f32>, Vec<f32>), OuterError> {
    same("the momentum", theta.len(), u.len())?;
    for c in contributions {
        same("a contribution", theta.len(), c.delta.len())?;
    }
    let w = weights(&contributions.iter().map(|c| c.tokens).collect::<Vec<_>>())?;
    let eta = rule.lr as f32;
    let (stays, pushes) = rule.momenta(rule.share(contributions));
    let mut next_theta = Vec::with_capacity(theta.len());
    let mut next_u = Vec::with_capacity(theta.len());
    let mut sum = [0.0f32; BLOCK];
    for start in (0..theta.len()).step_by(BLOCK) {
        let end = (start + BLOCK).min(theta.len());
        let g = &mut sum[..end - start];
        g.fill(0.0);
        for (c, w) in contributions.iter().zip(&w) {
            for (g, d) in g.iter_mut().zip(&c.delta[start..end]) {
                *g += w * d;
            }
        }
        for ((g, u), theta) in g.iter().zip(&u[start..end]).zip(&theta[start..end]) {
            let u = stays * u + g;
            next_u.push(u);
            next_theta.push(theta - eta * (g + pushes * u));
        }
    }
    Ok((next_theta, next_u))
}

/// x ← x + (θ' − θ): how late work is carried over once (D18).
pub fn shift(x: &mut [f32], theta: &[f32], next_theta: &[f32]) -> Result<(), OuterError> {
    same("θ", x.len(), theta.len())?;
    same("θ'", x.len(), next_theta.len())?;
    for ((x, old), new) in x.iter_mut().zip(theta).zip(next_theta) {
        *x += new - old;
    }
    Ok(())
}

/// x ← right + (x − wrong) where θ was wrong: what a site trained stays, on the θ it should have stood on (D17). Not
/// [`shift`]: from x = wrong this gives `right` to the bit, however far off `wrong` was. Where no finite number comes out,
/// x ← right.
pub fn rebase(x: &mut [f32], wrong: &[f32], right: &[f32]) -> Result<(), OuterError> {
    same("the wrong θ", x.len(), wrong.len())?;
    same("the right θ", x.len(), right.len())?;
    for ((x, wrong), right) in x.iter_mut().zip(wrong).zip(right) {
        if wrong.to_bits() != right.to_bits() {
            let moved = right + (*x - wrong);
            *x = if moved.is_finite() { moved } else { *right };
        }
    }
    Ok(())
}

/// Checks that this thread keeps subnormals and rounds each operation: a library that sets flush-to-zero would make this
/// site disagree with all others.
pub fn check() -> Result<(), OuterError> {
    let smallest = f32::from_bits(1);
    if (black_box(f32::MIN_POSITIVE) - black_box(f32::from_bits(0x007f_ffff))).to_bits() != 1 {
        return Err(OuterError::Arithmetic("subnormal results become zero"));
    }
    if (black_box(smallest) * black_box(2.0f32)).to_bits() != 2 {
        return Err(OuterError::Arithmetic("subnormal inputs become zero"));
    }
    // (1 + 2^-12)² − (1 + 2^-11) is 0 with a rounded product and 2^-24 with a fused one.
    let a = black_box(1.0f32 + 1.0 / 4096.0);
    if black_box(a * a) - black_box(1.0f32 + 1.0 / 2048.0) != 0.0 {
        return Err(OuterError::Arithmetic("products are not rounded before they are added"));
    }
    Ok(())
}
