//! Which parameters a model has: Hugging Face names, shapes, whether they decay, how they begin. Must not know values.
use serde::{Deserialize, Serialize};

use crate::model::{Architecture, ModelConfig};

/// One parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParamInfo {
    /// Hugging Face name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Row-major shape; a projection is (out, in).
    pub shape: Vec<usize>,
    /// Whether weight decay applies: not on norms, biases and embeddings.
    pub decay: bool,
    /// How it begins.
    pub init: ParamInit,
}

impl ParamInfo {
    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ParamInit {
    /// Normal draws of mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// All zero.
    Zeros,
    /// All one.
    Ones,
}

struct List {
    out: Vec<ParamInfo>,
}

impl List {
    fn push(&mut self, name: String, shape: &[usize], decay: bool, init: ParamInit) {
        self.out.push(ParamInfo { name, shape: shape.to_vec(), decay, init });
    }

    fn linear(&mut self, name: &str, (rows, cols): (usize, usize), std: f64, bias: bool) {
        self.push(format!("{name}.weight"), &[rows, cols], true, ParamInit::Normal { std });
        if bias {
            self.push(format!("{name}.bias"), &[rows], false, ParamInit::Zeros);
        }
    }

    fn norm(&mut self, name: &str, width: usize, architecture: Architecture) {
        match architecture {
            Architecture::Llama => self.push(format!("{name}.weight"), &[width], false, ParamInit::Ones),
            // LayerNorm1P stores gamma − 1, so zero is a gain of one.
            Architecture::Nemotron => {
                self.push(format!("{name}.weight"), &[width], false, ParamInit::Zeros);
                self.push(format!("{name}.bias"), &[width], false, ParamInit::Zeros);
            }
        }
    }
}

impl ModelConfig {
    /// Every parameter, sorted by name, each once (a tied output is the embedding).
    pub fn parameters(&self) -> Vec<ParamInfo> {
        let (d, f) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.query_width(), self.key_value_width());
        let std = self.initializer_range;
        // Each block adds two terms to the residual stream: this keeps its variance independent of the depth (GPT-2).
        let back = std / (2.0 * self.num_hidden_layers as f64).sqrt();
        let mut l = List { out: Vec::new() };
        l.push("model.embed_tokens.weight".into(), &[self.vocab_size, d], false, ParamInit::Normal { std });
        for i in 0..self.num_hidden_layers {
            let at = |part: &str| format!("model.layers.{i}.{part}");
            l.norm(&at("input_layernorm"), d, self.model_type);
            l.linear(&at("self_attn.q_proj"), (q, d), std, self.attention_bias);
            l.linear(&at("self_attn.k_proj"), (kv, d), std, self.attention_bias);
            l.linear(&at("self_attn.v_proj"), (kv, d), std, self.attention_bias);
            l.linear(&at("self_attn.o_proj"), (d, q), back, self.attention_bias);
            l.norm(&at("post_attention_layernorm"), d, self.model_type);
            if self.model_type == Architecture::Llama {
                l.linear(&at("mlp.gate_proj"), (f, d), std, self.mlp_bias);
            }
            l.linear(&at("mlp.up_proj"), (f, d), std, self.mlp_bias);
            l.linear(&at("mlp.down_proj"), (d, f), back, self.mlp_bias);
        }
        l.norm("model.norm", d, self.model_type);
        if !self.tie_word_embeddings {
            // An output matrix of its own is a projection, not an embedding: it decays.
            l.linear("lm_head", (self.vocab_size, d), std, false);
        }
        l.out.sort_by(|a, b| a.name.cmp(&b.name));
        l.out
    }

    /// The number of parameters, each counted once.
    pub fn parameter_count(&self) -> u64 {
        self.parameters().iter().map(|p| p.numel() as u64).sum()
    }
}
