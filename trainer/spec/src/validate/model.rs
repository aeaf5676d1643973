//! What must hold in a model's sizes. The upper bounds are far above any model known; they keep products inside 64 bits
//! and a mistyped size from asking for a machine's whole memory.
use super::Checks;
use crate::Problem;
use crate::model::{Architecture, ModelConfig};

/// A tensor's longest side.
const SIDE: u64 = 1 << 24;
/// Blocks.
const LAYERS: u64 = 4096;
/// Parameters: 2^43, 8.8 million millions.
const PARAMETERS: u128 = 1 << 43;

pub(super) fn check(c: &mut Checks, m: &ModelConfig) {
    let before = c.problems.len();
    for (key, value, max) in [
        ("vocab_size", m.vocab_size, SIDE),
        ("hidden_size", m.hidden_size, SIDE),
        ("intermediate_size", m.intermediate_size, SIDE),
        ("num_hidden_layers", m.num_hidden_layers, LAYERS),
        ("num_attention_heads", m.num_attention_heads, SIDE),
        ("num_key_value_heads", m.num_key_value_heads, SIDE),
        ("head_dim", m.head_dim, SIDE),
        ("max_position_embeddings", m.max_position_embeddings, SIDE),
    ] {
        c.whole(&format!("model.config.{key}"), value as u64, (1, max), "");
    }
    let eps = if m.model_type == Architecture::Llama { "rms_norm_eps" } else { "norm_eps" };
    c.real(
        &format!("model.config.{eps}"),
        m.norm_eps,
        m.norm_eps > 0.0 && m.norm_eps < 1.0,
        "above 0 and below 1",
        "1e-5",
    );
    c.real("model.config.rope_theta", m.rope_theta, m.rope_theta > 1.0, "above 1", "10000");
    let std = m.initializer_range;
    c.real("model.config.initializer_range", std, std > 0.0 && std <= 1.0, "above 0 and at most 1", "0.02");
    if c.problems.len() > before {
        return; // What follows divides and multiplies these.
    }
    heads(c, m);
    c.that(m.hidden_act == m.model_type.activation(), || {
        Problem::new(
            "model.config.hidden_act",
            format!("{:?}", m.hidden_act).to_lowercase(),
            format!("is not the activation of {}", m.model_type),
            "Leave it out: the architecture decides.",
        )
    });
    let count = count(m);
    c.that(count <= PARAMETERS, || {
        Problem::new(
            "model.config",
            format!("{count} parameters"),
            format!("must be at most {PARAMETERS} parameters"),
            "Check hidden_size, intermediate_size, num_hidden_layers and vocab_size for a digit too many.",
        )
    });
}

fn heads(c: &mut Checks, m: &ModelConfig) {
    c.that(m.num_attention_heads.is_multiple_of(m.num_key_value_heads), || {
        let below = (1..=m.num_key_value_heads.min(m.num_attention_heads))
            .rev()
            .find(|k| m.num_attention_heads.is_multiple_of(*k))
            .unwrap_or(1);
        Problem::new(
            "model.config.num_key_value_heads",
            m.num_key_value_heads,
            format!("must divide num_attention_heads = {}", m.num_attention_heads),
            format!("Set it to {below}, or to num_attention_heads for ordinary attention."),
        )
    });
    c.that(m.query_width() as u64 <= SIDE, || {
        Problem::new(
            "model.config.head_dim",
            m.head_dim,
            format!("must be at most {} for {} heads", SIDE / m.num_attention_heads as u64, m.num_attention_heads),
            "It is usually 64 to 256.",
        )
    });
    let share = m.partial_rotary_factor;
    match m.model_type {
        Architecture::Llama => c.real(
            "model.config.partial_rotary_factor",
            share,
            share == 1.0,
            "1 for llama, which rotates whole heads",
            "1",
        ),
        Architecture::Nemotron => c.real(
            "model.config.partial_rotary_factor",
            share,
            share > 0.0 && share <= 1.0,
            "above 0 and at most 1",
            "0.5",
        ),
    }
    let dim = m.rotary_dim();
    c.that(dim >= 2 && dim.is_multiple_of(2), || {
        Problem::new(
            "model.config.head_dim",
            m.head_dim,
            format!("must have an even rotating part of at least 2; partial_rotary_factor = {share} makes it {dim}"),
            "Choose head_dim as a multiple of 4, such as 64.",
        )
    });
}

/// Parameters without building the list of them; 128 bits cannot overflow within the bounds above.
fn count(m: &ModelConfig) -> u128 {
    let [d, f, q, kv, v, l] =
        [m.hidden_size, m.intermediate_size, m.query_width(), m.key_value_width(), m.vocab_size, m.num_hidden_layers]
            .map(|x| x as u128);
    let ffn = if m.model_type == Architecture::Llama { 3 } else { 2 };
    let tables = if m.tie_word_embeddings { 1 } else { 2 };
    l * (2 * q * d + 2 * kv * d + ffn * f * d) + tables * v * d
}
