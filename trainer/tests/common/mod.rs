//! What the tests of whole processes share: a tiny run, its data, a hub, and worker processes to kill.
#![allow(dead_code)] // Each test binary uses a part.
pub mod gateway;
pub mod http;
pub mod hub;
pub mod process;
pub mod records;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use coalition_data::{Dataset, PrepareOptions, Samples, Silent, Verify, prepare};
use coalition_outer::VectorLayout;
use coalition_protocol::record::{Assignment, Genesis};
use coalition_protocol::{Digest, Incarnation, Real, RunId, SiteId};
use coalition_spec::RunSpec;
use coalition_store::{BlockingStore, Location, opening};
use hub::{Hub, Setup};

/// The data set of all tests of this binary: the sources of this package, read as bytes.
pub fn data() -> &'static Path {
    static DATA: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = DATA.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("data");
        let sources = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let options = PrepareOptions { held_out_share: 0.1, ..PrepareOptions::new(sources, out.clone()) };
        prepare(&options, &Silent).unwrap();
        (dir, out)
    });
    path
}

/// A model of 6 thousand parameters and rounds of `steps` small inner steps.
pub fn spec(steps: u64, rounds: u64, sites: u64) -> RunSpec {
    let (length, rows) = (32, 4);
    let batch = length * rows;
    serde_json::from_value(serde_json::json!({
        "model": {
            "config": {
                "model_type": "llama", "vocab_size": 258, "hidden_size": 16, "intermediate_size": 32,
                "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
                "max_position_embeddings": 64, "norm_eps": 1e-5, "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
                "tie_word_embeddings": true, "initializer_range": 0.02, "hidden_act": "silu",
                "attention_bias": false, "mlp_bias": false
            },
            "init": {"seed": 1}
        },
        "data": {"dataset": "text", "sequenceLength": length, "tokenizer": {"builtin": "bytes"}},
        "training": {
            "tokens": batch * steps * rounds * sites, "batchTokens": batch, "precision": "fp32", "seed": 7,
            "optimizer": {"name": "adamw", "lr": 0.01, "betas": [0.9, 0.95], "eps": 1e-8, "weightDecay": 0.1, "clip": 1.0},
            "schedule": {"name": "wsd", "warmupTokens": batch * 4, "decayShare": 0.2},
            "nonFinite": {"skipSteps": 3},
            "outer": {
                "tokensPerRound": batch * steps, "optimizer": {"name": "nesterov", "lr": 0.7, "momentum": 0.9},
                "payload": "f32", "quorum": 1
            }
        },
        "sites": {"min": 1, "max": sites, "selector": {}, "replaceAfterSeconds": 300},
        "siteTemplates": [{"selector": {}, "shape": {"workers": 1, "cpuThreads": 1}}],
        "checkpoint": {"interval": {"steps": 3}, "keepEveryRounds": 2, "retainLast": 3},
        "failurePolicy": {"maxRestarts": 100, "windowSeconds": 86400, "rules": []}
    }))
    .unwrap()
}

/// A run with its hub; sites are (name, workers), stores lie below `dir`.
pub fn run(dir: &Path, spec: &RunSpec, sites: &[(&str, u32)], steps: u64) -> Hub {
    let run: RunId = "tiny".parse().unwrap();
    let dataset = std::sync::Arc::new(Dataset::open(data(), Verify::All).unwrap());
    let samples = Samples::new(dataset.clone(), spec.data.sequence_length, spec.training.seed).unwrap();
    let layout = VectorLayout::new(spec.model.config.parameters().into_iter().map(|p| (p.name, p.shape))).unwrap();
    let nesterov = spec.training.outer.optimizer.nesterov();
    let mut all = Vec::new();
    for (name, workers) in sites {
        let site: SiteId = name.parse().unwrap();
        let store = dir.join(name).join("store");
        let open = BlockingStore::open(&Location::Folder(store.clone())).unwrap();
        open.wait(opening::open(open.store(), &run, &site, Incarnation(1))).unwrap();
        all.push((site, *workers, store.canonicalize().unwrap()));
    }
    let genesis = Genesis {
        hub_key: String::new(),
        hub_generation: 1,
        spec: spec.identity().unwrap(),
        data: Digest::from_index(&dataset),
        samples_per_pass: samples.per_pass(),
        sequence_length: spec.data.sequence_length as u64,
        batch_tokens: spec.training.batch_tokens,
        inner_steps: spec.training.steps_per_round(),
        budget: spec.training.tokens,
        seed: spec.training.seed,
        elements: layout.elements() as u64,
        fragments: 1,
        outer_lr: Real::new(nesterov.lr).unwrap(),
        outer_momentum: Real::new(nesterov.momentum).unwrap(),
        members: all.iter().map(|(s, ..)| Assignment { site: s.clone(), incarnation: Incarnation(1) }).collect(),
        origin: None,
    };
    Hub::new(Setup { run, genesis, spec: serde_json::to_value(spec).unwrap(), sites: all, steps })
}

trait FromIndex {
    fn from_index(dataset: &Dataset) -> Digest;
}
impl FromIndex for Digest {
    fn from_index(dataset: &Dataset) -> Digest {
        dataset.index().digest
    }
}

/// Recomputes D26 of every commit from the history and the data alone, and checks that every position was used once (D25).
pub fn audit(hub: &Hub, spec: &RunSpec) {
    use coalition_protocol::IntervalSet;
    use coalition_protocol::history::Commit;
    let dataset = std::sync::Arc::new(Dataset::open(data(), Verify::Sizes).unwrap());
    let samples = Samples::new(dataset, spec.data.sequence_length, spec.training.seed).unwrap();
    let s = hub.lock();
    let mut used = IntervalSet::new();
    let mut check = |hash, uses: &[coalition_protocol::record::LeaseUse]| {
        let mut all = IntervalSet::new();
        for u in uses {
            assert!(all.intersection(&u.used).is_empty() && used.intersection(&u.used).is_empty(), "used twice");
            all = all.union(&u.used);
        }
        used = used.union(&all);
        assert_eq!(samples.batch_hash(&all).unwrap(), hash, "the batch hash is not that of the positions");
    };
    for (_, _, commit) in s.view.commits() {
        match commit {
            Commit::Genesis => {}
            Commit::Step(x) => check(x.batch_hash, &x.used),
            Commit::Outer(x) => x.included.iter().for_each(|i| check(i.batch_hash, &i.used)),
        }
    }
    assert_eq!(used.len() * spec.data.sequence_length as u64, s.view.tokens());
    assert!(s.view.ledger().is_partition());
}
