//! A small run for the simulator and the tests.
use coalition_spec::RunSpec;
use serde_json::json;

/// Tokens of an inner step.
pub const BATCH: u64 = 64;

/// `rounds` rounds of 4 inner steps for `sites` sites.
pub fn small(sites: u32, rounds: u64) -> RunSpec {
    let model = coalition_spec::preset::find("llama-tiny-bytes", coalition_spec::model::Architecture::Llama).unwrap();
    serde_json::from_value(json!({
        "model": {"config": model, "init": {"seed": 1}},
        "data": {"dataset": "text", "sequenceLength": 16, "tokenizer": {"builtin": "bytes"}},
        "training": {
            "tokens": rounds * u64::from(sites) * 4 * BATCH,
            "batchTokens": BATCH,
            "precision": "fp32",
            "seed": 1,
            "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weightDecay": 0.1, "clip": 1.0},
            "schedule": {"name": "constant", "warmupTokens": 0},
            "nonFinite": {"skipSteps": 3},
            "outer": {
                "tokensPerRound": 4 * BATCH,
                "optimizer": {"name": "nesterov", "lr": 0.7, "momentum": 0.9},
                "payload": "f32", "quorum": 1, "graceSeconds": 2
            }
        },
        "sites": {"min": 1, "max": sites, "replaceAfterSeconds": 15},
        "siteTemplates": [{"shape": {"workers": 1, "cpuThreads": 1}}],
        "checkpoint": {"interval": {"steps": 1}, "keepEveryRounds": 2, "retainLast": 2},
        "failurePolicy": {"maxRestarts": 3, "windowSeconds": 100, "rules": []}
    }))
    .unwrap()
}
