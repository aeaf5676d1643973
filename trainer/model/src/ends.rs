//! The two ends of a decoder: token embedding, and the head with its loss. Must not know the blocks between them.
use coalition_spec::model::ModelConfig;
use tch::Reduction;

use crate::block::Norm;
use crate::{Aux, Carry, Ctx, Error, IGNORE, Params, Stage};

/// The table of input embeddings, as `transformers` names it for both architectures.
const EMBEDDING: &str = "model.embed_tokens.weight";
/// The table of output embeddings there; absent if tied.
const OUTPUT: &str = "lm_head.weight";

/// Token ids `[rows, length]` (i64) to the residual stream `[rows, length, hidden]`.
#[derive(Debug)]
pub(crate) struct Embedding {
    names: [String; 1],
}

impl Embedding {
    pub(crate) fn new() -> Self {
        Self { names: [EMBEDDING.to_owned()] }
    }
}

impl Stage for Embedding {
    fn label(&self) -> String {
        "embedding".into()
    }

    fn parameters(&self) -> &[String] {
        &self.names
    }

    fn forward(&self, p: &Params<'_>, carry: Carry, _: &Ctx<'_>) -> Result<(Carry, Aux), Error> {
        let ids = carry.single(self)?;
        let out = tch::Tensor::f_embedding(p.get(self, EMBEDDING)?, &ids, -1, false, false)?;
        Ok((Carry::one(out), Aux::default()))
    }
}

/// The last norm and the output projection; with targets, the cross-entropy summed over the positions that count.
#[derive(Debug)]
pub(crate) struct Head {
    names: Vec<String>,
    norm: Norm,
    output: &'static str,
}

impl Head {
    pub(crate) fn new(c: &ModelConfig) -> Self {
        let output = if c.tie_word_embeddings { EMBEDDING } else { OUTPUT };
        let mut names = vec![output.to_owned()];
        let norm = Norm::new(c, "model.norm", &mut names);
        Self { names, norm, output }
    }
}

impl Stage for Head {
    fn label(&self) -> String {
        "head".into()
    }

    fn parameters(&self) -> &[String] {
        &self.names
    }

    fn forward(&self, p: &Params<'_>, carry: Carry, ctx: &Ctx<'_>) -> Result<(Carry, Aux), Error> {
        let x = self.norm.apply(self, p, &carry.single(self)?)?;
        let logits = x.f_linear(p.get(self, self.output)?, None::<&tch::Tensor>)?;
        let Some(targets) = ctx.targets else { return Ok((Carry::one(logits), Aux::default())) };
        let vocabulary = *logits.size().last().unwrap_or(&0);
        let loss = logits.f_view([-1, vocabulary])?.f_cross_entropy_loss(
            &targets.f_view([-1])?,
            None::<&tch::Tensor>,
            Reduction::Sum,
            IGNORE,
            0.0,
        )?;
        Ok((Carry::one(loss), Aux::default()))
    }
}
