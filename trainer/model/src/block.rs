//! One decoder block: norm, attention, norm, feed-forward, each added to the residual stream. Must not know its neighbours.
use coalition_spec::model::{Architecture, ModelConfig};
use tch::Tensor;

use crate::attention::Attention;
use crate::stage::Linear;
use crate::{Aux, Carry, Ctx, Error, Options, Params, Stage};

/// A norm over the last dimension.
#[derive(Debug)]
pub(crate) enum Norm {
    /// x / √(mean(x²) + eps) · weight (Zhang and Sennrich 2019).
    Rms { weight: String, eps: f64 },
    /// Layer norm whose stored weight is gamma − 1, so that decay or zeros pull the gain to one.
    Layer1P { weight: String, bias: String, eps: f64 },
}

impl Norm {
    pub(crate) fn new(c: &ModelConfig, prefix: &str, names: &mut Vec<String>) -> Self {
        let weight = format!("{prefix}.weight");
        names.push(weight.clone());
        match c.model_type {
            Architecture::Llama => Self::Rms { weight, eps: c.norm_eps },
            Architecture::Nemotron => {
                let bias = format!("{prefix}.bias");
                names.push(bias.clone());
                Self::Layer1P { weight, bias, eps: c.norm_eps }
            }
        }
    }

    pub(crate) fn apply(&self, s: &dyn Stage, p: &Params<'_>, x: &Tensor) -> Result<Tensor, Error> {
        let width = [*x.size().last().unwrap_or(&0)];
        match self {
            Self::Rms { weight, eps } => Ok(x.f_rms_norm(width, Some(p.get(s, weight)?), *eps)?),
            Self::Layer1P { weight, bias, eps } => {
                let gain = p.get(s, weight)?.f_add_scalar(1.0)?;
                Ok(x.f_layer_norm(width, Some(&gain), Some(p.get(s, bias)?), *eps, false)?)
            }
        }
    }
}

/// The feed-forward layer.
#[derive(Debug)]
enum FeedForward {
    /// down(silu(gate(x)) · up(x)) (Shazeer, "GLU Variants Improve Transformer", 2020).
    SwiGlu { gate: Linear, up: Linear, down: Linear },
    /// down(max(up(x), 0)²) (So et al., "Primer", 2021).
    SquaredRelu { up: Linear, down: Linear },
}

impl FeedForward {
    fn new(c: &ModelConfig, prefix: &str, names: &mut Vec<String>) -> Self {
        let mut linear = |part: &str| Linear::new(&format!("{prefix}.{part}_proj"), c.mlp_bias, names);
        match c.model_type {
            Architecture::Llama => Self::SwiGlu { gate: linear("gate"), up: linear("up"), down: linear("down") },
            Architecture::Nemotron => Self::SquaredRelu { up: linear("up"), down: linear("down") },
        }
    }

    fn apply(&self, s: &dyn Stage, p: &Params<'_>, x: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::SwiGlu { gate, up, down } => {
                let hidden = gate.apply(s, p, x)?.f_silu()?.f_mul(&up.apply(s, p, x)?)?;
                down.apply(s, p, &hidden)
            }
            Self::SquaredRelu { up, down } => down.apply(s, p, &up.apply(s, p, x)?.f_relu()?.f_square()?),
        }
    }
}

/// A decoder block. Carry in and out: the residual stream `[rows, length, hidden]`.
#[derive(Debug)]
pub(crate) struct Block {
    layer: usize,
    names: Vec<String>,
    before_attention: Norm,
    attention: Attention,
    before_mlp: Norm,
    mlp: FeedForward,
}

impl Block {
    pub(crate) fn new(c: &ModelConfig, layer: usize, options: Options) -> Self {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        let mut names = Vec::new();
        let before_attention = Norm::new(c, &at("input_layernorm"), &mut names);
        let attention = Attention::new(c, &at("self_attn"), options, &mut names);
        let before_mlp = Norm::new(c, &at("post_attention_layernorm"), &mut names);
        let mlp = FeedForward::new(c, &at("mlp"), &mut names);
        Self { layer, names, before_attention, attention, before_mlp, mlp }
    }
}

impl Stage for Block {
    fn label(&self) -> String {
        format!("block {}", self.layer)
    }

    fn parameters(&self) -> &[String] {
        &self.names
    }

    fn forward(&self, p: &Params<'_>, carry: Carry, ctx: &Ctx<'_>) -> Result<(Carry, Aux), Error> {
        let x = carry.single(self)?;
        let (looked, past) = self.attention.apply(self, p, &self.before_attention.apply(self, p, &x)?, ctx)?;
        let x = x.f_add(&looked)?;
        let thought = self.mlp.apply(self, p, &self.before_mlp.apply(self, p, &x)?)?;
        Ok((Carry::one(x.f_add(&thought)?), Aux { past, ..Aux::default() }))
    }
}
