//! `TrainingRun`: what a user asks for. Fields whose behaviour does not exist yet are not here, so that none is accepted
//! and ignored.

mod data;
mod failure;
mod model;
mod sites;
mod status;
mod training;

pub use data::{Builtin, Data, MixtureEntry, Tokenizer};
pub use failure::{FailureAction, FailurePolicy, FailureReason, FailureRule};
pub use model::{Architecture, DEFAULT_SEED, HuggingFaceConfig, Init, InitFrom, Model};
pub(crate) use sites::IMAGE_PATTERN;
pub use sites::{Compute, Resources, RunReference, Selector, Shape, SiteTemplate, Sites, Trainer};
pub use status::{
    CheckpointSummary, HistorySummary, Progress, Restarts, SITES_WEIGHT, SiteState, SiteStatus, TrainingRunStatus,
};
pub use training::{
    Nesterov, NonFinite, Optimizer, OptimizerName, Outer, OuterOptimizerName, Payload, Precision, Schedule,
    ScheduleName, Training,
};

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::rules;

/// Asks for one model to be trained on one or several sites.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "TrainingRun",
    plural = "trainingruns",
    shortname = "trun",
    category = "training",
    namespaced,
    status = "TrainingRunStatus",
    derive = "PartialEq",
    doc = "Asks for one model to be trained on one or several sites.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Sites", type_ = "string", json_path = ".status.sitesReady", description = "ready/wanted"),
    printcolumn(
        name = "Tokens",
        type_ = "string",
        json_path = ".status.progress.percent",
        description = "% of the budget"
    ),
    printcolumn(name = "Loss", type_ = "string", json_path = ".status.progress.loss", description = "nats a token"),
    printcolumn(name = "Checkpoint", type_ = "string", json_path = ".status.checkpoint.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", priority = 1),
    printcolumn(name = "Restarts", type_ = "integer", json_path = ".status.restarts.charged", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::fixed_if_any(
        "priorityClassName",
        "workers' pods are created final, and each site maps it when they are; create a new run with the other class",
    ),
    validation = rules::computed(
        "self.training.outer.quorum <= self.sites.max",
        "'is %d: must be at most sites.max = %d, as a commit cannot need more contributions than there are sites; \
         lower quorum or raise sites.max'.format([self.training.outer.quorum, self.sites.max])",
    )
    .field_path(".training.outer.quorum"),
    validation = rules::computed(
        "self.siteTemplates.all(t, quantity(string(self.training.batchTokens)).asInteger() \
         % (self.data.sequenceLength * t.workers) == 0)",
        "'is %s: must be a multiple of data.sequenceLength x workers of every site template, here %d x %d for the first; \
         choose such a multiple'\
         .format([self.training.batchTokens, self.data.sequenceLength, self.siteTemplates[0].workers])",
    )
    .field_path(".training.batchTokens"),
    validation = rules::computed(
        "quantity(string(self.training.tokens)).asInteger() / 4 >= self.sites.max \
         * quantity(string(self.training.outer.tokensPerRound)).asInteger()",
        "'is %s: must be at least four rounds of sites.max x training.outer.tokensPerRound, here %d x %s; raise the budget, \
         or lower tokensPerRound or sites.max'\
         .format([self.training.tokens, self.sites.max, self.training.outer.tokensPerRound])",
    )
    .field_path(".training.tokens")
)]
pub struct TrainingRunSpec {
    /// Saves and stops the run while true, keeping all it has; false lets it go on exactly from there. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// Names a PriorityClass of the hub; workers run under the one to which each site's owner maps it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = crate::names::LABEL_PATTERN))]
    pub priority_class_name: Option<String>,

    /// Sets how many sites train, and which.
    pub sites: Sites,

    /// Gives each site the shape of its part: the first entry whose selector matches the site wins.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = rules::fixed(
            "the shape of a site is part of what makes a run reproducible; create a new run with the other shape",
        ),
        validation = rules::rule(
            "self.map(t, has(t.selector.matchLabels) ? t.selector.matchLabels.map(k, size(k) + size(t.selector.matchLabels[k])).sum() \
             : 0).sum() <= 2048",
            "the labels of all selectors must be at most 2048 characters together; use fewer or shorter labels",
        )
    )]
    pub site_templates: Vec<SiteTemplate>,

    /// Describes the model.
    #[x_kube(validation = rules::fixed(
        "checkpoints and contributions of a run all have one shape; create a new run for another model",
    ))]
    pub model: Model,

    /// Describes what the model reads.
    #[x_kube(validation = rules::fixed(
        "the ledger of used positions counts in this data; create a new run for other data",
    ))]
    pub data: Data,

    /// Sets budget, batch, optimizers and rounds.
    pub training: Training,

    /// Names the CheckpointPolicy in this namespace that says when state is saved and kept.
    pub checkpoint_policy_ref: PolicyReference,

    /// Decides which failures are tried again. Default: infrastructure faults always, others up to 10 times a day.
    #[serde(default)]
    pub failure_policy: FailurePolicy,

    /// Names the trainer's program. Default: the one that each site brings.
    #[serde(default, skip_serializing_if = "Trainer::is_default")]
    pub trainer: Trainer,

    /// Fails the run when it has not finished after so many seconds. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 315_360_000_i64))]
    pub active_deadline_seconds: Option<i64>,

    /// Removes what the run left in clusters so long after its end; never this object, no checkpoint. Default: with this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000_i64))]
    pub ttl_seconds_after_finished: Option<i64>,
}

/// Names a CheckpointPolicy.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReference {
    /// Names an object in the same namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = crate::names::LABEL_PATTERN))]
    pub name: String,
}
