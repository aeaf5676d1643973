//! Its outer state: replayed from the newest base in its store, or from zero, with the contributions there.
use coalition_outer::{OuterState, Rule, VectorLayout, Weighted};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::messages::{StateReport, StoredCheckpoint};
use coalition_protocol::record::LeaseUse;
use coalition_protocol::{Digest, Seq};
use coalition_spec::RunSpec;
use coalition_store::run_checkpoint::{self, RunCheckpoint};
use coalition_store::{Store, StoreError, contribution};

use crate::Config;

pub struct State {
    pub layout: VectorLayout,
    pub at: Option<Seq>,
    pub outer: OuterState,
    pub report: Option<StateReport>,
    pub checkpoints: Vec<StoredCheckpoint>,
}

/// What "training" on these positions does: Δ = θ − x.
pub fn delta(layout: &VectorLayout, used: &[LeaseUse]) -> Vec<f32> {
    let mut out = layout.zeros();
    let first = layout.tensors()[0].range();
    for p in used.iter().flat_map(|u| u.used.iter()) {
        let at = first.start + (p.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize % first.len();
        out[at] += 1.0 / 1024.0;
    }
    out
}

impl State {
    pub fn new(spec: &RunSpec) -> Self {
        let layout = VectorLayout::new(spec.model.config.parameters().into_iter().map(|p| (p.name, p.shape)))
            .expect("a valid model");
        let outer = OuterState::initial(layout.zeros());
        Self { layout, at: None, outer, report: None, checkpoints: Vec::new() }
    }

    /// θ := x of a one-member plan.
    pub fn stepped(&self, used: &[LeaseUse]) -> OuterState {
        let x = self.outer.theta().iter().zip(delta(&self.layout, used)).map(|(t, d)| t - d).collect();
        self.outer.after_step(x).expect("same length")
    }

    /// Goes as far as the records and the store allow. False if contributions are missing.
    pub async fn advance(&mut self, config: &Config, store: &Store, view: &View, spec: &RunSpec) -> bool {
        if self.at.is_none() {
            let base = run_checkpoint::newest_base(store, view.run(), view.head().seq).await.expect("a readable store");
            if let Some(seq) = base {
                let (_, outer) =
                    run_checkpoint::load(store, view.run(), seq, &self.layout).await.expect("a whole base");
                (self.outer, self.at) = (outer, Some(seq));
            } else {
                self.at = Some(Seq(0));
            }
            self.report = self.at.map(|s| self.outer.report(s));
        }
        let g = view.genesis();
        let done = self.at.unwrap_or_default();
        let commits: Vec<_> = view.commits().filter(|(s, ..)| *s > done).map(|(s, r, c)| (s, r, c.clone())).collect();
        for (seq, round, commit) in commits {
            let next = match &commit {
                Commit::Genesis => continue,
                Commit::Step(s) if s.site == config.site => self.stepped(&s.used),
                // Another's step: only a base can bring it.
                Commit::Step(_) => {
                    self.at = None;
                    return false;
                }
                Commit::Outer(o) => {
                    let mut parts = Vec::new();
                    for i in &o.included {
                        match contribution::load(store, view.run(), &i.key, Some(i.digest)).await {
                            Ok((_, delta)) => parts.push((delta, i.tokens)),
                            Err(StoreError::NotFound { .. }) => {
                                // A newer base may come instead.
                                if run_checkpoint::newest_base(store, view.run(), view.head().seq)
                                    .await
                                    .expect("readable")
                                    > self.at
                                {
                                    self.at = None;
                                }
                                return false;
                            }
                            Err(e) => panic!("{e}"),
                        }
                    }
                    let list: Vec<Weighted<'_>> =
                        parts.iter().map(|(d, n)| Weighted { delta: d, tokens: *n }).collect();
                    self.outer.after(&list, &Rule::of(g)).expect("valid contributions")
                }
            };
            (self.outer, self.at) = (next, Some(seq));
            self.report = Some(self.outer.report(seq));
            let due = round.0.is_multiple_of(spec.checkpoint.keep_every_rounds);
            if due || view.tokens() >= spec.training.tokens {
                self.save(store, view, seq).await;
            }
        }
        true
    }

    pub async fn save(&mut self, store: &Store, view: &View, seq: Seq) {
        if self.at != Some(seq) || self.checkpoints.iter().any(|c| c.seq == seq) {
            return;
        }
        let config = serde_json::json!({"model_type": "fake"});
        let checkpoint = RunCheckpoint {
            run: view.run(),
            epoch: view.head().epoch,
            seq,
            tokens: view.tokens(),
            spec: Digest::ZERO,
            layout: &self.layout,
            state: &self.outer,
            config: &config,
            extra: &[],
        };
        let m = run_checkpoint::save(store, &checkpoint).await.expect("it is stored");
        self.checkpoints.push(StoredCheckpoint { seq, state: m.state, bytes: m.bytes() });
    }
}
