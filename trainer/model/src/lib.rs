//! Llama and Nemotron as lists of stages: functions of parameters and carry.
//!
//! A model is a list of [`Stage`]s. A stage is a pure function `(parameters by name, carry, context) -> (carry, aux)`; who
//! owns the parameters, what is kept for the backward pass and what runs again is the engine's business. So sharding,
//! recomputation and pipeline cuts are loops over stages and not features of a model. Parameter names and shapes are those
//! of Hugging Face, so a checkpoint opens there as it is.
//!
//! This crate must never learn files, networks, optimizers or who calls it.
#![allow(clippy::cast_possible_wrap)] // shapes and token ids are i64 in the tensor library; sizes are bounded where they enter

mod attention;
mod block;
mod ends;
mod error;
mod init;
mod normal;
mod rotary;
mod stage;

pub use error::Error;
pub use init::Initializer;
pub use rotary::{Positions, Rotary};
pub use stage::{Aux, Buffer, BufferRule, Carry, Ctx, IGNORE, Params, Stage};

use coalition_spec::model::ModelConfig;

/// Switches that change what a model computes. For tests of the tests: never part of a run's manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Every attention layer puts out zeros: a model that cannot look back. A learning check that such a model passes
    /// checks nothing.
    pub zero_attention: bool,
}

/// The stages of a decoder, first to last: embedding, blocks, head.
///
/// The first takes `[rows, length]` token ids (i64); the last puts out the summed loss (one scalar) where the context has
/// targets, else logits `[rows, length, vocabulary]`.
pub fn stages(config: &ModelConfig, options: Options) -> Result<Vec<Box<dyn Stage>>, Error> {
    check(config)?;
    let mut out: Vec<Box<dyn Stage>> = vec![Box::new(ends::Embedding::new())];
    for layer in 0..config.num_hidden_layers {
        out.push(Box::new(block::Block::new(config, layer, options)));
    }
    out.push(Box::new(ends::Head::new(config)));
    Ok(out)
}

/// What the arithmetic needs to be well defined. The spec's validation says more, and says it earlier.
fn check(c: &ModelConfig) -> Result<(), Error> {
    let refuse = |field, value: usize, bound: String| Err(Error::Config { field, value, bound });
    for (field, value) in [
        ("vocab_size", c.vocab_size),
        ("hidden_size", c.hidden_size),
        ("intermediate_size", c.intermediate_size),
        ("num_hidden_layers", c.num_hidden_layers),
        ("num_attention_heads", c.num_attention_heads),
        ("num_key_value_heads", c.num_key_value_heads),
        ("head_dim", c.head_dim),
    ] {
        if value == 0 {
            return refuse(field, value, "at least 1".into());
        }
    }
    if !c.num_attention_heads.is_multiple_of(c.num_key_value_heads) {
        let bound = format!("a divisor of num_attention_heads = {}", c.num_attention_heads);
        return refuse("num_key_value_heads", c.num_key_value_heads, bound);
    }
    let rotary = c.rotary_dim();
    if rotary == 0 || !rotary.is_multiple_of(2) || rotary > c.head_dim {
        let bound = format!("head_dim × partial_rotary_factor even, from 2 to head_dim = {}", c.head_dim);
        return refuse("partial_rotary_factor", rotary, bound);
    }
    Ok(())
}
