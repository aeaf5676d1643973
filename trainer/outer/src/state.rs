//! O = (θ, u): the outer state (D4), its digest, and its successors.
use coalition_protocol::messages::StateReport;
use coalition_protocol::{Digest, Seq};

use crate::arithmetic::{Weighted, apply};
use crate::{OuterError, chunks};

/// Parameters and momentum after a commit; equal bits at every site. Immutable: a step makes a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct OuterState {
    theta: Vec<f32>,
    u: Vec<f32>,
}

impl OuterState {
    /// The initial state: momentum is +0.
    pub fn initial(theta: Vec<f32>) -> Self {
        let u = vec![0.0; theta.len()];
        Self { theta, u }
    }

    /// From stored parts.
    pub fn new(theta: Vec<f32>, u: Vec<f32>) -> Result<Self, OuterError> {
        if theta.len() == u.len() {
            Ok(Self { theta, u })
        } else {
            Err(OuterError::Length { what: "the momentum".to_owned(), expected: theta.len(), got: u.len() })
        }
    }

    /// θ.
    pub fn theta(&self) -> &[f32] {
        &self.theta
    }
    /// u.
    pub fn u(&self) -> &[f32] {
        &self.u
    }
    /// Takes it apart: (θ, u).
    pub fn into_parts(self) -> (Vec<f32>, Vec<f32>) {
        (self.theta, self.u)
    }

    /// The state after an outer step over these contributions, in the order of the record (D15).
    pub fn after(&self, contributions: &[Weighted<'_>], lr: f64, momentum: f64) -> Result<Self, OuterError> {
        let (theta, u) = apply(&self.theta, &self.u, contributions, lr, momentum)?;
        Ok(Self { theta, u })
    }

    /// The state after a round of a one-member plan (D30): θ := x, u is kept.
    pub fn after_step(&self, x: Vec<f32>) -> Result<Self, OuterError> {
        Self::new(x, self.u.clone())
    }

    /// Digests of the chunks of θ, then of u.
    pub fn chunks(&self) -> Vec<Digest> {
        let mut all = chunks::digests(&self.theta);
        all.extend(chunks::digests(&self.u));
        all
    }

    /// D(O): BLAKE3 over [`OuterState::chunks`].
    pub fn digest(&self) -> Digest {
        Digest::over(&self.chunks())
    }

    /// What a site reports of this state (D17).
    pub fn report(&self, of: Seq) -> StateReport {
        let chunks = self.chunks();
        StateReport { of, digest: Digest::over(&chunks), chunks, reproduced: false }
    }

    /// Chunk `n` of the list of [`OuterState::chunks`], computed anew from the state before and the contributions: θ's
    /// chunks come first, then u's. None beyond the end. A site that finds another digest than its own reloads (D17).
    pub fn recompute_chunk(
        &self,
        n: usize,
        contributions: &[Weighted<'_>],
        lr: f64,
        momentum: f64,
    ) -> Result<Option<Digest>, OuterError> {
        let count = chunks::count(self.theta.len());
        if n >= 2 * count {
            return Ok(None);
        }
        let range = chunks::range(self.theta.len(), n % count);
        let mut parts = Vec::with_capacity(contributions.len());
        for c in contributions {
            let Some(delta) = c.delta.get(range.clone()) else {
                let got = c.delta.len();
                return Err(OuterError::Length { what: "a contribution".to_owned(), expected: self.theta.len(), got });
            };
            parts.push(Weighted { delta, tokens: c.tokens });
        }
        let (theta, u) = apply(&self.theta[range.clone()], &self.u[range], &parts, lr, momentum)?;
        Ok(Some(chunks::digest_of_chunk(if n < count { &theta } else { &u })))
    }
}
