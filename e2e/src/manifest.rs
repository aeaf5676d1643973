//! Small runs as manifests: the same files a person would apply, with numbers that finish in seconds.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What of a small run can be chosen.
#[derive(Clone, Debug)]
pub struct Small {
    /// Name of the run.
    pub name: String,
    /// Pretended sites.
    pub sites: u32,
    /// Workers of the first site; the others have one.
    pub workers: u32,
    /// Rounds, if all sites take part in each.
    pub rounds: u64,
    /// Inner steps of a round.
    pub steps: u64,
    /// Steps between site checkpoints.
    pub checkpoint_steps: u64,
    /// Seconds one site waits for the others.
    pub grace: u64,
    /// Seconds until a silent site's part is given away.
    pub replace_after: u64,
    /// Most restarts charged to the run.
    pub max_restarts: u64,
}

/// Samples of one inner step. Divides by one and two workers.
const BATCH: u64 = 8;
/// Tokens of a sample.
const SEQUENCE: u64 = 64;

impl Default for Small {
    fn default() -> Self {
        Self {
            name: "small".to_owned(),
            sites: 2,
            workers: 2,
            rounds: 8,
            steps: 16,
            checkpoint_steps: 4,
            grace: 2,
            replace_after: 120,
            max_restarts: 1000,
        }
    }
}

impl Small {
    /// Tokens of the whole run.
    pub fn tokens(&self) -> u64 {
        self.rounds * self.steps * BATCH * SEQUENCE * u64::from(self.sites)
    }

    /// The manifest's text.
    pub fn yaml(&self) -> String {
        let Self { name, sites, workers, steps, checkpoint_steps, grace, replace_after, max_restarts, .. } = self;
        let (tokens, batch) = (self.tokens(), BATCH * SEQUENCE);
        let round = steps * batch;
        format!(
            r#"apiVersion: coalition.training/v1alpha1
kind: TrainingRun
metadata: {{name: {name}}}
spec:
  sites: {{min: 1, max: {sites}, replaceAfterSeconds: {replace_after}}}
  siteTemplates:
    - selector: {{matchLabels: {{coalition.training/site: north}}}}
      workers: {workers}
      cpuThreads: 1
    - workers: 1
      cpuThreads: 1
  model:
    architecture: llama
    config:
      model_type: llama
      vocab_size: 258
      hidden_size: 32
      intermediate_size: 64
      num_hidden_layers: 2
      num_attention_heads: 2
      num_key_value_heads: 2
      max_position_embeddings: 64
      rms_norm_eps: 1.0e-5
      rope_theta: 10000.0
      tie_word_embeddings: true
    init: {{seed: 1}}
  data:
    sequenceLength: {SEQUENCE}
    tokenizer: {{builtin: bytes}}
    mixture: [{{name: text}}]
  training:
    tokens: "{tokens}"
    batchTokens: "{batch}"
    precision: fp32
    seed: 1
    optimizer: {{name: adamw, lr: 3.0e-3, betas: [0.9, 0.95], eps: 1.0e-8, weightDecay: 0.1, clip: 1.0}}
    schedule: {{name: wsd, warmupTokens: "{batch}", decayShare: 0.2}}
    nonFinite: {{skipSteps: 3}}
    outer:
      tokensPerRound: "{round}"
      optimizer: {{name: nesterov, lr: 0.7, momentum: 0.9}}
      payload: f32
      quorum: 1
      grace: {grace}
  checkpointPolicyRef: {{name: {name}}}
  failurePolicy: {{maxRestarts: {max_restarts}, windowSeconds: 3600}}
---
apiVersion: coalition.training/v1alpha1
kind: CheckpointPolicy
metadata: {{name: {name}}}
spec:
  interval: {{steps: {checkpoint_steps}}}
  keep: {{everyRounds: 2}}
  retention: {{last: 2}}
"#
        )
    }

    /// Writes the manifest into `folder`.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.yaml", self.name));
        std::fs::write(&path, self.yaml()).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}
