//! What a site has made and stands for: contributions, finished rounds, states, run checkpoints, measurements. Must not know
//! who asks for it.
use serde::{Deserialize, Serialize};

use crate::bits::BatchHash;
use crate::keys::ContributionKey;
use crate::record::LeaseUse;
use crate::{Digest, Real, Seq};

/// A contribution that is complete in its maker's store (D12, D13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// Its name.
    pub key: ContributionKey,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its data.
    pub bytes: u64,
    /// Tokens it stands for.
    pub tokens: u64,
    /// Positions used, by plan.
    pub used: Vec<LeaseUse>,
    /// D26 over those positions.
    pub batch_hash: BatchHash,
    /// ‖Δ‖.
    pub norm: Real,
}

/// A round finished by the one member of its plan (D30).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepOffer {
    /// The plan.
    pub plan: Seq,
    /// Digest of the manifest of the site checkpoint whose x becomes θ.
    pub checkpoint: Digest,
    /// Its log entry.
    pub entry: u64,
    /// D(O) after the step.
    pub state: Digest,
    /// Tokens used.
    pub tokens: u64,
    /// Positions used, by plan.
    pub used: Vec<LeaseUse>,
    /// D26 over those positions.
    pub batch_hash: BatchHash,
}

/// The outer state a site computed for a commit (D17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateReport {
    /// The commit.
    pub of: Seq,
    /// D(O).
    pub digest: Digest,
    /// Digests of the chunks of θ, then of u (D3).
    pub chunks: Vec<Digest>,
    /// True once this site has recomputed the chunks that differ from another's and got its own value again.
    #[serde(default)]
    pub reproduced: bool,
}

/// A run checkpoint that stands complete and verified in the site's store (D20, D21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredCheckpoint {
    /// The commit whose state it is.
    pub seq: Seq,
    /// D(O) as verified.
    pub state: Digest,
    /// Bytes it takes.
    pub bytes: u64,
}

/// A measurement on held-out text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evaluation {
    /// The commit whose θ was measured.
    pub of: Seq,
    /// Nats a token.
    pub loss: Real,
    /// Bits a byte.
    pub bits_per_byte: Real,
}
