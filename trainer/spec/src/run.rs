//! A whole run, resolved: nothing left to look up. What planner and trainer share.
use std::collections::BTreeMap;

use coalition_protocol::canonical::{self, NotCanonical};
use coalition_protocol::{Digest, RunId, Seq};
use serde::{Deserialize, Serialize};

use crate::data::DataSpec;
use crate::model::ModelConfig;
use crate::training::TrainingSpec;

/// Label keys and values that a site must carry, all of them; empty matches every site.
pub type Selector = BTreeMap<String, String>;

/// A whole run, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunSpec {
    /// The model and where its first parameters come from.
    pub model: ModelSpec,
    /// What it reads.
    pub data: DataSpec,
    /// How it trains.
    pub training: TrainingSpec,
    /// How many sites, and which.
    pub sites: SitesSpec,
    /// Shapes of a site's part; the first whose selector matches the site wins.
    pub site_templates: Vec<SiteTemplate>,
    /// When state is saved and how long it is kept.
    pub checkpoint: CheckpointSpec,
    /// When a failed worker or site is tried again.
    pub failure_policy: FailurePolicy,
    /// Seconds after which an unfinished run fails; none = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u64>,
}

/// The part of a run that never changes after genesis: equal for two specs of one run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    model: &'a ModelSpec,
    data: &'a DataSpec,
    training: TrainingSpec,
    site_templates: &'a [SiteTemplate],
}

impl RunSpec {
    /// The digest of everything in this spec.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        canonical::digest(self)
    }

    /// The digest of what never changes in a run: without budget, sites, checkpoints, failure policy and deadline, which
    /// may be edited while it trains.
    pub fn identity(&self) -> Result<Digest, NotCanonical> {
        canonical::digest(&Identity {
            model: &self.model,
            data: &self.data,
            training: TrainingSpec { tokens: 0, ..self.training.clone() },
            site_templates: &self.site_templates,
        })
    }

    /// The shape for a site with these labels: the first template that matches, none if no template does.
    pub fn shape_for(&self, labels: &BTreeMap<String, String>) -> Option<SiteShape> {
        self.site_templates.iter().find(|t| matches(&t.selector, labels)).map(|t| t.shape)
    }
}

/// Whether `labels` carry everything that `selector` asks for.
pub fn matches(selector: &Selector, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}

/// The model and where its first parameters come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSpec {
    /// Every size and constant of the model.
    pub config: ModelConfig,
    /// Where the first parameters come from.
    pub init: Init,
}

/// Where the first parameters come from: random draws of a seed (D2), or the state that another run left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Init {
    /// Seed of the draws; a run that begins elsewhere draws nothing from it.
    pub seed: u64,
    /// The state to begin with instead; absent in specs of runs that draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Base>,
}

/// A run checkpoint of another run: where a run begins that goes on from it. Its bytes lie in the sites' stores under the old
/// run's name, and stay there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Base {
    /// The run that left it.
    pub run: RunId,
    /// The commit whose state it is.
    pub seq: Seq,
    /// D(O) of that state: whatever else lies under that name is not it.
    pub state: Digest,
}

/// How many sites, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SitesSpec {
    /// The run goes on while at least so many are alive.
    pub min: u32,
    /// The run uses at most so many at a time.
    pub max: u32,
    /// Only sites with these labels.
    #[serde(default)]
    pub selector: Selector,
    /// Seconds after which an unreachable site's part is given to another.
    pub replace_after_seconds: u64,
}

/// The shape of a site's part, for the sites that a selector matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteTemplate {
    /// The sites it is for.
    #[serde(default)]
    pub selector: Selector,
    /// The shape they get.
    pub shape: SiteShape,
}

/// The shape of one site's part: data parallel over its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteShape {
    /// Workers; each is one process with one rank.
    pub workers: u32,
    /// Compute threads of a worker: part of the run's reproducibility class (D1).
    pub cpu_threads: u32,
}

/// When state is saved and how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckpointSpec {
    /// Between site checkpoints (D19).
    pub interval: Interval,
    /// Every so many rounds a run checkpoint is kept (D20).
    pub keep_every_rounds: u64,
    /// So many of the newest kept run checkpoints stay.
    pub retain_last: u32,
}

/// Time or work between site checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interval {
    /// Inner steps.
    Steps(u64),
    /// Seconds.
    Seconds(u64),
}

/// When a failed worker or site is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailurePolicy {
    /// Restarts charged within the window before the run fails.
    pub max_restarts: u32,
    /// Seconds a charged restart counts.
    pub window_seconds: u64,
    /// The first that matches decides; none matching restarts and charges.
    pub rules: Vec<FailureRule>,
}

impl FailurePolicy {
    /// What to do about a worker that ended with `exit_code` (none if it was killed) for `reason`.
    pub fn action(&self, exit_code: Option<i32>, reason: Option<FailureReason>) -> FailureAction {
        self.rules
            .iter()
            .find(|r| {
                let any = r.on_exit_codes.is_empty() && r.on_reasons.is_empty();
                any || exit_code.is_some_and(|c| r.on_exit_codes.contains(&c))
                    || reason.is_some_and(|x| r.on_reasons.contains(&x))
            })
            .map_or(FailureAction::Restart, |r| r.action)
    }
}

/// One rule: matches if the exit code or the reason is listed, or if it lists neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailureRule {
    /// Exit codes of the trainer.
    #[serde(default)]
    pub on_exit_codes: Vec<i32>,
    /// Causes outside the trainer.
    #[serde(default)]
    pub on_reasons: Vec<FailureReason>,
    /// What to do.
    pub action: FailureAction,
}

/// A cause outside the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureReason {
    /// A process was ended by a signal it did not ask for.
    WorkerKilled,
    /// A site was retired because nothing was heard of it.
    SiteLost,
    /// A site's store no longer holds its opening entry (D8).
    StoreLost,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureAction {
    /// End the run as failed.
    FailRun,
    /// Start again and count it.
    Restart,
    /// Start again and do not count it.
    RestartAndIgnoreLimit,
}
