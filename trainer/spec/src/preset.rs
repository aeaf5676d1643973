//! Model sizes with a name. Tables of the big ones come when something here can train them.
use crate::Problem;
use crate::model::{Architecture, ModelConfig};

/// Every preset with its family, in the order in which messages list them.
pub const NAMES: [(&str, Architecture); 3] = [
    ("llama-tiny", Architecture::Llama),
    ("llama-tiny-bytes", Architecture::Llama),
    ("nemotron-tiny", Architecture::Nemotron),
];

/// The sizes behind a preset's name.
///
/// The problem's field is empty: the caller knows it.
pub fn find(name: &str, architecture: Architecture) -> Result<ModelConfig, Problem> {
    match NAMES.iter().find(|(n, _)| *n == name) {
        None => Err(Problem::new(
            "",
            name,
            "is not a preset of this version",
            format!(
                "Use one of {}, or give `config` with the keys of a Hugging Face config.json.",
                NAMES.map(|(n, _)| n).join(", ")
            ),
        )),
        Some((_, a)) if *a != architecture => Err(Problem::new(
            "",
            name,
            format!("is a preset of architecture {a}, but the architecture asked for is {architecture}"),
            format!("Set `architecture: {a}`, or choose another preset."),
        )),
        Some(_) => Ok(sizes(name, architecture)),
    }
}

fn sizes(name: &str, architecture: Architecture) -> ModelConfig {
    // The small model of the measurements that chose the tensor library: 6 layers of width 256, 6.9 M parameters.
    let base = ModelConfig {
        model_type: architecture,
        vocab_size: 4096,
        hidden_size: 256,
        intermediate_size: 704,
        num_hidden_layers: 6,
        num_attention_heads: 4,
        num_key_value_heads: 4,
        head_dim: 64,
        max_position_embeddings: 1024,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
        partial_rotary_factor: 1.0,
        tie_word_embeddings: false,
        initializer_range: 0.02,
        hidden_act: architecture.activation(),
        attention_bias: false,
        mlp_bias: false,
    };
    match name {
        // About 0.8 M parameters over bytes: learns to write something like code on a laptop in minutes.
        "llama-tiny-bytes" => ModelConfig {
            vocab_size: crate::data::BYTES_VOCAB,
            hidden_size: 128,
            intermediate_size: 344,
            num_hidden_layers: 4,
            num_key_value_heads: 2,
            head_dim: 32,
            tie_word_embeddings: true,
            ..base
        },
        // Nemotron-4's proportions (arXiv 2402.16819): four times as wide inside, half of each head rotates.
        "nemotron-tiny" => ModelConfig {
            intermediate_size: 1024,
            num_key_value_heads: 2,
            partial_rotary_factor: 0.5,
            initializer_range: 0.0134,
            ..base
        },
        _ => base,
    }
}
