//! Budget, batch, optimizers, schedule, rounds. Hyperparameters are numbers, the one exception to the rule that an API
//! has no floating-point fields: people paste them from papers, and a test shows that applying again changes nothing.
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amounts::{Grace, Tokens};
use crate::rules;

/// Why the numbers of training cannot change, and the way out: the learning-rate curve is one whole (D11).
const WHY_FIXED: &str = "the curve so far was trained with the old value; create a new run to try another";

/// Sets budget, batch, optimizers and rounds.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::computed(
        "quantity(string(self.outer.tokensPerRound)).asInteger() > 0 \
         && quantity(string(self.batchTokens)).asInteger() > 0 \
         && quantity(string(self.outer.tokensPerRound)).asInteger() \
         % quantity(string(self.batchTokens)).asInteger() == 0",
        "'is %s: must be a multiple of batchTokens = %s, and both above 0; choose a whole number of inner steps'\
         .format([self.outer.tokensPerRound, self.batchTokens])",
    )
    .field_path(".outer.tokensPerRound")
)]
pub struct Training {
    /// Sets the budget in tokens (suffixes k, M, G, T): the run ends when so many are committed. At least four rounds.
    #[x_kube(validation = rules::computed(
        "quantity(string(self)).asInteger() >= quantity(string(oldSelf)).asInteger()",
        "'must not fall below %s: the learning rate already followed that budget; raise it, or end the run by deleting it'\
         .format([oldSelf])",
    ))]
    pub tokens: Tokens,

    /// Sets the tokens of one inner step at one site, whatever the number of its workers.
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub batch_tokens: Tokens,

    /// Sets the type of parameters, gradients and optimizer state. Default: fp32, the only one of this version.
    #[serde(default)]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub precision: Precision,

    /// Seeds the order of the data. Default: 1.
    #[serde(default = "seed")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_992_i64))]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub seed: i64,

    /// Sets the inner optimizer.
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub optimizer: Optimizer,

    /// Sets the inner learning rate over committed tokens.
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub schedule: Schedule,

    /// Says what happens when a loss or gradient is not finite. Default: three steps may be skipped.
    #[serde(default)]
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub non_finite: NonFinite,

    /// Sets the exchange between sites.
    #[x_kube(validation = rules::fixed(WHY_FIXED))]
    pub outer: Outer,
}

const fn seed() -> i64 {
    1
}

/// Names the type of parameters, gradients and optimizer state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
}

/// Sets the inner optimizer: Adam with decoupled weight decay.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Optimizer {
    /// Names the optimizer. Default: adamw.
    #[serde(default)]
    pub name: OptimizerName,

    /// Sets the peak learning rate.
    #[schemars(range(max = 1), extend("minimum" = 0, "exclusiveMinimum" = true))]
    pub lr: f64,

    /// Sets the decay of the first and second moment. Default: 0.9 and 0.95.
    #[serde(default = "betas")]
    #[schemars(length(min = 2, max = 2), inner(range(min = 0, max = 1)))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = rules::rule(
            "self.all(b, b < 1.0)",
            "must be below 1: a moment that never forgets cannot follow the gradient; 0.9 and 0.95 are usual",
        )
    )]
    pub betas: Vec<f64>,

    /// Sets what is added to the root of the second moment. Default: 1e-8.
    #[serde(default = "eps")]
    #[schemars(range(max = 1), extend("minimum" = 0, "exclusiveMinimum" = true))]
    pub eps: f64,

    /// Sets the decoupled weight decay; norms, biases and embeddings never decay. Default: 0.1.
    #[serde(default = "weight_decay")]
    #[schemars(range(min = 0, max = 1))]
    pub weight_decay: f64,

    /// Sets the largest norm of the whole gradient. Default: 1.
    #[serde(default = "clip")]
    #[schemars(extend("minimum" = 0, "exclusiveMinimum" = true))]
    pub clip: f64,
}

/// Names an inner optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay.
    #[default]
    Adamw,
}

fn betas() -> Vec<f64> {
    vec![0.9, 0.95]
}
const fn eps() -> f64 {
    1e-8
}
const fn weight_decay() -> f64 {
    0.1
}
const fn clip() -> f64 {
    1.0
}

/// Sets the inner learning rate over committed tokens.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::rule(
    "!has(self.decayShare) || self.name == 'wsd'",
    "decayShare belongs to name: wsd only; remove decayShare, or set name: wsd",
))]
pub struct Schedule {
    /// Names the shape: wsd (flat, then down in the last share), cosine (down to zero), or constant.
    pub name: ScheduleName,

    /// Sets the tokens in which the rate rises from zero to its peak. Default: 0.
    #[serde(default = "no_tokens")]
    pub warmup_tokens: Tokens,

    /// Sets the share of the budget in which the rate of wsd falls to zero. Default: 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub decay_share: Option<f64>,
}

const fn no_tokens() -> Tokens {
    Tokens::Number(0)
}

/// Names a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleName {
    /// Warm-up, stable, decay.
    Wsd,
    /// Half a cosine to zero.
    Cosine,
    /// Flat after the warm-up.
    Constant,
}

/// Says what happens when a loss or gradient is not finite.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NonFinite {
    /// Lets a site skip so many steps in the whole run; the next one stops it. Default: 3.
    #[serde(default = "skip_steps")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub skip_steps: i32,
}

impl Default for NonFinite {
    fn default() -> Self {
        Self { skip_steps: skip_steps() }
    }
}

const fn skip_steps() -> i32 {
    3
}

/// Sets the exchange between sites. While one site trains alone, a round only marks where its work is committed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outer {
    /// Sets the tokens of one site's part of a round, at reference speed.
    pub tokens_per_round: Tokens,

    /// Sets the outer optimizer. Default: nesterov with lr 0.7 and momentum 0.9.
    #[serde(default)]
    pub optimizer: Nesterov,

    /// Names the encoding of a contribution. Default: f32.
    #[serde(default)]
    pub payload: Payload,

    /// Sets the contributions a commit needs. Default: 1.
    #[serde(default = "quorum")]
    #[schemars(range(min = 1, max = 64))]
    pub quorum: i32,

    /// Sets how long others are waited for: auto or seconds. Default: auto, max(20 s, 1.5 x transfer, 10 % of the round).
    #[serde(default = "Grace::auto")]
    pub grace: Grace,
}

const fn quorum() -> i32 {
    1
}

/// Sets the outer optimizer: momentum with Nesterov's look-ahead.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nesterov {
    /// Names the optimizer. Default: nesterov.
    #[serde(default)]
    pub name: OuterOptimizerName,

    /// Sets the outer learning rate. Default: 0.7.
    #[serde(default = "outer_lr")]
    #[schemars(range(max = 10), extend("minimum" = 0, "exclusiveMinimum" = true))]
    pub lr: f64,

    /// Sets the momentum. Default: 0.9.
    #[serde(default = "momentum")]
    #[schemars(extend("minimum" = 0, "maximum" = 1, "exclusiveMaximum" = true))]
    pub momentum: f64,
}

impl Default for Nesterov {
    fn default() -> Self {
        Self { name: OuterOptimizerName::default(), lr: outer_lr(), momentum: momentum() }
    }
}

// 0.7 and 0.9 are the values of DiLoCo's search (Douillard et al. 2023, arXiv:2311.08105), kept by OpenDiLoCo (arXiv:2407.07852).
// `operator/docs/adr/0011-local-steps-outer-nesterov.md` says when a smaller rate is worth a try.
const fn outer_lr() -> f64 {
    0.7
}
const fn momentum() -> f64 {
    0.9
}

/// Names an outer optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OuterOptimizerName {
    /// Momentum with Nesterov's look-ahead.
    #[default]
    Nesterov,
}

/// Names the encoding of a contribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// 32-bit floats.
    #[default]
    F32,
}
