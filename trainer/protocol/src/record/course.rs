//! Records of a run's course: who belongs to it, going back, going on under another hub, and the end. Must not know rounds.
use serde::{Deserialize, Serialize};

use super::Assignment;
use crate::{Digest, Incarnation, IntervalSet, Real, Seq, SiteId};

/// A site taken out of the count, or out of the run, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removal {
    /// The site.
    pub site: SiteId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Why, from a closed list of names: `Lost`, `StoreLost`, `PeersUnreachable`, `NormAboveLimit`, `NotFinite`, …
    pub reason: String,
}

/// Membership changes. Applied in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Members {
    /// Incarnations retired for good; what they leased returns.
    #[serde(default)]
    pub retired: Vec<Removal>,
    /// New incarnations.
    #[serde(default)]
    pub joined: Vec<Assignment>,
    /// Set aside until lifted.
    #[serde(default)]
    pub set_aside: Vec<Removal>,
    /// No longer set aside.
    #[serde(default)]
    pub lifted: Vec<SiteId>,
}

/// Reserved (D27): go back to the state of `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewind {
    /// The record whose state becomes the base.
    pub to: Seq,
    /// Positions never to be used.
    pub skip: IntervalSet,
    /// Multiplies the inner learning rate from here on.
    pub lr_factor: Real,
}

/// Reserved (D7): a hub that was rebuilt goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Takeover {
    /// Raised by one.
    pub hub_generation: u64,
    /// The new hub's public key.
    pub hub_key: String,
    /// A head that is given up, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Digest>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The budget was reached; state digest and checkpoint are consistent.
    Complete,
    /// `activeDeadlineSeconds` passed.
    DeadlineExceeded,
    /// A failure rule, an exhausted restart budget, or a non-finite budget ended it.
    Failed,
}

/// The last record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// How it ended.
    pub outcome: Outcome,
    /// One sentence for people; empty when complete.
    pub message: String,
    /// T.
    pub tokens: u64,
    /// The record whose state is the final one.
    pub of: Seq,
    /// Its digest, if one was fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
    /// Sites that hold the final checkpoint complete and verified.
    pub confirmers: Vec<SiteId>,
}
