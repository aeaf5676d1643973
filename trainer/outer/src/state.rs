//! O = (θ, u): the outer state (D4), its digest, and its successors.
use coalition_protocol::messages::StateReport;
use coalition_protocol::{Digest, Seq};

use crate::arithmetic::{Rule, Weighted, apply};
use crate::{OuterError, chunks};

/// Parameters and momentum after a commit; equal bits at every site. A step makes a new one.
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
    pub fn after(&self, contributions: &[Weighted<'_>], rule: &Rule) -> Result<Self, OuterError> {
        let (theta, u) = apply(&self.theta, &self.u, contributions, rule)?;
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

    /// Chunk `k` of θ and of u alone, as a state of its own: what one chunk of a successor is computed from (D17). Empty
    /// beyond the end.
    #[must_use]
    pub fn piece(&self, k: usize) -> Self {
        let range = chunks::range(self.theta.len(), k);
        Self { theta: self.theta[range.clone()].to_vec(), u: self.u[range].to_vec() }
    }

    /// Where chunk `n` of the list of [`OuterState::chunks`] lies: its vector and its number there. None beyond the end.
    pub const fn place(&self, n: usize) -> Option<(Vector, usize)> {
        let count = chunks::count(self.theta.len());
        match n {
            _ if n < count => Some((Vector::Theta, n)),
            _ if n < 2 * count => Some((Vector::Momentum, n - count)),
            _ => None,
        }
    }

    /// Exchanges chunk `n` of the list of [`OuterState::chunks`] for the one in `piece`, a [`OuterState::piece`] of the same
    /// number. The one change a state allows, for a state found wrong (D17).
    pub fn replace_chunk(&mut self, n: usize, piece: &Self) -> Result<(), OuterError> {
        let bad = |expected, got| OuterError::Length { what: format!("a piece for chunk {n}"), expected, got };
        let Some((vector, k)) = self.place(n) else { return Err(bad(0, piece.theta.len())) };
        let range = chunks::range(self.theta.len(), k);
        let (to, from) = match vector {
            Vector::Theta => (&mut self.theta, &piece.theta),
            Vector::Momentum => (&mut self.u, &piece.u),
        };
        if from.len() != range.len() {
            return Err(bad(range.len(), from.len()));
        }
        to[range].copy_from_slice(from);
        Ok(())
    }
}

/// One of the two vectors of an outer state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    /// θ.
    Theta,
    /// u.
    Momentum,
}
