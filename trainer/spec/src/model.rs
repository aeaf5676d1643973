//! The sizes and constants of a decoder, under the names of a Hugging Face `config.json`. Must not know tensors.
use serde::{Deserialize, Serialize};
use std::fmt;

/// A family of decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// RMSNorm, SwiGLU, full rotary positions.
    Llama,
    /// LayerNorm1P (the stored weight is gamma − 1), squared ReLU, partial rotary positions.
    Nemotron,
}

impl Architecture {
    /// Every family.
    pub const ALL: [Self; 2] = [Self::Llama, Self::Nemotron];

    /// The `model_type` of a Hugging Face configuration.
    pub const fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Nemotron => "nemotron",
        }
    }

    /// The class that opens such a model in `transformers`.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Nemotron => "NemotronForCausalLM",
        }
    }

    /// The activation of its feed-forward layers.
    pub const fn activation(self) -> Activation {
        match self {
            Self::Llama => Activation::Silu,
            Self::Nemotron => Activation::Relu2,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}

/// The activation of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// x · sigmoid(x), gating the up projection.
    Silu,
    /// max(x, 0)².
    Relu2,
}

/// The sizes and constants of a decoder; every default of `config.json` filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The family.
    pub model_type: Architecture,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; not always hidden_size / num_attention_heads.
    pub head_dim: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Added to the variance in a norm: `rms_norm_eps` of Llama, `norm_eps` of Nemotron.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Share of a head's width that rotates; 1 for Llama.
    pub partial_rotary_factor: f64,
    /// Whether the output uses the embedding's weights.
    pub tie_word_embeddings: bool,
    /// Standard deviation of the first weights; projections back into the residual stream get it / √(2 · layers).
    pub initializer_range: f64,
    /// Activation of the feed-forward layer.
    pub hidden_act: Activation,
    /// Whether the attention's projections have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
}

impl ModelConfig {
    /// Width of all query heads.
    pub const fn query_width(&self) -> usize {
        self.num_attention_heads.saturating_mul(self.head_dim)
    }

    /// Width of all key (or value) heads.
    pub const fn key_value_width(&self) -> usize {
        self.num_key_value_heads.saturating_mul(self.head_dim)
    }

    /// The leading part of a head that rotates, as `transformers` rounds it: down to an integer.
    pub const fn rotary_dim(&self) -> usize {
        (self.head_dim as f64 * self.partial_rotary_factor) as usize
    }
}
