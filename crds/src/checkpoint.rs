//! `Checkpoint`: one kept, consistent checkpoint. It outlives its run, so it has no owner; what it names never changes. A run
//! adopts one by naming it (`spec.model.init.from.checkpoint`).
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{DIGEST_PATTERN, LABEL_PATTERN};
use crate::rules;

/// Why what a checkpoint names cannot change, and the way out.
const WHY_FIXED: &str =
    "it names bytes that exist; a new checkpoint gets an object of its own, delete this one if it is not wanted";

/// Names one kept checkpoint of a run.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "Checkpoint",
    plural = "checkpoints",
    shortname = "ckpt",
    category = "training",
    namespaced,
    status = "CheckpointStatus",
    derive = "PartialEq",
    doc = "Names one kept checkpoint of a run; outlives the run.",
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run"),
    printcolumn(name = "Seq", type_ = "integer", json_path = ".spec.seq"),
    printcolumn(name = "Tokens", type_ = "integer", json_path = ".status.tokens"),
    printcolumn(name = "Consistent", type_ = "boolean", json_path = ".status.consistent"),
    printcolumn(name = "Pinned", type_ = "boolean", json_path = ".spec.pinned"),
    printcolumn(name = "Deletion", type_ = "string", json_path = ".spec.deletionPolicy", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointSpec {
    /// Names the TrainingRun it came from, in the same namespace; that run may be gone.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub run: String,

    /// Gives the identity of that run as its first record minted it; not a Kubernetes UID.
    #[serde(rename = "runID")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub run_id: String,

    /// Gives the record whose state it holds.
    #[schemars(range(min = 0))]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub seq: i64,

    /// Gives the BLAKE3 digest of that state.
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub state_digest: String,

    /// Gives the digest of the model's sizes: a run that adopts it must have the same.
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub model_digest: String,

    /// Keeps it whatever the retention of its policy says. Default: false.
    #[serde(default)]
    pub pinned: bool,

    /// Says what becomes of the bytes in the sites' stores when this object is deleted: Retain or Delete. Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Says what becomes of the bytes when the object that names them is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// The sites delete them.
    Delete,
}

/// Tells where the checkpoint stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// Names the generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Counts the tokens committed up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub tokens: Option<i64>,

    /// Counts the bytes of one copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bytes: Option<i64>,

    /// Lists the sites where it stands complete and verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["site".into()]))]
    pub copies: Vec<Copy>,

    /// Tells whether it stands at enough sites.
    #[serde(default)]
    pub consistent: bool,

    /// Tells the state in the standard form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Names a site that holds a verified copy.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Copy {
    /// Names the site.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub site: String,
}
