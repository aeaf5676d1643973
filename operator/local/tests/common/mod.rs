//! A tiny run on the fake trainer: data, manifest, runner, and what must hold of its history.
#![allow(dead_code)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coalition_data::{PrepareOptions, Silent, prepare};
use coalition_local::{Layout, LocalError, RunOptions, Runner};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Seq, SiteId};

/// No test waits longer for one thing: the slowest machine of the gate is ten times slower than the usual one.
pub const LONG: Duration = Duration::from_mins(1);

pub struct Bench {
    pub folder: tempfile::TempDir,
    pub options: RunOptions,
}

/// What differs from one test to another.
pub struct Shape {
    pub sites: u32,
    pub rounds: u64,
    pub replace_after: u64,
    pub pause: u64,
    pub more: &'static str,
}

impl Default for Shape {
    fn default() -> Self {
        Self { sites: 2, rounds: 8, replace_after: 30, pause: 0, more: "" }
    }
}

pub fn manifest(s: &Shape) -> String {
    // 64 tokens a step, 4 steps a round and site.
    let tokens = s.rounds * u64::from(s.sites) * 256;
    format!(
        "apiVersion: coalition.training/v1alpha1
kind: TrainingRun
metadata: {{name: tiny}}
spec:
  sites: {{min: 1, max: {}, replaceAfterSeconds: {}}}
  siteTemplates:
  - selector: {{matchLabels: {{coalition.training/site: north}}}}
    workers: 2
  - workers: 1
  model:
    architecture: llama
    config: {{vocab_size: 258, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2,
             num_key_value_heads: 1, max_position_embeddings: 64, tie_word_embeddings: true}}
  data:
    sequenceLength: 16
    tokenizer: {{builtin: bytes}}
    mixture: [{{name: words}}]
  training:
    tokens: \"{tokens}\"
    batchTokens: \"64\"
    optimizer: {{lr: 1.0e-3}}
    schedule: {{name: constant, warmupTokens: \"64\"}}
    outer: {{tokensPerRound: \"256\", grace: 1}}
  checkpointPolicyRef: {{name: tiny}}
{}---
apiVersion: coalition.training/v1alpha1
kind: CheckpointPolicy
metadata: {{name: tiny}}
spec:
  interval: {{steps: 2}}
  keep: {{everyRounds: 2}}
  retention: {{last: 2}}
",
        s.sites, s.replace_after, s.more
    )
}

/// The fake trainer, an example of this crate. Cargo puts examples into the clone's `target/`, and tests there too unless
/// its build folder is elsewhere.
pub fn fake_trainer() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|me| Some(me.parent()?.parent()?.to_owned()));
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug");
    let places: Vec<PathBuf> = beside.into_iter().chain([clone]).map(|d| d.join("examples/fake_trainer")).collect();
    let found = places.iter().find(|p| p.is_file()).cloned();
    found.unwrap_or_else(|| panic!("none of {places:?} is there: `cargo build -p coalition-local --examples`"))
}

impl Bench {
    pub fn new(shape: &Shape) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = folder.path().join("text");
        std::fs::create_dir(&text).expect("a folder");
        for n in 0..20 {
            std::fs::write(text.join(format!("{n}.txt")), format!("document {n} ").repeat(40)).expect("written");
        }
        prepare(&PrepareOptions::new(vec![text], folder.path().join("words")), &Silent).expect("prepared");
        let path = folder.path().join("run.yaml");
        std::fs::write(&path, manifest(shape)).expect("written");
        let options = RunOptions {
            manifest: Some(path),
            dir: folder.path().join("state"),
            trainer: Some(fake_trainer()),
            test: serde_json::json!({"stepPauseMillis": shape.pause}),
            ..RunOptions::default()
        };
        Self { folder, options }
    }

    pub async fn start(&self) -> Arc<Runner> {
        Runner::start(&self.options).await.expect("it starts")
    }

    pub fn layout(&self) -> Layout {
        Layout::new(&self.options.dir).expect("a path")
    }

    /// Reads and checks the whole history as it stands on disk.
    pub fn view(&self) -> View {
        let layout = self.layout();
        let records: Vec<SignedRecord> = (0..)
            .map_while(|n| std::fs::read(layout.record(Seq(n))).ok())
            .map(|b| serde_json::from_slice(&b).expect("a record"))
            .collect();
        View::replay(&records).expect("a legal chain").expect("a genesis")
    }
}

impl Bench {
    /// Removes the newest `n` records of the hub's history, as a restored older copy of the folder would; what they were.
    pub fn lose_records(&self, n: usize) -> Vec<(Seq, PathBuf, Vec<u8>)> {
        let layout = self.layout();
        let all = (0..).map(|n| (Seq(n), layout.record(Seq(n))));
        let all: Vec<_> = all.map_while(|(seq, path)| Some((seq, path.clone(), std::fs::read(path).ok()?))).collect();
        let lost = all[all.len().saturating_sub(n)..].to_vec();
        for (_, path, _) in &lost {
            std::fs::remove_file(path).expect("removed");
        }
        lost
    }

    /// Where a site mirrors a record.
    pub fn mirror(&self, name: &str, seq: Seq) -> PathBuf {
        let layout = self.layout();
        let first: SignedRecord =
            serde_json::from_slice(&std::fs::read(layout.record(Seq(0))).expect("a genesis")).expect("a record");
        layout.store(&site(name)).join(coalition_protocol::keys::record(&first.record.run, seq))
    }
}

/// Seconds do not matter, an end does: fails with the last status instead of hanging.
pub async fn finish(runner: &Arc<Runner>) -> Result<coalition_local::Ending, LocalError> {
    let Ok(ending) = tokio::time::timeout(LONG, runner.finished()).await else {
        panic!("not finished after {LONG:?}: {:#?}", runner.snapshot().borrow().status)
    };
    ending
}

/// Waits until `round` is committed.
pub async fn trained(runner: &Runner, round: u64) {
    runner.wait_for(LONG, |s| s.status.round.0 >= round).await.expect("it trains");
}

/// D25: what was used adds up to T, and the ledger is a partition.
pub fn check_ledger(view: &View) {
    assert!(view.ledger().is_partition());
    assert_eq!(view.ledger().used().len() * view.genesis().sequence_length, view.tokens());
}

/// How often `site` was included.
pub fn included(view: &View, site: &SiteId) -> usize {
    view.commits()
        .filter(|(_, _, c)| matches!(c, Commit::Outer(o) if o.included.iter().any(|i| i.key.site == *site)))
        .count()
}

pub fn site(name: &str) -> SiteId {
    name.parse().expect("a label")
}
