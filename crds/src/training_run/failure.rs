//! Which failures are tried again, and which end a run.
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Decides which failures are tried again.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// Limits the restarts that are charged within the window. Default: 10.
    #[serde(default = "max_restarts")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_restarts: i32,

    /// Sets how many seconds a charged restart counts. Default: 86400.
    #[serde(default = "window_seconds")]
    #[schemars(range(min = 1, max = 315_360_000))]
    pub window_seconds: i32,

    /// Lists rules of which the first match decides; no match restarts and charges. Default: fail on bad input, restart
    /// on infrastructure faults without charge.
    #[serde(default = "default_rules")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<FailureRule>,
}

impl Default for FailurePolicy {
    fn default() -> Self {
        Self { max_restarts: max_restarts(), window_seconds: window_seconds(), rules: default_rules() }
    }
}

const fn max_restarts() -> i32 {
    10
}
const fn window_seconds() -> i32 {
    86_400
}

fn default_rules() -> Vec<FailureRule> {
    vec![
        // Bad configuration and bad data: the next start would fail alike.
        FailureRule { on_exit_codes: vec![64, 65], on_reason: vec![], action: FailureAction::FailRun },
        FailureRule {
            on_exit_codes: vec![],
            on_reason: vec![FailureReason::WorkerKilled, FailureReason::SiteLost, FailureReason::StoreLost],
            action: FailureAction::RestartAndIgnoreLimit,
        },
    ]
}

/// Decides about the failures it matches: by exit code or by reason.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRule {
    /// Matches a trainer that ended with one of these codes. Default: none.
    #[serde(default)]
    #[schemars(length(max = 32), inner(range(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub on_exit_codes: Vec<i32>,

    /// Matches these causes outside the trainer. Default: none. A rule that lists neither matches every failure.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub on_reason: Vec<FailureReason>,

    /// Says what to do: FailRun, Restart, or RestartAndIgnoreLimit.
    pub action: FailureAction,
}

/// Names a cause outside the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum FailureReason {
    /// A process was ended by a signal it did not ask for.
    WorkerKilled,
    /// A site was given up because nothing was heard of it.
    SiteLost,
    /// A site's store was lost or exchanged.
    StoreLost,
}

/// Says what to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum FailureAction {
    /// End the run as failed.
    FailRun,
    /// Start again and charge it.
    Restart,
    /// Start again without charge.
    RestartAndIgnoreLimit,
}
