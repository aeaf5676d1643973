//! What a run has come to. Views of its history, never truth.
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{DIGEST_PATTERN, LABEL_PATTERN};
use crate::rules;

/// Tells what the run has come to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingRunStatus {
    /// Names the generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Counts rewinds and takeovers: the first epoch is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub epoch: Option<i64>,

    /// Tells how far training is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// Tells how many sites train of how many wanted, as ready/wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub sites_ready: Option<String>,

    /// Tells what each site does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = rules::rule(
            "self.map(s, 230 + size(s.waitingFor) + size(s.next)).sum() <= 24576",
            "what is told of the sites must be at most 24 KiB together; shorten waitingFor and next",
        )
    )]
    pub sites: Vec<SiteStatus>,

    /// Names the newest record of the run's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistorySummary>,

    /// Names the newest kept checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointSummary>,

    /// Counts restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<Restarts>,

    /// Tells the state in the standard form: Ready, Reconciling, Stalled, and the run's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What one site's line weighs beside its two texts, bytes as JSON at most, and what all lines may weigh together: a TrainingRun
/// is at most 64 KiB, and its spec and conditions take more than half of that.
pub const SITES_WEIGHT: (usize, usize) = (230, 24 << 10);

/// Tells how far training is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Counts committed tokens.
    #[schemars(range(min = 0))]
    pub tokens: i64,
    /// Counts committed rounds.
    #[schemars(range(min = 0))]
    pub round: i64,
    /// Tells the share of the budget that is committed, in per cent.
    #[schemars(range(min = 0, max = 100))]
    pub percent: i32,
    /// Tells the newest training loss in nats a token, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 31))]
    pub loss: Option<String>,
    /// Tells the newest bits a byte on held-out text, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 31))]
    pub bits_per_byte: Option<String>,
    /// Tells the speed of all sites together in tokens a second, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 31))]
    pub tokens_per_second: Option<String>,
    /// Tells the seconds to the end at this speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub eta_seconds: Option<i64>,
}

/// Tells what one site does.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// Names the site.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub name: String,
    /// Tells its state in one word.
    pub state: SiteState,
    /// Counts how often the site was assigned to the run.
    #[schemars(range(min = 0))]
    pub incarnation: i64,
    /// Counts how often its gang was formed.
    #[schemars(range(min = 0))]
    pub attempt: i64,
    /// Counts the workers that take part.
    #[schemars(range(min = 0))]
    pub workers_ready: i32,
    /// Counts the workers it should have.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub workers: i32,
    /// Tells what it waits for; empty while training.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub waiting_for: String,
    /// Tells what happens next if nothing changes; empty if nothing will.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub next: String,
}

/// Tells a site's state in one word.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize, strum::Display, strum::EnumIter,
)]
pub enum SiteState {
    /// Not a member.
    Idle,
    /// Member, but its workers have not formed a gang yet.
    Starting,
    /// Training.
    Training,
    /// Its contribution is offered.
    Offered,
    /// Not on the newest state: loading, fetching, recomputing.
    CatchingUp,
    /// Nothing was heard of it lately.
    Silent,
    /// Excluded for a while.
    SetAside,
    /// Its incarnation is retired.
    Retired,
    /// Saved and stopped.
    Stopped,
    /// The run is over.
    Finished,
}

/// Names the newest record of the run's history.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistorySummary {
    /// Gives the record's position.
    #[schemars(range(min = 0))]
    pub seq: i64,
    /// Gives the record's BLAKE3 digest.
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    pub digest: String,
}

/// Names the newest kept checkpoint.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointSummary {
    /// Names the Checkpoint object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Gives the record whose state it holds.
    #[schemars(range(min = 0))]
    pub seq: i64,
    /// Lists the sites where it stands complete and verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub copies: Vec<String>,
    /// Tells whether it is complete and verified at the sites it should stand at.
    pub consistent: bool,
    /// Counts the committed tokens that would be lost if only this checkpoint were left.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub tokens_since: i64,
}

/// Counts restarts.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restarts {
    /// Counts those charged to the failure policy within its window.
    #[schemars(range(min = 0))]
    pub charged: i32,
    /// Counts those that infrastructure caused.
    #[schemars(range(min = 0))]
    pub infrastructure: i32,
}
