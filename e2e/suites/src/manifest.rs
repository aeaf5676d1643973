//! A tiny run as its user writes it: a model of some thousand parameters, rounds of a second or two, a minute in all. Must not
//! know where it runs.

use crate::installed::{DATASET, RUNS};
use serde_json::{Value, json};

/// Tokens of a sample: short, so that a step is cheap.
const SEQUENCE: u64 = 64;
/// Tokens of a step: splits over 1, 2, 4 and 8 workers.
const BATCH: u64 = SEQUENCE * 8;
/// Steps of a round: with about 50 ms a step on a busy core it takes a second.
const STEPS: u64 = 16;
/// Rounds of a run unless told otherwise.
const ROUNDS: u64 = 40;

/// What differs from one tiny run to another.
#[derive(Clone, Debug)]
pub struct Tiny {
    name: String,
    sites: u64,
    workers: u64,
    steps: u64,
    rounds: u64,
    changes: Vec<(String, Value)>,
}

impl Tiny {
    /// A run called `name`, of one site with one worker.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), sites: 1, workers: 1, steps: STEPS, rounds: ROUNDS, changes: Vec::new() }
    }

    /// With at most so many sites.
    #[must_use]
    pub fn sites(mut self, sites: u64) -> Self {
        self.sites = sites;
        self
    }

    /// With so many workers a site.
    #[must_use]
    pub fn workers(mut self, workers: u64) -> Self {
        self.workers = workers;
        self
    }

    /// With rounds of so many steps.
    #[must_use]
    pub fn steps(mut self, steps: u64) -> Self {
        self.steps = steps;
        self
    }

    /// So many rounds long, at least four (an API server demands that).
    #[must_use]
    pub fn rounds(mut self, rounds: u64) -> Self {
        self.rounds = rounds;
        self
    }

    /// So long that nothing but a test ends it.
    #[must_use]
    pub fn endless(self) -> Self {
        self.rounds(1_000_000)
    }

    /// With another value at a JSON pointer of the TrainingRun, such as `/spec/suspend`; null removes the field.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        self.changes.push((pointer.to_owned(), value));
        self
    }

    /// Its name, which its policy shares.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tokens that it shall train on, by all sites.
    pub fn tokens(&self) -> u64 {
        BATCH * self.steps * self.rounds * self.sites
    }

    /// The TrainingRun.
    pub fn run(&self) -> Value {
        let tokens_per_round = BATCH * self.steps;
        let mut run = json!({
            "apiVersion": coalition_crds::names::API_VERSION,
            "kind": "TrainingRun",
            "metadata": {"name": self.name, "namespace": RUNS},
            "spec": {
                "sites": {"min": 1, "max": self.sites, "replaceAfterSeconds": 120},
                "siteTemplates": [{
                    "workers": self.workers,
                    "cpuThreads": 1,
                    "resources": {"requests": {"cpu": "50m", "memory": "200Mi"}, "limits": {"memory": "1Gi"}},
                }],
                "model": {
                    "architecture": "llama",
                    "config": {
                        "vocab_size": 258, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                        "num_attention_heads": 2, "max_position_embeddings": 128, "tie_word_embeddings": true,
                    },
                    "init": {"seed": 1},
                },
                "data": {
                    "sequenceLength": SEQUENCE,
                    "tokenizer": {"builtin": "bytes"},
                    "mixture": [{"name": DATASET}],
                },
                "training": {
                    "tokens": self.tokens(),
                    "batchTokens": BATCH,
                    "optimizer": {"lr": 1.0e-3},
                    "schedule": {"name": "constant"},
                    "outer": {"tokensPerRound": tokens_per_round, "grace": 10},
                },
                "checkpointPolicyRef": {"name": self.name},
            },
        });
        for (pointer, value) in &self.changes {
            put(&mut run, pointer, value.clone());
        }
        run
    }

    /// Its CheckpointPolicy: a site checkpoint every few steps, a kept checkpoint every fourth round.
    pub fn policy(&self) -> Value {
        json!({
            "apiVersion": coalition_crds::names::API_VERSION,
            "kind": "CheckpointPolicy",
            "metadata": {"name": self.name, "namespace": RUNS},
            "spec": {"interval": {"steps": 4}, "keep": {"everyRounds": 4}, "retention": {"last": 2}},
        })
    }
}

/// Sets, adds or (with null) removes the field at `pointer`; a path that leads nowhere changes nothing.
pub(crate) fn put(object: &mut Value, pointer: &str, value: Value) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) if value.is_null() => drop(map.remove(key)),
        Some(Value::Object(map)) => drop(map.insert(key.to_owned(), value)),
        Some(Value::Array(list)) => {
            if let Some(slot) = key.parse::<usize>().ok().and_then(|index| list.get_mut(index)) {
                *slot = value;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalition_crds::validate;

    #[test]
    fn tiny_runs_are_valid_in_every_shape_that_scenarios_use() {
        for run in [
            Tiny::new("one"),
            Tiny::new("wide").workers(4).sites(2),
            Tiny::new("long").endless(),
            Tiny::new("asleep").with("/spec/suspend", json!(true)),
        ] {
            assert_eq!(validate::check("TrainingRun", &run.run(), None), [], "{run:?}");
            assert_eq!(validate::check("CheckpointPolicy", &run.policy(), None), [], "{run:?}");
        }
        let run = Tiny::new("x").with("/spec/sites/max", json!(0)).with("/metadata/namespace", Value::Null).run();
        assert_eq!(run["spec"]["sites"]["max"], 0);
        assert!(run["metadata"].get("namespace").is_none());
        assert!(!validate::check("TrainingRun", &run, None).is_empty());
    }
}
