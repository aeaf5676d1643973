//! How a run trains: budget, batch, optimizers, schedule, rounds. Plain numbers; what they do stands in `engine` and
//! `outer`.
use serde::{Deserialize, Serialize};

/// How a run trains. Amounts are tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainingSpec {
    /// The budget: the run ends when so many tokens are committed (D11).
    pub tokens: u64,
    /// Tokens of one inner step at one site, whatever the number of its workers (D10).
    pub batch_tokens: u64,
    /// The type of parameters, gradients and optimizer state.
    pub precision: Precision,
    /// Seed of the order of the data.
    pub seed: u64,
    /// The inner optimizer.
    pub optimizer: Optimizer,
    /// The inner learning rate over committed tokens.
    pub schedule: Schedule,
    /// What happens when a loss or gradient is not finite.
    pub non_finite: NonFinite,
    /// The exchange between sites.
    pub outer: OuterSpec,
}

impl TrainingSpec {
    /// Inner steps of one round at reference speed: H in D9.
    pub const fn steps_per_round(&self) -> u64 {
        match self.outer.tokens_per_round.checked_div(self.batch_tokens) {
            Some(0) | None => 1,
            Some(h) => h,
        }
    }
}

/// The type of parameters, gradients and optimizer state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// 64-bit floats, for tests of exactness.
    Fp64,
}

impl Precision {
    /// Bytes of one number.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Fp32 => 4,
            Self::Fp64 => 8,
        }
    }
}

/// The inner optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).
    Adamw(AdamW),
}

impl Optimizer {
    /// The numbers of AdamW, the only inner optimizer there is.
    pub const fn adamw(&self) -> &AdamW {
        let Self::Adamw(a) = self;
        a
    }
}

/// The numbers of AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdamW {
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay; never on norms, biases and embeddings.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient; longer ones are scaled down to it.
    pub clip: f64,
}

/// The inner learning rate, as a factor of the peak, over committed tokens (D11).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Schedule {
    /// Linear warm-up, then flat, then linear to zero over the last share of the budget (warm-up, stable, decay).
    Wsd {
        /// Tokens from zero to the peak.
        warmup_tokens: u64,
        /// Share of the budget in which the rate falls, 0 to 1.
        decay_share: f64,
    },
    /// Linear warm-up, then half a cosine to zero at the end of the budget.
    Cosine {
        /// Tokens from zero to the peak.
        warmup_tokens: u64,
    },
    /// Linear warm-up, then flat.
    Constant {
        /// Tokens from zero to the peak.
        warmup_tokens: u64,
    },
}

impl Schedule {
    /// Tokens from zero to the peak.
    pub const fn warmup_tokens(&self) -> u64 {
        match self {
            Self::Wsd { warmup_tokens, .. } | Self::Cosine { warmup_tokens } | Self::Constant { warmup_tokens } => {
                *warmup_tokens
            }
        }
    }
}

/// What happens when a loss or gradient is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NonFinite {
    /// Steps a site may skip in the whole run; the next one stops it.
    pub skip_steps: u32,
}

/// The exchange between sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OuterSpec {
    /// Tokens of one site's part of a round, at reference speed (D9).
    pub tokens_per_round: u64,
    /// The outer optimizer.
    pub optimizer: OuterOptimizer,
    /// How a contribution is encoded.
    pub payload: Payload,
    /// Contributions a commit needs; a plan of fewer members needs them all (D9).
    pub quorum: u32,
    /// Seconds of the round grace; none = max(20 s, predicted transfer × 1.5, 10 % of the round).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

/// The outer optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum OuterOptimizer {
    /// Momentum with Nesterov's look-ahead (D15).
    Nesterov(Nesterov),
}

impl OuterOptimizer {
    /// The numbers of Nesterov momentum, the only outer optimizer there is.
    pub const fn nesterov(&self) -> &Nesterov {
        let Self::Nesterov(n) = self;
        n
    }
}

/// The numbers of Nesterov momentum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nesterov {
    /// Learning rate η.
    pub lr: f64,
    /// Momentum μ.
    pub momentum: f64,
}

/// How a contribution is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// Little-endian 32-bit floats.
    F32,
}
