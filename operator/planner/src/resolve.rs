//! From what a user wrote to what can be trained: presets looked up, amounts read, defaults filled in, every problem
//! told. Must not know how an object came here: a file, or an API server.

use coalition_crds::training_run as api;
use coalition_crds::{CheckpointPolicy, TrainingRun};
use coalition_spec::data::{Builtin, DataSpec, Tokenizer};
use coalition_spec::model::{Architecture, ModelConfig};
use coalition_spec::run::{
    CheckpointSpec, FailureAction, FailurePolicy, FailureReason, FailureRule, Init, Interval, ModelSpec, SiteShape,
    SiteTemplate, SitesSpec,
};
use coalition_spec::training::{
    AdamW, Nesterov, NonFinite, Optimizer, OuterOptimizer, OuterSpec, Payload, Precision, Schedule, TrainingSpec,
};
use coalition_spec::{Problem, RunSpec, hugging_face, preset, tokens};

/// Seconds after which an unreachable site's part is given to another, when several sites share the run: the others go
/// on meanwhile, so there is no hurry.
const REPLACE_ONE_OF_SEVERAL: u64 = 300;
/// The same when nothing goes on without it.
const REPLACE_THE_ONLY: u64 = 120;
/// Share of the budget in which the rate of wsd falls, as the API documents it. Within what is published: a tenth in MiniCPM
/// (Hu et al. 2024, arXiv:2404.06395), which named the shape, a fifth in NVIDIA's recipe of Nemotron 3 Nano. The longer one
/// is a choice: small budgets have few steps in a tenth.
const DECAY_SHARE: f64 = 0.2;

/// What stands in for betas that were refused, so that the rest can be checked: the API's defaults.
const BETAS: [f64; 2] = [0.9, 0.95];

/// A run that cannot be trained as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Unresolved {
    /// What is wrong, with paths as in the run's manifest.
    pub problems: Vec<Problem>,
    /// True if so much is missing that the numbers were not compared with each other: more may be found later.
    pub partial: bool,
}

/// The run as planner and trainer see it, or everything that is wrong with it, with paths as in its manifest.
///
/// `policy` is the CheckpointPolicy that the run refers to, none if there is no such object.
pub fn resolve(run: &TrainingRun, policy: Option<&CheckpointPolicy>) -> Result<RunSpec, Unresolved> {
    let spec = &run.spec;
    let mut problems = Vec::new();
    let mut amount = |field: &str, t: &coalition_crds::amounts::Tokens| {
        tokens::parse(t.text().as_ref()).unwrap_or_else(|p| {
            problems.push(p.under(field));
            0
        })
    };
    let mut found = Vec::new();
    let t = &spec.training;
    let training = TrainingSpec {
        tokens: amount("training.tokens", &t.tokens),
        batch_tokens: amount("training.batchTokens", &t.batch_tokens),
        precision: match t.precision {
            api::Precision::Fp32 => Precision::Fp32,
        },
        seed: large(t.seed),
        optimizer: optimizer(&t.optimizer, &mut found),
        schedule: {
            let warmup_tokens = amount("training.schedule.warmupTokens", &t.schedule.warmup_tokens);
            match t.schedule.name {
                api::ScheduleName::Wsd => {
                    Schedule::Wsd { warmup_tokens, decay_share: t.schedule.decay_share.unwrap_or(DECAY_SHARE) }
                }
                api::ScheduleName::Cosine => Schedule::Cosine { warmup_tokens },
                api::ScheduleName::Constant => Schedule::Constant { warmup_tokens },
            }
        },
        non_finite: NonFinite { skip_steps: small(t.non_finite.skip_steps) },
        outer: OuterSpec {
            tokens_per_round: amount("training.outer.tokensPerRound", &t.outer.tokens_per_round),
            optimizer: OuterOptimizer::Nesterov(Nesterov {
                lr: t.outer.optimizer.lr,
                momentum: t.outer.optimizer.momentum,
            }),
            payload: match t.outer.payload {
                api::Payload::F32 => Payload::F32,
            },
            quorum: small(t.outer.quorum),
            grace_seconds: t.outer.grace.seconds().map(large),
        },
    };
    problems.extend(found);
    let config = model(&spec.model, &mut problems);
    let seed = init(&spec.model.init, &mut problems);
    problems.extend(too_large(spec));
    let data = data(&spec.data, &mut problems);
    let checkpoint = checkpoint(run, policy, &mut problems);
    let mut partial = true;
    if let (Some(config), Some(data), Some(checkpoint), true) = (config, data, checkpoint, problems.is_empty()) {
        let resolved = RunSpec {
            model: ModelSpec { config, init: Init { seed, from: None } },
            data,
            training,
            sites: sites(&spec.sites),
            site_templates: spec.site_templates.iter().map(template).collect(),
            checkpoint,
            failure_policy: failure_policy(&spec.failure_policy),
            active_deadline_seconds: spec.active_deadline_seconds.map(large),
        };
        problems = resolved.problems();
        if problems.is_empty() {
            return Ok(resolved);
        }
        partial = false;
    }
    Err(Unresolved { problems: problems.into_iter().map(|p| p.under("spec")).collect(), partial })
}

/// A count of the API: never below zero once its schema accepted it, and told by validation if it is.
fn small(x: i32) -> u32 {
    u32::try_from(x).unwrap_or(0)
}

fn large(x: i64) -> u64 {
    u64::try_from(x).unwrap_or(0)
}

fn optimizer(o: &api::Optimizer, problems: &mut Vec<Problem>) -> Optimizer {
    let betas: [f64; 2] = o.betas.as_slice().try_into().unwrap_or_else(|_| {
        let shown: Vec<String> = o.betas.iter().map(ToString::to_string).collect();
        problems.push(Problem::new(
            "training.optimizer.betas",
            format!("[{}]", shown.join(", ")),
            "must have exactly two entries, the decay rates of the first and the second moment",
            "Write both, such as [0.9, 0.95].",
        ));
        BETAS
    });
    Optimizer::Adamw(AdamW { lr: o.lr, betas, eps: o.eps, weight_decay: o.weight_decay, clip: o.clip })
}

fn model(m: &api::Model, problems: &mut Vec<Problem>) -> Option<ModelConfig> {
    let architecture = match m.architecture {
        api::Architecture::Llama => Architecture::Llama,
        api::Architecture::Nemotron => Architecture::Nemotron,
    };
    match (&m.preset, &m.config) {
        (Some(name), None) => preset::find(name, architecture).map_err(|p| problems.push(p.under("model.preset"))).ok(),
        (None, Some(keys)) => {
            let value = serde_json::to_value(keys).unwrap_or_default();
            hugging_face::read(&value, architecture)
                .map_err(|found| problems.extend(found.into_iter().map(|p| p.under("model.config"))))
                .ok()
        }
        _ => {
            let way_out = "Remove one, or add preset with a name such as llama-tiny.";
            problems.push(Problem::new("model", "", "must have exactly one of preset and config", way_out));
            None
        }
    }
}

/// The seed of the first parameters.
fn init(i: &api::Init, problems: &mut Vec<Problem>) -> u64 {
    if let Some(from) = &i.from {
        problems.push(Problem::new(
            "model.init.from.checkpoint",
            &from.checkpoint,
            "cannot be adopted: this version begins a run with random parameters only",
            "Write `init: {seed: 1}`, or wait for a version that adopts checkpoints.",
        ));
    }
    large(i.seed.unwrap_or(api::DEFAULT_SEED))
}

/// Bytes that the spec of a run may take as JSON: a TrainingRun takes 64 KiB at most, its status half of that.
const SPEC_BYTES: usize = 24 << 10;

/// The schema bounds every part of a spec but the foreign keys of `model.config`.
fn too_large(spec: &coalition_crds::TrainingRunSpec) -> Option<Problem> {
    let bytes = coalition_crds::budget::bytes(spec);
    (bytes > SPEC_BYTES).then(|| {
        Problem::new(
            "model.config",
            format!("{bytes} bytes in the whole spec"),
            format!("the spec of a run must be at most {SPEC_BYTES} bytes"),
            "Drop keys of model.config that do not change the maths, such as tokenizer settings.",
        )
    })
}

fn data(d: &api::Data, problems: &mut Vec<Problem>) -> Option<DataSpec> {
    let tokenizer = match (&d.tokenizer.builtin, &d.tokenizer.dataset, &d.tokenizer.file) {
        (Some(api::Builtin::Bytes), None, None) => Some(Tokenizer::Builtin(Builtin::Bytes)),
        (None, Some(dataset), Some(file)) => Some(Tokenizer::File { dataset: dataset.clone(), file: file.clone() }),
        _ => {
            problems.push(Problem::new(
                "data.tokenizer",
                "",
                "must have either builtin, or both dataset and file",
                "Use `builtin: bytes` if the text needs no vocabulary.",
            ));
            None
        }
    };
    let [only] = d.mixture.as_slice() else {
        problems.push(Problem::new(
            "data.mixture",
            format!("{} entries", d.mixture.len()),
            "must have exactly one entry: this version trains on one data set",
            "Prepare the texts together under one name.",
        ));
        return None;
    };
    Some(DataSpec {
        dataset: only.name.clone(),
        sequence_length: usize::try_from(d.sequence_length).unwrap_or(0),
        tokenizer: tokenizer?,
    })
}

fn checkpoint(
    run: &TrainingRun,
    policy: Option<&CheckpointPolicy>,
    problems: &mut Vec<Problem>,
) -> Option<CheckpointSpec> {
    let name = &run.spec.checkpoint_policy_ref.name;
    let Some(policy) = policy else {
        let namespace = run.metadata.namespace.as_deref().unwrap_or("default");
        problems.push(Problem::new(
            "checkpointPolicyRef.name",
            name,
            format!("is not a CheckpointPolicy in namespace {namespace}"),
            "Apply one of that name, or add it to the manifest as a second document.",
        ));
        return None;
    };
    let p = &policy.spec;
    let interval = match (p.interval.steps, p.interval.seconds) {
        (Some(n), None) => Interval::Steps(u64::from(small(n))),
        (None, Some(n)) => Interval::Seconds(u64::from(small(n))),
        _ => {
            problems.push(Problem::new(
                "checkpointPolicy.interval",
                format!("CheckpointPolicy/{name}"),
                "must have exactly one of steps and seconds",
                "Keep one of them, such as `seconds: 60`.",
            ));
            return None;
        }
    };
    Some(CheckpointSpec {
        interval,
        keep_every_rounds: u64::from(small(p.keep.every_rounds)),
        retain_last: small(p.retention.last),
    })
}

fn sites(s: &api::Sites) -> SitesSpec {
    let default = if s.max > 1 { REPLACE_ONE_OF_SEVERAL } else { REPLACE_THE_ONLY };
    SitesSpec {
        min: small(s.min),
        max: small(s.max),
        selector: s.selector.match_labels.clone(),
        replace_after_seconds: s.replace_after_seconds.map_or(default, |n| u64::from(small(n))),
    }
}

fn template(t: &api::SiteTemplate) -> SiteTemplate {
    SiteTemplate {
        selector: t.selector.match_labels.clone(),
        shape: SiteShape { workers: small(t.workers), cpu_threads: small(t.cpu_threads) },
    }
}

fn failure_policy(f: &api::FailurePolicy) -> FailurePolicy {
    let rule = |r: &api::FailureRule| FailureRule {
        on_exit_codes: r.on_exit_codes.clone(),
        on_reasons: r
            .on_reason
            .iter()
            .map(|x| match x {
                api::FailureReason::WorkerKilled => FailureReason::WorkerKilled,
                api::FailureReason::SiteLost => FailureReason::SiteLost,
                api::FailureReason::StoreLost => FailureReason::StoreLost,
            })
            .collect(),
        action: match r.action {
            api::FailureAction::FailRun => FailureAction::FailRun,
            api::FailureAction::Restart => FailureAction::Restart,
            api::FailureAction::RestartAndIgnoreLimit => FailureAction::RestartAndIgnoreLimit,
        },
    };
    FailurePolicy {
        max_restarts: small(f.max_restarts),
        window_seconds: u64::from(small(f.window_seconds)),
        rules: f.rules.iter().map(rule).collect(),
    }
}
