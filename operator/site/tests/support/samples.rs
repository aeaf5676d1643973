//! A site's settings and a request of a hub, for tests of parts and of the whole.
use coalition_site::settings::Settings;
use serde_json::{Value, json};

/// Settings of a site named north that takes runs of the hub's namespace `research` into `training`.
pub const SETTINGS: &str = "
name: north
namespaces: [{hub: research, site: training, serviceAccount: trainer}]
image: registry.example/trainer:1
allowedImages: ['registry.example/trainer:*', 'other.example/*/t@sha256:*']
store: {url: s3://north/coalition, endpoint: 'http://10.0.0.1:7070', secretName: store, plainHttp: true}
datasets: [{name: words, url: s3://north/data/words}]
priorityClasses: {founding: high}
";

/// The identity of the run.
pub const RUN: &str = "demo-0123456789";

/// The same, read.
pub fn settings() -> Settings {
    Settings::parse(SETTINGS).unwrap()
}

/// A resolved run of a tiny model.
pub fn run() -> Value {
    let model = coalition_spec::preset::find("llama-tiny-bytes", coalition_spec::model::Architecture::Llama).unwrap();
    json!({
        "model": {"config": model, "init": {"seed": 1}},
        "data": {"dataset": "words", "sequenceLength": 16, "tokenizer": {"builtin": "bytes"}},
        "training": {
            "tokens": 4096, "batchTokens": 64, "precision": "fp32", "seed": 1,
            "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weightDecay": 0.1, "clip": 1.0},
            "schedule": {"name": "constant", "warmupTokens": 0},
            "nonFinite": {"skipSteps": 3},
            "outer": {
                "tokensPerRound": 256, "optimizer": {"name": "nesterov", "lr": 0.7, "momentum": 0.9},
                "payload": "f32", "quorum": 1, "graceSeconds": 2
            }
        },
        "sites": {"min": 1, "max": 1, "replaceAfterSeconds": 15},
        "siteTemplates": [{"shape": {"workers": 1, "cpuThreads": 1}}],
        "checkpoint": {"interval": {"steps": 1}, "keepEveryRounds": 2, "retainLast": 2},
        "failurePolicy": {"maxRestarts": 3, "windowSeconds": 100, "rules": []}
    })
}

/// What the hub asks the site, with this shape of its part.
pub fn asked(shape: Value) -> Value {
    json!({
        "run": RUN, "site": "north", "epoch": 1, "incarnation": 1, "nonce": "nonce-1", "desired": "run",
        "head": {"epoch": 1, "seq": 0, "digest": "0".repeat(64)},
        "spec": run(), "peers": [], "offers": [],
        "trainingRun": {"namespace": "research", "name": "demo", "uid": "u"}, "shape": shape,
    })
}
