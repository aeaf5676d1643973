//! What a site has made and stands for: contributions, finished rounds, states, run checkpoints, measurements. Must not know
//! who asks for it.
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use super::bounds;
use crate::bits::BatchHash;
use crate::keys::ContributionKey;
use crate::record::LeaseUse;
use crate::{Digest, Real, Seq};

/// Describes a contribution that is complete in its maker's store (D12, D13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// Names it.
    pub key: ContributionKey,
    /// Gives the digest of its manifest.
    pub digest: Digest,
    /// Counts the bytes of its data.
    pub bytes: u64,
    /// Counts the tokens it stands for.
    pub tokens: u64,
    /// Tells the positions used, by plan.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::LEASES)))]
    pub used: Vec<LeaseUse>,
    /// Gives the hash over the samples at those positions (D26).
    pub batch_hash: BatchHash,
    /// Gives the norm of the contribution.
    pub norm: Real,
}

/// Describes a round finished by the one member of its plan (D30).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepOffer {
    /// Names the plan, by its record.
    pub plan: Seq,
    /// Gives the digest of the manifest of the site checkpoint whose parameters become the common ones.
    pub checkpoint: Digest,
    /// Names its log entry.
    pub entry: u64,
    /// Gives the digest of the state after the step.
    pub state: Digest,
    /// Counts the tokens used.
    pub tokens: u64,
    /// Tells the positions used, by plan.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::LEASES)))]
    pub used: Vec<LeaseUse>,
    /// Gives the hash over the samples at those positions (D26).
    pub batch_hash: BatchHash,
}

/// Describes the outer state a site computed for a commit (D17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateReport {
    /// Names the commit.
    pub of: Seq,
    /// Gives the digest of the state.
    pub digest: Digest,
    /// Gives the digests of the chunks of the parameters, then of their momentum (D3); empty where they do not fit.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::CHUNKS)))]
    pub chunks: Vec<Digest>,
    /// Says that this site has recomputed the chunks that differ from another's and got its own value again.
    #[serde(default)]
    pub reproduced: bool,
}

/// Names a run checkpoint that stands complete and verified in the site's store (D20, D21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredCheckpoint {
    /// Names the commit whose state it is.
    pub seq: Seq,
    /// Gives the digest of the state, as verified.
    pub state: Digest,
    /// Counts the bytes it takes.
    pub bytes: u64,
}

/// Tells a measurement on held-out text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evaluation {
    /// Names the commit whose parameters were measured.
    pub of: Seq,
    /// Tells the loss in nats a token.
    pub loss: Real,
    /// Tells the bits a byte.
    pub bits_per_byte: Real,
}
