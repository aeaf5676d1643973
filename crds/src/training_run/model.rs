//! The model: a preset, or the keys of a Hugging Face `config.json`.
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::LABEL_PATTERN;
use crate::rules;

/// Describes the model: exactly one of preset and config.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::rule(
    "has(self.preset) != has(self.config)",
    "must have exactly one of preset and config; remove one, or add preset with a name such as llama-tiny",
))]
pub struct Model {
    /// Names the family of the model: llama or nemotron.
    pub architecture: Architecture,

    /// Names a set of sizes that this version knows, such as llama-tiny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub preset: Option<String>,

    /// Gives the sizes as the keys of a Hugging Face config.json, as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<HuggingFaceConfig>,

    /// Says where the first parameters come from. Default: random draws of seed 1.
    #[serde(default)]
    pub init: Init,
}

/// Names the family of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// RMSNorm, SwiGLU, full rotary positions.
    Llama,
    /// LayerNorm1P, squared ReLU, partial rotary positions.
    Nemotron,
}

/// Says where the first parameters come from: seed, or from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::rule(
    "!has(self.seed) || !has(self.from)",
    "must have at most one of seed and from; remove seed to begin from a checkpoint",
))]
pub struct Init {
    /// Seeds the random draws. Without seed and from: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_992_i64))]
    pub seed: Option<i64>,

    /// Adopts the state that another run left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<InitFrom>,
}

impl Default for Init {
    fn default() -> Self {
        Self { seed: Some(DEFAULT_SEED), from: None }
    }
}

/// The seed of the first parameters where none is written.
pub const DEFAULT_SEED: i64 = 1;

/// Names the state that another run left.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitFrom {
    /// Names a Checkpoint in the same namespace; its run may be gone. The model must be the one it is of.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub checkpoint: String,
}

/// Gives the sizes of a model as a Hugging Face config.json does. Other keys are kept, and refused before training if
/// they may change the maths.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HuggingFaceConfig {
    /// Sets the rows of the embedding.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub vocab_size: i32,
    /// Sets the width of the residual stream.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub hidden_size: i32,
    /// Sets the width of the feed-forward layers.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub intermediate_size: i32,
    /// Sets the number of blocks.
    #[schemars(range(min = 1, max = 4096))]
    pub num_hidden_layers: i32,
    /// Sets the number of query heads.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub num_attention_heads: i32,
    /// Sets the number of key and value heads; divides the query heads. Default: as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub num_key_value_heads: Option<i32>,
    /// Sets the width of a head. Default: hidden_size / num_attention_heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub head_dim: Option<i32>,
    /// Sets the longest sequence.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub max_position_embeddings: i32,
    /// Sets what a Llama norm adds to the mean square. Default: 1e-6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub rms_norm_eps: Option<f64>,
    /// Sets what a Nemotron norm adds to the variance. Default: 1e-5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub norm_eps: Option<f64>,
    /// Sets the base of the rotary frequencies. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rope_theta: Option<f64>,
    /// Sets the share of a head that rotates. Default: 1 for llama, 0.5 for nemotron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub partial_rotary_factor: Option<f64>,
    /// Says whether the output uses the embedding's weights. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_word_embeddings: Option<bool>,
    /// Sets the standard deviation of the first weights. Default: 0.02 for llama, 0.0134 for nemotron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub initializer_range: Option<f64>,
    /// Names the activation; the architecture decides it: silu for llama, relu2 for nemotron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub hidden_act: Option<String>,
    /// Says whether attention projections have biases. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_bias: Option<bool>,
    /// Says whether feed-forward projections have biases. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlp_bias: Option<bool>,
    /// Keeps the other keys as they are; they are checked before the run trains.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}
