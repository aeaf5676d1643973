//! Causal self-attention with grouped heads (Ainslie et al., "GQA", 2023) and rotary positions. Must not know the rest of
//! a block.
use coalition_spec::model::ModelConfig;
use tch::Tensor;

use crate::stage::Linear;
use crate::{Ctx, Error, Options, Params, Stage};

/// One attention layer.
#[derive(Debug)]
pub(crate) struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    heads: i64,
    groups: i64,
    width: i64,
    zero: bool,
}

impl Attention {
    pub(crate) fn new(c: &ModelConfig, prefix: &str, options: Options, names: &mut Vec<String>) -> Self {
        let mut linear = |part: &str| Linear::new(&format!("{prefix}.{part}_proj"), c.attention_bias, names);
        Self {
            q: linear("q"),
            k: linear("k"),
            v: linear("v"),
            o: linear("o"),
            heads: c.num_attention_heads as i64,
            groups: c.num_key_value_heads as i64,
            width: c.head_dim as i64,
            zero: options.zero_attention,
        }
    }

    /// `x` `[rows, length, hidden]` to the same shape; and, where the context asks for it, keys and values of all positions
    /// so far.
    pub(crate) fn apply(
        &self,
        s: &dyn Stage,
        p: &Params<'_>,
        x: &Tensor,
        ctx: &Ctx<'_>,
    ) -> Result<(Tensor, Vec<Tensor>), Error> {
        let (rows, length, _) = x.size3()?;
        let split = |t: Tensor, heads| t.f_view([rows, length, heads, self.width]);
        let q = ctx.rotary.apply(&split(self.q.apply(s, p, x)?, self.heads)?)?;
        let k = ctx.rotary.apply(&split(self.k.apply(s, p, x)?, self.groups)?)?;
        let v = split(self.v.apply(s, p, x)?, self.groups)?;
        let (k, v) = Self::after(s, ctx.past.unwrap_or_default(), length, k, v)?;
        let out = if self.zero { q.f_zeros_like()? } else { self.mix(&q, &k, &v, ctx)? };
        let out = self.o.apply(s, p, &out.f_reshape([rows, length, self.heads * self.width])?)?;
        Ok((out, if ctx.past.is_some() { vec![k, v] } else { Vec::new() }))
    }

    /// Keys and values of the positions before, if there are any, and of these.
    fn after(s: &dyn Stage, past: &[Tensor], length: i64, k: Tensor, v: Tensor) -> Result<(Tensor, Tensor), Error> {
        match past {
            [] => Ok((k, v)),
            [earlier_k, earlier_v] if length == 1 => {
                Ok((Tensor::f_cat(&[earlier_k, &k], 1)?, Tensor::f_cat(&[earlier_v, &v], 1)?))
            }
            _ => {
                let got = format!("{length} positions after {} tensors of earlier ones", past.len());
                let expected = "one position after the keys and values of earlier ones";
                Err(Error::Carry { stage: s.label(), expected, got })
            }
        }
    }

    /// softmax(q·kᵀ / √width)·v, `[rows, length, heads, width]` in and out. The library's kernel keeps sums and the softmax
    /// of half-precision inputs in f32.
    fn mix(&self, q: &Tensor, k: &Tensor, v: &Tensor, ctx: &Ctx<'_>) -> Result<Tensor, Error> {
        let (k, v) = (self.repeat(k)?, self.repeat(v)?);
        let by_head = |t: &Tensor| t.f_transpose(1, 2);
        // The last position may look at all of them: the library's causal mask would take it for the first.
        let last_alone = ctx.past.is_some_and(|p| !p.is_empty());
        let out = Tensor::f_scaled_dot_product_attention(
            &by_head(q)?,
            &by_head(&k)?,
            &by_head(&v)?,
            ctx.mask,
            0.0,
            ctx.mask.is_none() && !last_alone,
            None::<f64>,
            false,
        )?;
        Ok(out.f_transpose(1, 2)?)
    }

    /// Each key or value head once for every query head that looks at it.
    fn repeat(&self, t: &Tensor) -> Result<Tensor, Error> {
        let times = self.heads / self.groups;
        if times == 1 {
            return Ok(t.shallow_clone());
        }
        let (rows, length, groups, width) = t.size4()?;
        let wide = t.f_unsqueeze(3)?.f_expand([rows, length, groups, times, width], false)?;
        Ok(wide.f_reshape([rows, length, self.heads, width])?)
    }
}
