//! `CheckpointPolicy`: when state is saved and how long it is kept. May be edited while runs use it.
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::rules;

/// Says when runs that refer to it save their state, and what is kept.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "CheckpointPolicy",
    plural = "checkpointpolicies",
    shortname = "ckpol",
    category = "training",
    namespaced,
    derive = "PartialEq",
    doc = "Says when runs that refer to it save their state, and what is kept.",
    printcolumn(name = "Steps", type_ = "integer", json_path = ".spec.interval.steps", description = "between saves"),
    printcolumn(
        name = "Seconds",
        type_ = "integer",
        json_path = ".spec.interval.seconds",
        description = "between saves"
    ),
    printcolumn(
        name = "Keep",
        type_ = "integer",
        json_path = ".spec.keep.everyRounds",
        description = "every so many rounds"
    ),
    printcolumn(
        name = "Last",
        type_ = "integer",
        json_path = ".spec.retention.last",
        description = "kept checkpoints"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointPolicySpec {
    /// Sets the work between a site's own checkpoints: what a crash costs at most.
    pub interval: Interval,

    /// Says which rounds leave a run checkpoint worth keeping. Default: every tenth.
    #[serde(default)]
    pub keep: Keep,

    /// Says how many kept run checkpoints stay; the last consistent one always does. Default: the last three.
    #[serde(default)]
    pub retention: Retention,
}

/// Sets the work between a site's own checkpoints: exactly one of steps and seconds.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::rule(
    "has(self.steps) != has(self.seconds)",
    "must have exactly one of steps and seconds; keep one of them, such as seconds: 60",
))]
pub struct Interval {
    /// Saves after so many inner steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: Option<i32>,

    /// Saves after so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub seconds: Option<i32>,
}

/// Says which rounds leave a run checkpoint worth keeping.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// Keeps a run checkpoint every so many rounds. Default: 10.
    #[serde(default = "every_rounds")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub every_rounds: i32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { every_rounds: every_rounds() }
    }
}

const fn every_rounds() -> i32 {
    10
}

/// Says how many kept run checkpoints stay.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Keeps so many of the newest. Default: 3. More than 100 are kept by pinning them.
    #[serde(default = "last")]
    #[schemars(range(min = 1, max = 100))]
    pub last: i32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { last: last() }
    }
}

const fn last() -> i32 {
    3
}
