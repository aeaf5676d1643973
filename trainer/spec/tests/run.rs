//! A whole run: what is refused, with field, value, bound and way out; what is digested.
#![allow(clippy::unwrap_used)]
use coalition_protocol::{Digest, Seq};
use coalition_spec::RunSpec;
use coalition_spec::run::{Base, FailureAction, FailureReason, FailureRule, Interval};
use coalition_spec::training::{Optimizer, OuterOptimizer, Schedule};
use rstest::rstest;
use serde_json::json;

fn base() -> RunSpec {
    serde_json::from_value(json!({
        "model": {
            "config": serde_json::to_value(
                coalition_spec::preset::find("llama-tiny-bytes", coalition_spec::model::Architecture::Llama).unwrap()
            ).unwrap(),
            "init": {"seed": 1},
        },
        "data": {"dataset": "rust", "sequenceLength": 256, "tokenizer": {"builtin": "bytes"}},
        "training": {
            "tokens": 4_194_304, "batchTokens": 4096, "precision": "fp32", "seed": 1,
            "optimizer": {"name": "adamw", "lr": 3e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weightDecay": 0.1, "clip": 1.0},
            "schedule": {"name": "wsd", "warmupTokens": 131_072, "decayShare": 0.3},
            "nonFinite": {"skipSteps": 3},
            "outer": {"tokensPerRound": 131_072, "optimizer": {"name": "nesterov", "lr": 0.7, "momentum": 0.9},
                      "payload": "f32", "quorum": 1, "graceSeconds": 5},
        },
        "sites": {"min": 1, "max": 2, "replaceAfterSeconds": 300},
        "siteTemplates": [
            {"selector": {"coalition.training/site": "north"}, "shape": {"workers": 2, "cpuThreads": 1}},
            {"shape": {"workers": 1, "cpuThreads": 1}},
        ],
        "checkpoint": {"interval": {"steps": 8}, "keepEveryRounds": 4, "retainLast": 2},
        "failurePolicy": {"maxRestarts": 10, "windowSeconds": 3600, "rules": []},
    }))
    .unwrap()
}

#[test]
fn the_base_can_be_trained() {
    assert_eq!(base().problems(), vec![]);
    assert_eq!(base().training.steps_per_round(), 32);
}

fn adamw(r: &mut RunSpec) -> &mut coalition_spec::training::AdamW {
    let Optimizer::Adamw(a) = &mut r.training.optimizer;
    a
}
fn nesterov(r: &mut RunSpec) -> &mut coalition_spec::training::Nesterov {
    let OuterOptimizer::Nesterov(n) = &mut r.training.outer.optimizer;
    n
}

/// Each way out is one for all templates and fields together: taking it ends the refusals.
#[test]
fn ways_out_do_not_contradict_each_other() {
    let mut run = base();
    let mut three = run.site_templates[0].clone();
    three.selector = [("zone".to_owned(), "a".to_owned())].into();
    three.shape.workers = 3;
    run.site_templates.insert(0, three);
    run.training.outer.tokens_per_round = 130_000;
    let found: Vec<String> = run.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "training.batchTokens: 4096: must split evenly over all siteTemplates: a multiple of sequenceLength × workers = \
             256 × 3 and 256 × 2 and 256 × 1, that is of 1536. Use 3072 or 4608.",
            "training.outer.tokensPerRound: 130k: must be a multiple of batchTokens = 4096. Use 31 × batchTokens, once that \
             is mended.",
        ]
    );
    for batch in [3072, 4608] {
        run.training.batch_tokens = batch;
        run.training.outer.tokens_per_round = 28 * batch;
        assert_eq!(run.problems(), vec![], "{batch}");
    }
}

#[rstest]
#[case(|r: &mut RunSpec| r.training.batch_tokens = 4097, "training.batchTokens: 4097: must split evenly over all siteTemplates: a multiple of sequenceLength × workers = 256 × 2 and 256 × 1, that is of 512. Use 4096 or 4608.")]
#[case(|r: &mut RunSpec| r.training.batch_tokens = 256, "Use 512.")]
#[case(|r: &mut RunSpec| r.training.batch_tokens = 0, "training.batchTokens: 0: must be 1 to")]
#[case(|r: &mut RunSpec| r.training.tokens = 1_000_000, "training.tokens: 1M: must be at least four rounds of sites.max × tokensPerRound = 2 × 131072, that is 1048576. Raise the budget")]
#[case(|r: &mut RunSpec| r.training.outer.tokens_per_round = 130_000, "training.outer.tokensPerRound: 130k: must be a multiple of batchTokens = 4096. Use 126976, 31 × batchTokens.")]
#[case(|r: &mut RunSpec| r.training.outer.tokens_per_round = 1, "Use 4096, 1 × batchTokens.")]
#[case(|r: &mut RunSpec| r.training.outer.quorum = 3, "training.outer.quorum: 3: must be 1 to sites.max = 2")]
#[case(|r: &mut RunSpec| r.training.outer.grace_seconds = Some(0), "training.outer.grace: 0: must be 1 to 86400 seconds")]
#[case(|r: &mut RunSpec| nesterov(r).momentum = 1.0, "training.outer.optimizer.momentum: 1: must be 0 or more and below 1. 0.9 is usual.")]
#[case(|r: &mut RunSpec| nesterov(r).lr = f64::NAN, "training.outer.optimizer.lr: NaN")]
#[case(|r: &mut RunSpec| adamw(r).lr = 0.0, "training.optimizer.lr: 0: must be above 0 and at most 1")]
#[case(|r: &mut RunSpec| adamw(r).lr = f64::INFINITY, "training.optimizer.lr: inf")]
#[case(|r: &mut RunSpec| adamw(r).betas[1] = 1.0, "training.optimizer.betas[1]: 1: must be 0 or more and below 1. 0.95 is usual.")]
#[case(|r: &mut RunSpec| adamw(r).eps = 0.0, "training.optimizer.eps: 0")]
#[case(|r: &mut RunSpec| adamw(r).weight_decay = -0.1, "training.optimizer.weightDecay: -0.1: must be 0 to 1")]
#[case(|r: &mut RunSpec| adamw(r).clip = 0.0, "training.optimizer.clip: 0")]
#[case(|r: &mut RunSpec| r.training.schedule = Schedule::Cosine { warmup_tokens: 5_000_000 }, "training.schedule.warmupTokens: 5M: must be at most the budget, training.tokens = 4194304")]
#[case(|r: &mut RunSpec| r.training.schedule = Schedule::Wsd { warmup_tokens: 0, decay_share: 1.5 }, "training.schedule.decayShare: 1.5: must be 0 to 1")]
#[case(|r: &mut RunSpec| r.training.schedule = Schedule::Wsd { warmup_tokens: 4_000_000, decay_share: 0.5 }, "must leave room for warmupTokens = 4M before the decay")]
#[case(|r: &mut RunSpec| r.training.seed = u64::MAX, "training.seed")]
#[case(|r: &mut RunSpec| r.data.sequence_length = 2048, "data.sequenceLength: 2048: must be 1 to max_position_embeddings = 1024 of the model. Set it to at most 1024")]
#[case(|r: &mut RunSpec| r.model.config.vocab_size = 257, "data.tokenizer: 258 tokens: must be at most vocab_size = 257 of the model. Set vocab_size to at least 258")]
#[case(|r: &mut RunSpec| r.data.dataset = "My Data".into(), "data.mixture[0].name: \"My Data\"")]
#[case(|r: &mut RunSpec| r.data.tokenizer = coalition_spec::data::Tokenizer::File { dataset: "t".into(), file: "../x".into() }, "data.tokenizer.file: \"../x\": must be a path")]
#[case(|r: &mut RunSpec| r.data.tokenizer = coalition_spec::data::Tokenizer::File { dataset: "web".into(), file: "tokenizer.json".into() }, "data.tokenizer.dataset: \"web\": must be the data set of data.mixture, rust: this version reads a tokenizer from the data set it trains on. Write `dataset: rust`")]
#[case(|r: &mut RunSpec| r.sites.min = 3, "sites.min: 3: must be at most sites.max = 2. Lower min or raise max.")]
#[case(|r: &mut RunSpec| r.sites.max = 65, "sites.max: 65: must be 1 to 64 sites")]
#[case(|r: &mut RunSpec| r.sites.replace_after_seconds = 0, "sites.replaceAfterSeconds: 0")]
#[case(|r: &mut RunSpec| r.site_templates.clear(), "siteTemplates: must have at least one entry")]
#[case(|r: &mut RunSpec| r.site_templates.reverse(), "siteTemplates[1]: is never used: siteTemplates[0] before it matches every site")]
#[case(|r: &mut RunSpec| r.site_templates[0].shape.workers = 0, "siteTemplates[0].workers: 0: must be 1 to 1024 workers")]
#[case(|r: &mut RunSpec| r.site_templates[0].shape.cpu_threads = 0, "siteTemplates[0].cpuThreads: 0")]
#[case(|r: &mut RunSpec| r.checkpoint.interval = Interval::Seconds(0), "checkpointPolicy.interval.seconds: 0")]
#[case(|r: &mut RunSpec| r.checkpoint.retain_last = 0, "checkpointPolicy.retention.last: 0")]
#[case(|r: &mut RunSpec| r.active_deadline_seconds = Some(0), "activeDeadlineSeconds: 0")]
#[case(|r: &mut RunSpec| r.failure_policy.rules = vec![rule(vec![0])], "failurePolicy.rules[0].onExitCodes: 0: must be 1 to 255: 0 is success")]
#[case(|r: &mut RunSpec| r.failure_policy.rules = vec![rule(vec![]), rule(vec![64])], "failurePolicy.rules[0]: matches every failure, so the rules after it are never used")]
fn what_cannot_be_trained_is_told(#[case] change: fn(&mut RunSpec), #[case] want: &str) {
    let mut run = base();
    change(&mut run);
    let told: Vec<String> = run.problems().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|t| t.contains(want)), "{want:?} is not in {told:#?}");
}

fn rule(codes: Vec<i32>) -> FailureRule {
    FailureRule { on_exit_codes: codes, on_reasons: vec![], action: FailureAction::FailRun }
}

#[test]
fn every_problem_is_told_at_once_and_nothing_overflows() {
    let mut run = base();
    run.training.tokens = u64::MAX;
    run.training.batch_tokens = u64::MAX;
    run.training.outer.tokens_per_round = u64::MAX;
    run.data.sequence_length = usize::MAX;
    run.sites.max = u32::MAX;
    run.site_templates[0].shape.workers = u32::MAX;
    run.model.config.num_hidden_layers = usize::MAX;
    run.model.config.head_dim = usize::MAX;
    assert!(run.problems().len() >= 8, "{:#?}", run.problems());
}

#[test]
fn a_spec_reads_back_and_refuses_what_it_does_not_know() {
    let run = base();
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<RunSpec>(&text).unwrap(), run);
    for at in [
        "",
        "/training",
        "/training/optimizer",
        "/training/schedule",
        "/training/outer",
        "/model/config",
        "/siteTemplates/0/shape",
    ] {
        let mut value = serde_json::to_value(&run).unwrap();
        value.pointer_mut(at).unwrap()["surprise"] = json!(1);
        let refused = serde_json::from_value::<RunSpec>(value).unwrap_err().to_string();
        assert!(refused.contains("surprise"), "{at}: {refused}");
    }
}

#[test]
fn the_identity_leaves_out_what_may_be_edited() {
    let run = base();
    let mut edited = run.clone();
    edited.training.tokens *= 2;
    edited.sites.max = 4;
    edited.checkpoint.interval = Interval::Seconds(9);
    edited.failure_policy.max_restarts = 0;
    edited.active_deadline_seconds = Some(5);
    assert_eq!(edited.identity().unwrap(), run.identity().unwrap());
    assert_ne!(edited.digest().unwrap(), run.digest().unwrap());
    edited.training.batch_tokens *= 2;
    assert_ne!(edited.identity().unwrap(), run.identity().unwrap());
    let mut elsewhere = run.clone();
    let json = serde_json::to_value(&run.model.init).unwrap();
    assert_eq!(json, serde_json::json!({"seed": run.model.init.seed}), "as specs were written before there was `from`");
    elsewhere.model.init.from = Some(Base { run: "old".parse().unwrap(), seq: Seq(7), state: Digest::of(b"state") });
    assert_ne!(elsewhere.identity().unwrap(), run.identity().unwrap(), "where a run begins never changes");
}

#[test]
fn the_first_template_and_the_first_rule_that_match_decide() {
    let mut run = base();
    let site = |name: &str| [("coalition.training/site".to_owned(), name.to_owned())].into();
    assert_eq!(run.shape_for(&site("north")).unwrap().workers, 2);
    assert_eq!(run.shape_for(&site("south")).unwrap().workers, 1);
    run.site_templates.pop();
    assert_eq!(run.shape_for(&site("south")), None);

    let policy = &mut run.failure_policy;
    assert_eq!(policy.action(Some(64), None), FailureAction::Restart, "no rule restarts and charges");
    policy.rules = vec![
        FailureRule { on_exit_codes: vec![64, 65], on_reasons: vec![], action: FailureAction::FailRun },
        FailureRule {
            on_exit_codes: vec![],
            on_reasons: vec![FailureReason::WorkerKilled],
            action: FailureAction::RestartAndIgnoreLimit,
        },
        FailureRule { on_exit_codes: vec![], on_reasons: vec![], action: FailureAction::Restart },
    ];
    assert_eq!(policy.action(Some(65), None), FailureAction::FailRun);
    let killed = FailureAction::RestartAndIgnoreLimit;
    assert_eq!(policy.action(Some(137), Some(FailureReason::WorkerKilled)), killed);
    assert_eq!(policy.action(Some(137), None), FailureAction::Restart);
    assert_eq!(policy.action(None, Some(FailureReason::SiteLost)), FailureAction::Restart);
}
